// Long answers over HTTP that clients do not read: what they hold together is bounded, shared, and let go of.

import { assert, assertEquals } from "@std/assert";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryOptions } from "../../registry/registry_options.ts";
import { Server } from "../../server/mod.ts";
import { askerOf, UnreadResponses } from "../../transport/unread_responses.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

const MIB = 1_048_576;
const HERE = "tcp@10.0.0.1:5000";
const bytes = (length: number) => crypto.getRandomValues(new Uint8Array(65_536)).slice(0, length);
const long = (length: number) => new Uint8Array(length).fill(1).map((_, i) => i % 251);

Deno.test("unread answers: a short body is handed over whole, and not counted", async () => {
  const unread = new UnreadResponses(new FakeClock(), 0);
  const body = bytes(65_536);
  const response = unread.response(body, { "content-type": "text/plain" }, HERE)!;
  assertEquals(new Uint8Array(await response.arrayBuffer()), body);
});

Deno.test("unread answers: a long body arrives whole, in parts, and is counted until its last part is taken", async () => {
  const clock = new FakeClock();
  const unread = new UnreadResponses(clock);
  const body = long(200_000);
  const response = unread.response(body, {}, HERE)!;
  assertEquals([response.headers.get("content-length"), unread.bytes], ["200000", 400_000]);
  const parts = await Array.fromAsync(response.body!);
  assertEquals(Math.max(...parts.map(({ length }) => length)), 16_384);
  assertEquals(new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer()), body);
  assertEquals([unread.bytes, clock.timers], [0, 0]);
});

Deno.test("unread answers: answers with the same body share it, and an abandoned one no longer counts", async () => {
  const clock = new FakeClock();
  const unread = new UnreadResponses(clock);
  const body = long(4 * MIB);
  const answers = [1, 2, 3].map((last) => unread.response(body, {}, `tcp@10.0.0.${last}:5000`)!);
  assertEquals(unread.bytes, 4 * MIB + 3 * 786_432);
  for (const { body } of answers) await body!.cancel();
  assertEquals([unread.bytes, clock.timers], [0, 0]);
});

Deno.test("unread answers: a limit holds for all, and half of it for one address", async () => {
  const unread = new UnreadResponses(new FakeClock(), 4 * MIB);
  const body = long(MIB / 2);
  const from = (peer: string) => unread.response(body, {}, peer);
  const open = [from("tcp@10.0.0.1:1"), from("tcp@10.0.0.1:2"), from("tcp@10.0.0.1:3")];
  // The body, and three times what Deno.serve holds.
  assertEquals([unread.bytes, from("tcp@10.0.0.1:4")], [2 * MIB, undefined]);
  assertEquals(from("tcp@[2001:db8::1]:1") !== undefined, true);
  for (let i = 0; i < 3; i++) assertEquals(from(`unix@/run/${i}`) !== undefined, true);
  assertEquals([unread.bytes, from("tcp@10.0.0.2:1")], [4 * MIB, undefined]);
  await open[0]!.body!.cancel();
  assertEquals(from("tcp@10.0.0.1:4") !== undefined, true);
  // One that is longer than all may hold is answered when there is no other.
  assertEquals(
    new UnreadResponses(new FakeClock(), MIB).response(long(5 * MIB), {}, HERE) !== undefined,
    true,
  );
});

Deno.test("unread answers: after 30 s without a read the body is released, and the end of the answer releases the rest", async () => {
  const clock = new FakeClock();
  const unread = new UnreadResponses(clock);
  const stalled = unread.response(long(4 * MIB), {}, HERE)!.body!.getReader();
  const slow = unread.response(long(2 * MIB), {}, HERE)!.body!.getReader();
  await stalled.read();
  for (let i = 0; i < 3; i++) {
    await slow.read();
    await clock.advance(29_000);
  }
  assertEquals(unread.bytes, 2 * MIB + 2 * 786_432);
  // Who reads on gets no more than that it is over.
  assertEquals((await stalled.read()).done, true);
  assertEquals(unread.bytes, 2 * MIB + 786_432);
  await slow.cancel();
  assertEquals([unread.bytes, clock.timers], [0, 0]);
});

/** A registry with so many servers that its list is long. */
function open(options: RegistryOptions = {}) {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const registry = new Registry({ clock, store, ...options });
  const grant = (count: number, metadata = { a: "x".repeat(1_900) }) =>
    Promise.all(
      Array.from({ length: count }, (_, i) => store.grant({ address: `tcp@10.0.0.1:${i + 1}`, metadata }, 0)),
    );
  return {
    clock,
    store,
    registry,
    grant,
    ask: (query = "") => registry.fetch(new Request(REGISTRY_URL + query)),
  };
}

