// What a handler knows of the call, and what a caller may send along.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { CallContext } from "../../mod.ts";
import { simulate } from "../../testing/mod.ts";
import { Link } from "../support/service_link.ts";

const look = (_: unknown, { method, peer, metadata, deadline }: CallContext) => ({
  method,
  peer: peer.address,
  metadata,
  left: deadline - performance.now(),
});
type Looked = ReturnType<typeof look>;

Deno.test("context: has the method, the peer and the deadline", async () => {
  await using link = await Link.open({ look });
  const seen = await link.call<Looked>("look", null, { timeout: 3_600_000 });
  assertEquals({ method: seen.method, metadata: seen.metadata }, { method: "S.look", metadata: new Map() });
  assertMatch(seen.peer, /^tcp@127\.0\.0\.1:\d+$/);
  assert(seen.peer !== link.address);
  assert(seen.left > 3_000_000 && seen.left <= 3_600_000, `${seen.left} ms`);
  assertEquals((await link.call<Looked>("look", null, { timeout: Infinity })).left, Infinity);
});

Deno.test("context: a call without a timeout has the client's, by default 30 s", () =>
  simulate(async ({ network }) => {
    const local = { network: network.host("local") };
    await using link = await Link.open({ look }, { server: local, client: local });
    assertEquals((await link.call<Looked>("look")).left, 30_000);
    await using short = await Link.open({ look }, { server: local, client: { ...local, timeout: 700 } });
    assertEquals((await short.call<Looked>("look")).left, 700);
  }));

Deno.test("context: the shortest of timeout, the client's handleTimeout and the server's counts", () =>
  simulate(async ({ network }) => {
    const local = network.host("local");
    for (
      const [server, client, timeout, expected] of [
        [Infinity, Infinity, 9_000, 9_000],
        [5_000, Infinity, 9_000, 5_000],
        [Infinity, 4_000, 9_000, 4_000],
        [5_000, 4_000, Infinity, 4_000],
        [4_000, 5_000, Infinity, 4_000],
        [5_000, 4_000, 3_000, 3_000],
      ] as const
    ) {
      await using link = await Link.open({ look }, {
        server: { network: local, handleTimeout: server },
        client: { network: local, handleTimeout: client },
      });
      assertEquals((await link.call<Looked>("look", null, { timeout })).left, expected);
    }
  }));

Deno.test("metadata: arrives as it was sent, from an object and from a Map", async () => {
  await using link = await Link.open({ look });
  const entries: [string, string | Uint8Array][] = [
    ["text", "☺ 😈"],
    ["empty", ""],
    ["bytes", new Uint8Array([0, 255])],
    ["a-_.9", "odd"],
    ["x".repeat(64), "long"],
    ["constructor", "plain"],
  ];
  for (const metadata of [Object.fromEntries(entries), new Map(entries)]) {
    const seen = await link.call<Looked>("look", null, { metadata });
    assertEquals(seen.metadata, new Map(entries));
  }
  const most = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`n${n}`, "x"]));
  assertEquals((await link.call<Looked>("look", null, { metadata: most })).metadata.size, 64);
  assertEquals((await link.call<Looked>("look", null, { metadata: {} })).metadata.size, 0);
});

Deno.test("metadata: changes after the call was made do not arrive", async () => {
  await using link = await Link.open({ look });
  const metadata = new Map([["a", "before"]]);
  const call = link.call<Looked>("look", null, { metadata });
  metadata.set("a", "after").set("b", "after");
  assertEquals((await call).metadata, new Map([["a", "before"]]));
});

Deno.test("context: a handler may keep it, and what it got, beyond its call", async () => {
  const kept: CallContext[] = [];
  await using link = await Link.open({ keep: (_: unknown, context: CallContext) => void kept.push(context) });
  for (let n = 0; n < 50; n++) {
    await link.call("keep", null, { metadata: { n: String(n), bytes: new Uint8Array(100).fill(n) } });
  }
  for (const [n, { metadata, signal }] of kept.entries()) {
    assertEquals(metadata.get("n"), String(n));
    assertEquals(metadata.get("bytes"), new Uint8Array(100).fill(n));
    assertEquals(signal.aborted, false);
  }
});

Deno.test("context: logging it shows only its public fields", async () => {
  const show = (_: unknown, context: CallContext) => Deno.inspect({ context }, { colors: false });
  await using link = await Link.open({ show });
  const shown = await link.call<string>("show", null, { metadata: { zone: "north" }, timeout: Infinity });
  assertMatch(
    shown,
    /CallContext \{\s+method: "S\.show",\s+peer: Peer \{ address: "tcp@127\.0\.0\.1:\d+" \},/,
  );
  assertMatch(shown, /metadata: Map\(1\) \{ "zone" => "north" \},\s+deadline: Infinity,/);
  assertMatch(shown, /signal: AbortSignal \{[^}]*\},\s+replyMetadata: Map\(0\) \{\}\s+\}/);
  for (const internal of ["session", "target", "seq", "answered", "recvStream"]) {
    assert(!shown.includes(internal), shown);
  }
});
