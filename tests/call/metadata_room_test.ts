// Metadata that the library adds (a trace, `rpc-retry-after`) together with metadata that fill all the room there is: what was
// added is left out, and neither the call nor its connection is lost over it.

import { assertEquals, assertRejects } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { connect } from "../../client/mod.ts";
import { Server } from "../../server/mod.ts";
import { Recorder } from "../support/telemetry_recorder.ts";

const MOST_ENTRIES = 64;
const MOST_HEADER_BYTES = 16_384;
const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", baggage: "user=7" };
const entries = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, "x"]));

/** A server that makes calls of its own with some metadata, and returns what arrived with them. */
async function open() {
  const back = new Server().register("Back", {
    names: (_: unknown, { metadata }: CallContext) => [...metadata.keys()],
  });
  const inner = await connect((await back.listen("tcp@127.0.0.1:0")).address);
  const front = new Server().register("Front", {
    forward: (metadata: Record<string, string>) => inner.call("Back.names", undefined, { metadata }),
    // A neighbor on the same connection, under way all the time.
    wait: (_: unknown, { signal }: CallContext) =>
      new Promise((resolve) => signal.addEventListener("abort", resolve)),
    refuse(count: number) {
      const metadata = new Map(Object.entries(entries(count)));
      throw new RpcError("resource_exhausted", "No more", { retryAfter: 5, metadata });
    },
    long(bytes: number) {
      throw new RpcError("resource_exhausted", "No more", {
        retryAfter: 5,
        metadata: new Map([["a", "x".repeat(bytes)]]),
      });
    },
  });
  const client = await connect((await front.listen("tcp@127.0.0.1:0")).address, { failMode: "failfast" });
  const stop = new AbortController();
  const neighbor = assertRejects(
    () => client.call("Front.wait", undefined, { signal: stop.signal }),
    RpcError,
  );
  return {
    client,
    connections: () => [front.stats().accepted, back.stats().accepted],
    async [Symbol.asyncDispose]() {
      stop.abort();
      assertEquals((await neighbor).code, "canceled");
      await client.close();
      await inner.close();
      await front.close();
      await back.close();
    },
  };
}

Deno.test("metadata room: an inherited trace is left out as far as the entries of a call are taken", async () => {
  await using at = await open();
  for (
    const [own, inherited] of [[64, []], [63, ["traceparent"]], [62, ["traceparent", "baggage"]]] as const
  ) {
    const names = await at.client.call<string[]>("Front.forward", entries(own), { metadata: trace });
    assertEquals(names.slice(own), [...inherited]);
  }
  assertEquals(at.connections(), [1, 1]);
});

Deno.test("metadata room: an inherited trace is left out where a header would be too long with it", async () => {
  await using at = await open();
  const own = { long: "x".repeat(MOST_HEADER_BYTES - 60) };
  const names = await at.client.call<string[]>("Front.forward", own, { metadata: trace });
  assertEquals(names, ["long"]);
  assertEquals(at.connections(), [1, 1]);
});

Deno.test("metadata room: of a trace, the baggage is left out first where a header would be too long", async () => {
  await using at = await open();
  const long = { ...trace, baggage: `user=${"x".repeat(8_000)}` };
  const names = (own: Record<string, string>) =>
    at.client.call<string[]>("Front.forward", own, { metadata: long });
  assertEquals(await names({ short: "x" }), ["short", "traceparent", "baggage"]);
  assertEquals(await names({ long: "x".repeat(MOST_HEADER_BYTES / 2 + 300) }), ["long", "traceparent"]);
  assertEquals(await names({ long: "x".repeat(MOST_HEADER_BYTES - 60) }), ["long"]);
  // A baggage of the call's own is not.
  const own = { baggage: "x".repeat(MOST_HEADER_BYTES - 60) };
  assertEquals(await names(own), ["baggage"]);
  assertEquals(at.connections(), [1, 1]);
});

Deno.test("metadata room: rpc-retry-after is left out where an error's own metadata fill it", async () => {
  await using at = await open();
  for (const [count, retryAfter] of [[MOST_ENTRIES, undefined], [MOST_ENTRIES - 1, 5]] as const) {
    const error = await assertRejects(() => at.client.call("Front.refuse", count), RpcError);
    assertEquals({ entries: error.metadata.size, retryAfter: error.retryAfter }, {
      entries: count,
      retryAfter,
    });
  }
  const bytes = MOST_HEADER_BYTES - 50;
  const error = await assertRejects(() => at.client.call("Front.long", bytes), RpcError);
  assertEquals({ bytes: error.metadata.get("a")?.length, retryAfter: error.retryAfter }, {
    bytes,
    retryAfter: undefined,
  });
  assertEquals(at.connections(), [1, 1]);
});

Deno.test("metadata room: a span's context is left out where a call's own metadata fill it", async () => {
  const recorder = new Recorder();
  using _recorder = recorder;
  await using at = await open();
  const names = await at.client.call<string[]>("Front.forward", entries(MOST_ENTRIES), {
    metadata: entries(MOST_ENTRIES),
  });
  assertEquals(names.length, MOST_ENTRIES);
  assertEquals(at.connections(), [1, 1]);
});
