// What a peer, a registry or a header says, as it arrives in a log or on a terminal: one line, no control characters, bounded.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { safeLog } from "../../call/log.ts";
import { oneLine } from "../../call/safe_text.ts";
import { announce } from "../../registry/announce.ts";
import { Registry } from "../../registry/registry.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { RpcError, Server } from "../../mod.ts";
import { cli } from "../support/cli_shell.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { goAway } from "../support/frames.ts";
import { OPTION, RawPeer } from "../support/raw_peer.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

/** What would end a line, clear a terminal, turn the direction of writing, or hide. */
const HOSTILE = "a\nregistry: all is well\r\x1b[2J\x9b2J\u202eb\u200b\u2028\0";
const CLEAN = "a\\u{a}registry: all is well\\u{d}\\u{1b}[2J\\u{9b}2J\\u{202e}b\\u{200b}\\u{2028}\\u{0}";

function assertOneLine(line: string): void {
  assertMatch(line, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]*$/u);
  assert(line.length <= 2_001, `${line.length}`);
}

Deno.test("oneLine: escapes what could mislead, and cuts what is long, without halves of characters", () => {
  assertEquals(oneLine(HOSTILE), CLEAN);
  assertEquals(oneLine("plain ü 水"), "plain ü 水");
  for (
    const text of ["x".repeat(1e6), "\n".repeat(1e6), "😀".repeat(1_500), `${"x".repeat(1_999)}😀`, "\ud800"]
  ) {
    assertOneLine(oneLine(text));
  }
  assertEquals(oneLine("x".repeat(2_000)).length, 2_000);
});

Deno.test("log: a message is one line, and its error, if there is one, is as it was thrown", () => {
  const calls: unknown[][] = [];
  const log = safeLog((...all) => void calls.push(all))!;
  const error = new Error("x\ny");
  log(HOSTILE);
  log(HOSTILE, error);
  assertEquals(calls, [[CLEAN], [CLEAN, error]]);
});

Deno.test("log: what a client says when it leaves is one line of the server's log", async () => {
  const lines: string[] = [];
  await using server = new Server({ log: (line) => void lines.push(line) });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  using peer = await RawPeer.dial(portOf(address));
  await peer.send(OPTION, goAway(0, "internal", HOSTILE + "x".repeat(10_000)));
  await until(() => lines.some((line) => line.includes("closes the connection")), "the line");
  for (const line of lines) assertOneLine(line);
  assert(lines.some((line) => line.includes(CLEAN)), lines.join());
});

Deno.test("log: what a registry says to a heartbeat, and a store to a registry, is one line", async () => {
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const clock = new FakeClock();
  const error = { error: { code: "unavailable", message: HOSTILE } };
  let answers = 0;
  const fetch = (_: unknown, init?: RequestInit) => {
    const known = answers++ === 0 || init?.method === "DELETE";
    const answer = { address: "tcp@127.0.0.1:1", ttl: 3_000 };
    return Promise.resolve(known ? Response.json(answer) : Response.json(error, { status: 500 }));
  };
  await using _registration = await announce(REGISTRY_URL, { address: "tcp@127.0.0.1:1" }, {
    log,
    fetch,
    clock,
  });
  await clock.advance(2_000);
  const store = new MemoryStore({ clock });
  store.list = () => Promise.reject(new Error(HOSTILE));
  const registry = new Registry({ store, clock, log });
  assertEquals((await registry.fetch(new Request(REGISTRY_URL))).status, 500);
  assertEquals(lines.filter((line) => line.includes(CLEAN)).length, 2, lines.join());
  for (const line of lines) assertOneLine(line);
});

Deno.test("log: the command line prints an error of a server in one line", async () => {
  await using server = new Server().register("A", {
    b: () => {
      throw new RpcError("aborted", HOSTILE + "x".repeat(10_000));
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const { code, err } = await cli(["call", address, "A.b"]);
  assertEquals([code, err.trimEnd().includes("\n")], [1, false]);
  assert(err.startsWith(`rpc: aborted: ${CLEAN}x`), err);
  assertOneLine(err.trimEnd().slice("rpc: aborted: ".length));
});
