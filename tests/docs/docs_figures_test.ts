// Numbers that guides, drawings and README.md repeat: compared with the code and with PERFORMANCE.md, so that each fact has
// one source.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { MAX_ATTEMPTS } from "../../client/send_attempt.ts";
import { Kind } from "../../codec/frame.ts";
import { INITIAL } from "../../session/recv_window.ts";
import { markdownFiles, readText, tableOf } from "../support/markdown.ts";
import { binary, constantsIn, defaultOf, DEFAULTS, defaultsIn } from "../support/stated.ts";

Deno.test("guides: an option that is mentioned with a value in brackets or after a comma has that default", () => {
  const units: Record<string, number> = {
    ms: 1,
    s: 1_000,
    min: 60_000,
    bytes: 1,
    KiB: 1_024,
    MiB: 1_048_576,
  };
  let count = 0;
  for (const file of markdownFiles().filter((file) => !/CHANGELOG|README/.test(file))) {
    const text = readText(file).replace(/\s+/g, " ");
    for (
      const [, name = "", number = "", unit = ""] of text.matchAll(
        /`(\w+)`(?: \(|, )(\d[\d ]*(?:\.\d+)?) (ms|s|min|bytes|KiB|MiB)\b/g,
      )
    ) {
      const values = DEFAULTS.get(name)?.map(({ value }) => value);
      if (values === undefined) continue;
      count++;
      const stated = Number(number.replaceAll(" ", "")) * units[unit]!;
      assert(values.includes(stated), `${file}: ${name} is ${stated}, expected ${values}`);
    }
  }
  assert(count >= 4, `${count} mentions are found`);
});

/** Options of a registry, and of clients that follow it, whose defaults are no limits. */
const NOT_IN_THE_TABLE = ["ttl", "refreshInterval", "holdTime", "timeout"];

/** The files whose constants a fixed row of the registry's table states; a watch ends after some silent comments. */
const FIXED_OF_REGISTRY: Readonly<Record<string, readonly string[]>> = {
  "an address": ["discovery/check_endpoint.ts"],
  "weight": ["discovery/check_endpoint.ts"],
  "a request's body": ["registry/json_response.ts"],
  "the addresses in the list's header": ["registry/listing.ts"],
  "a watch whose client does not read": [],
  "long responses that are not read": ["transport/unread_responses.ts"],
};

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  KiB: 1_024,
  MiB: 1_048_576,
};

/** The numbers in a text, each times its unit. */
function valuesIn(text: string): number[] {
  return Array.from(text.matchAll(/(\d(?:[\d ]*\d)?) ?(s|min|h|KiB|MiB)?\b/g), ([, number, unit = ""]) => {
    return Number(number!.replaceAll(" ", "")) * (UNITS[unit] ?? 1);
  });
}

Deno.test("REGISTRY.md: the table of limits has the defaults of options, and constants of the code", () => {
  const options = new Map(
    ["registry/lease_table.ts", "registry/registry_options.ts", "discovery/registry_discovery.ts"].flatMap(
      defaultsIn,
    )
      .map(([name, value]) => [name, Number(value.replaceAll("_", ""))]),
  );
  for (const name of NOT_IN_THE_TABLE) options.delete(name);
  const named = new Set<string>();
  const fixed = new Set<string>();
  for (const [what = "", stated = "", where = ""] of tableOf(readText("docs/REGISTRY.md"), "limit")) {
    const name = /^`(\w+)`/.exec(where)?.[1];
    if (name !== undefined) {
      named.add(name);
      assertEquals(valuesIn(stated), [options.get(name)], what);
    } else {
      fixed.add(what);
      const files = FIXED_OF_REGISTRY[what] ?? [];
      const constants = new Set(files.flatMap((path) => [...constantsIn(path)]));
      if (files.length > 0) assertEquals(valuesIn(stated).filter((value) => !constants.has(value)), [], what);
    }
  }
  assertEquals([...named].sort(), [...options.keys()].sort(), "every option that limits has its row");
  assertEquals([...fixed], Object.keys(FIXED_OF_REGISTRY));
});

/** The files whose constants a row of the table of fixed limits states. */
const FIXED: Readonly<Record<string, readonly string[]>> = {
  "a line of the handshake": ["codec/handshake_line.ts"],
  "calls that leave with the handshake": ["codec/handshake_line.ts"],
  "an HTTP head": ["transport/http.ts"],
  "a frame's header": ["codec/frame.ts", "call/metadata.ts"],
  "credit of a stream": ["session/recv_window.ts", "session/window_budget.ts"],
  "a registry's answer or event, read in slices of 10 ms": [
    "discovery/registry_list.ts",
    "discovery/json_pieces.ts",
    "discovery/registry_events.ts",
    "discovery/time_slice.ts",
  ],
  "refused connections that are still being closed": ["server/acceptor.ts"],
  "connections waiting to be accepted, over TCP and TLS": ["transport/tcp.ts"],
  "streams of figures of `rpc.Reflection`": ["server/reflection_handlers.ts"],
  "schemas shown by `rpc.Reflection`": ["server/reflection_handlers.ts"],
  "control frames and empty frames of a WebSocket": ["transport/websocket_frames.ts"],
  "a line of `log`": ["call/safe_text.ts"],
};