Deno.test("registry: the list is the same bytes for those who ask within a second, and new after a change", async () => {
  const { clock, store, grant, ask } = open();
  await grant(100);
  const list = await (await ask()).json();
  await clock.advance(900);
  // The times in it are those of when it was written.
  assertEquals(await (await ask()).json(), list);
  assertEquals((await (await ask("?all")).json()).servers[0].age, 900);
  await clock.advance(100);
  assertEquals((await (await ask()).json()).servers[0].age, 1_000);
  await store.revoke("tcp@10.0.0.1:1");
  assertEquals((await (await ask()).json()).servers.length, 99);
});

Deno.test("registry: too many long answers that are not read are refused with 503, and a later one is not", async () => {
  const { grant, ask } = open();
  await grant(2_000);
  const answers: Response[] = [];
  for (;;) {
    const answer = await ask();
    if (answer.status === 503) {
      assertEquals(answer.headers.get("retry-after"), "1");
      assertEquals((await answer.json()).error.code, "resource_exhausted");
      break;
    }
    answers.push(answer);
  }
  assert(answers.length > 20 && answers.length < 100, `${answers.length} were answered`);
  assertEquals((await ask("?service=none")).status, 200);
  for (const { body } of answers) await body!.cancel();
  const answer = await ask();
  assertEquals([answer.status, (await answer.json()).servers.length], [200, 2_000]);
});

Deno.test("registry watch: a long list arrives whole, and one that is not read keeps its place until its end", async () => {
  const { clock, registry, grant, ask } = open({ maxWatchers: 1 });
  await grant(500);
  const read = (await ask("?watch")).body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.endsWith("}\n\n")) text += (await read.read()).value;
  assertEquals(JSON.parse(text.split("data: ")[1]!).servers.length, 500);
  await read.cancel();
  const stalled = await ask("?watch");
  await settle();
  await clock.advance(30_000);
  assertEquals((await ask("?watch")).status, 429);
  await stalled.body!.cancel();
  const next = await ask("?watch");
  assertEquals([next.status, clock.timers], [200, 1]);
  await registry.close();
  await next.body!.cancel();
  assertEquals(clock.timers, 0);
});

Deno.test("unread answers: Deno.serve takes no more than its client reads, and says when that is gone", async () => {
  const unread = new UnreadResponses();
  const body = long(24 * MIB);
  await using web = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (_request, info) => unread.response(body, {}, askerOf(info))!,
  );
  {
    using silent = await RawPeer.dial(web.addr.port);
    await silent.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await until(() => unread.bytes > 0, "the answer to begin");
    // Another one is not in its way.
    const other = await (await fetch(`http://127.0.0.1:${web.addr.port}/`)).arrayBuffer();
    assertEquals(new Uint8Array(other), body);
    // What buffers on the way hold is far from all of it, so that it is counted still.
    assertEquals(unread.bytes, body.length + 786_432);
  }
  await until(() => unread.bytes === 0, "the end of the connection to be seen");
});

Deno.test("server: metrics that are long arrive whole over http@ and Deno.serve", async () => {
  await using server = new Server();
  const service = Object.fromEntries(Array.from({ length: 800 }, (_, i) => [`method${i}`, () => i]));
  server.register("Many", service);
  const { address } = await server.listen("http@127.0.0.1:0");
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, server.fetch);
  for (const port of [portOf(address), web.addr.port]) {
    for (const path of ["metrics", "debug/rpc", "debug/rpc?as=json"]) {
      const response = await fetch(`http://127.0.0.1:${port}/${path}`);
      const text = await response.text();
      if (path !== "debug/rpc") assert(text.length > 65_536, `${path}: ${text.length}`);
      assertEquals(new TextEncoder().encode(text).length, Number(response.headers.get("content-length")));
      const head = await fetch(`http://127.0.0.1:${port}/${path}`, { method: "HEAD" });
      assertEquals([head.status, await head.text()], [200, ""]);
    }
  }
});

Deno.test("askerOf: where a request comes from", () => {
  const of = (remoteAddr: unknown) => askerOf({ remoteAddr: remoteAddr as Deno.Addr });
  assertEquals(askerOf(undefined), "unknown");
  assertEquals(of({ transport: "tcp", hostname: "10.0.0.1", port: 1 }), "tcp@10.0.0.1:1");
  assertEquals(of({ transport: "unix", path: "/run/x" }), "unix@/run/x");
});