Deno.test("LIMITS.md: the fixed limits are constants of the code", () => {
  const rows = tableOf(readText("docs/LIMITS.md"), "what");
  assertEquals(rows.map(([what]) => what), Object.keys(FIXED));
  for (const [what = "", limit = ""] of rows) {
    const constants = new Set(FIXED[what]!.flatMap((path) => [...constantsIn(path)]));
    const stated = valuesIn(`${what}: ${limit}`.replace("Deno 2.9", ""));
    assertEquals(stated.filter((value) => !constants.has(value)), [], what);
  }
});

Deno.test("DEPLOYING.md: its times are those of the code", () => {
  const text = readText("docs/DEPLOYING.md").replace(/\s+/g, " ");
  const [, wait] = /waits (\d+) ms, until/.exec(text) ?? [];
  assert(constantsIn("registry/announce.ts").has(Number(wait)), `waits ${wait} ms`);
  const [, interval] = /`heartbeatInterval` \((\d+) s\)/.exec(text) ?? [];
  assertEquals(Number(interval) * 1_000, defaultOf("heartbeatInterval"));
});

Deno.test("drawings: their numbers are those of the code", () => {
  const drawing = (name: string) => {
    const texts = readText(`docs/${name}.svg`).matchAll(/<text[^>]*>([^<]+)</g);
    return Array.from(texts, ([, text]) => text!.replaceAll("&quot;", '"').trim()).join("\n");
  };
  const s = (ms: number) => `${ms / 1_000} s`;
  const connection = drawing("connection");
  assertStringIncludes(connection, `a ping after ${s(defaultOf("heartbeatInterval"))}`);
  assertStringIncludes(connection, `silent for ${s(defaultOf("heartbeatTimeout"))} after a ping`);
  const [, first, last] = /within (\d+) ms, then at growing intervals of up to (\d+) s/.exec(connection) ??
    [];
  const waits = constantsIn("client/channel.ts");
  assert(waits.has(Number(first)), `within ${first} ms`);
  assert(waits.has(Number(last) * 1_000), `up to ${last} s`);
  const stream = drawing("stream");
  assertStringIncludes(stream, `${INITIAL.items} items and ${binary(INITIAL.bytes)}`);
  assertStringIncludes(stream, `Item ${INITIAL.items}\n`);
  assertStringIncludes(stream, `Item ${INITIAL.items + 1}\n`);
  const call = drawing("call");
  assertStringIncludes(call, `[${Kind.Call}, 7, "Arith.sum", ${defaultOf("timeout")}]`);
  assertStringIncludes(call, `[${Kind.Reply}, 7] 3`);
  const word = ["no", "one", "two", "three", "four", "five", "six"][MAX_ATTEMPTS];
  assertMatch(drawing("failover"), new RegExp(`${word} servers at most`));
});

Deno.test("drawings and README: the figures of the benchmark are those of PERFORMANCE.md", () => {
  const tables = readText("docs/PERFORMANCE.md");
  const figures = new Set(tables.match(/\d[\d,]*(?:\.\d+)?/g));
  const chart = Array.from(readText("docs/bench.svg").matchAll(/>(?:▸ )?(\d[\d,.]*)</g), ([, n]) => n!);
  assert(chart.length > 40);
  assertEquals(chart.filter((figure) => !figures.has(figure)), []);
  const rows = tableOf(readText("README.md"), "workload").flatMap((cells) => cells.slice(1));
  const stated = rows.flatMap((cell) => cell.match(/\d[\d,]*/g) ?? []);
  assert(stated.length >= 8);
  assertEquals(stated.filter((figure) => !figures.has(figure)), []);
});

Deno.test("README.md: its comparison is that of one run, workload by workload", () => {
  const tables = readText("docs/PERFORMANCE.md");
  const rateOf = (workload: string, name: string) => {
    const section = tables.split(`### ${workload}`)[1]!.split("\n### ")[0]!;
    return tableOf(section, " ").find(([first]) => first === name)?.[1];
  };
  const [, ...names] = ["", "this library", "Go net/rpc", "fetch to Deno.serve"];
  const rows = tableOf(readText("README.md"), "workload");
  for (const [i, workload] of ["W2", "W1", "W5"].entries()) {
    const got = rows[i]!.slice(1).map((cell) => /\d[\d,]*/.exec(cell)?.[0]);
    assertEquals(got, names.map((name) => rateOf(workload, name)), workload);
  }
});
