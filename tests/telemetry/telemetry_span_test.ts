// The spans of calls: names, kinds, attributes, status, for every shape and every end.

import { assert, assertEquals, assertGreaterOrEqual, assertRejects } from "@std/assert";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { type CallContext, type Client, RpcError } from "../../mod.ts";
import { AttributeSets } from "../../telemetry/conventions.ts";
import { link } from "../support/telemetry_link.ts";
import type { RecordedSpan } from "../support/telemetry_recorder.ts";

async function* numbers(to: number) {
  for (let i = 1; i <= to; i++) yield i;
}

const SHAPES = {
  one: (n: number) => n * n,
  later: (n: number) => Promise.resolve(n * n),
  upTo: (n: number) => numbers(n),
  sum: async (ns: AsyncIterable<number>) => {
    let sum = 0;
    for await (const n of ns) sum += n;
    return sum;
  },
  squares: async function* (ns: AsyncIterable<number>) {
    for await (const n of ns) yield n * n;
  },
};

/** The span of the client's side and that of the server's, of which the second is the child of the first. */
function pairOf(spans: readonly RecordedSpan[]): [RecordedSpan, RecordedSpan] {
  assertEquals(spans.length, 2);
  const client = spans.find(({ kind }) => kind === SpanKind.CLIENT)!;
  const server = spans.find(({ kind }) => kind === SpanKind.SERVER)!;
  assertEquals(server.parent?.spanId, client.id);
  assertEquals(server.traceId, client.traceId);
  assertEquals(client.parent, undefined);
  return [client, server];
}

const CALLS: [string, string, (client: Client) => Promise<unknown>, unknown][] = [
  ["one value", "S.one", (client) => client.call("S.one", 7), 49],
  ["a promise", "S.later", (client) => client.call("S.later", 7), 49],
  ["a stream of answers", "S.upTo", (client) => Array.fromAsync(client.stream("S.upTo", 3)), [1, 2, 3]],
  ["a stream of arguments", "S.sum", (client) => client.call("S.sum", numbers(4)), 10],
  ["a conversation", "S.squares", (client) => Array.fromAsync(client.stream("S.squares", numbers(3))), [
    1,
    4,
    9,
  ]],
];

for (const [shape, name, make, expected] of CALLS) {
  Deno.test(`telemetry: ${shape} has a span on each side, with name, kind and attributes`, async () => {
    await using it = await link(SHAPES);
    assertEquals(await make(it.client), expected);
    const [client, server] = pairOf(await it.recorder.ended(2));
    for (const span of [client, server]) {
      assertEquals([span.name, span.status, span.message, span.events], [
        name,
        SpanStatusCode.UNSET,
        undefined,
        [],
      ]);
    }
    assertEquals(client.attributes, {
      "rpc.system.name": "troodon",
      "rpc.method": name,
      "server.address": "127.0.0.1",
      "server.port": it.port,
    });
    const { "network.peer.port": port, ...rest } = server.attributes;
    assertEquals(rest, {
      "rpc.system.name": "troodon",
      "rpc.method": name,
      "network.peer.address": "127.0.0.1",
    });
    assert(Number(port) > 0);
    assertEquals([...it.recorder.scopes], ["@troodon/rpc"]);
  });
}

Deno.test("telemetry: the spans of a stream last until its end, on both sides", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await link({
    async *slowly() {
      yield 1;
      await gate.promise;
      yield 2;
    },
  });
  const stream = it.client.stream<number>("S.slowly");
  assertEquals(await stream.next(), { value: 1, done: false });
  assertEquals([it.recorder.started, it.recorder.spans.length], [2, 0]);
  gate.resolve();
  assertEquals(await Array.fromAsync(stream), [2]);
  pairOf(await it.recorder.ended(2));
});

Deno.test("telemetry: a stream's span starts at its first read, not when it is made", async () => {
  await using it = await link(SHAPES);
  const stream = it.client.stream("S.upTo", 1);
  assertEquals(it.recorder.started, 0);
  await Array.fromAsync(stream);
  pairOf(await it.recorder.ended(2));
});

Deno.test("telemetry: the span of the client covers that of the server", async () => {
  await using it = await link({ wait: () => new Promise((resolve) => setTimeout(resolve, 20)) });
  await it.client.call("S.wait");
  const [client, server] = pairOf(await it.recorder.ended(2));
  assert(client.began <= server.began);
  assertGreaterOrEqual(server.took!, 15);
  assertGreaterOrEqual(client.took!, server.took!);
});

/** Codes, and whether a server has failed by them, as gRPC's conventions have it. */
const FAILED = [
  ["invalid_argument", false],
  ["not_found", false],
  ["permission_denied", false],
  ["resource_exhausted", false],
  ["aborted", false],
  ["internal", true],
  ["unknown", true],
  ["data_loss", true],
  ["unavailable", true],
  ["unimplemented", true],
] as const;

Deno.test("telemetry: a failed call has its code; a caller's mistake is not an error of the server", async () => {
  await using it = await link({
    fail: (code: (typeof FAILED)[number][0]) => {
      throw new RpcError(code, "private words");
    },
  });
  for (const [code, serverFailed] of FAILED) {
    it.recorder.spans.length = 0;
    assertEquals((await assertRejects(() => it.client.call("S.fail", code), RpcError)).code, code);
    const [client, server] = pairOf(await it.recorder.ended(2));
    assertEquals([client.attributes["rpc.status_code"], client.attributes["error.type"]], [code, code]);
    assertEquals(client.status, SpanStatusCode.ERROR);
    assertEquals(server.attributes["rpc.status_code"], code);
    assertEquals(server.attributes["error.type"], serverFailed ? code : undefined);
    assertEquals(server.status, serverFailed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET);
    assertEquals([client.message, server.message], [undefined, undefined]);
  }
});

Deno.test("telemetry: arguments, results, metadata and messages are not recorded", async () => {
  const secret = "the-secret";
  await using it = await link({
    echo: (value: unknown, { replyMetadata }: CallContext) => {
      replyMetadata.set("hidden", secret);
      return value;
    },
    fail: () => {
      throw new Error(secret);
    },
  });
  await it.client.call("S.echo", { secret }, { metadata: { secret } });
  await assertRejects(() => it.client.call("S.fail", secret), RpcError);
  const all = (await it.recorder.ended(4)).map(({ name, attributes, events, message }) => {
    return JSON.stringify([name, attributes, events, message]);
  });
  assertEquals(all.filter((text) => text.includes("secret")), []);
});

Deno.test("telemetry: any error thrown by a handler is internal, on both sides", async () => {
  await using it = await link({
    fail: () => Promise.reject(new TypeError("x")),
  });
  await assertRejects(() => it.client.call("S.fail"), RpcError);
  for (const span of pairOf(await it.recorder.ended(2))) {
    assertEquals(span.attributes["error.type"], "internal");
  }
});

Deno.test("telemetry: a result that cannot be sent is a failure, though the handler did not fail", async () => {
  await using it = await link({ symbol: () => ({ f: () => {} }) });
  await assertRejects(() => it.client.call("S.symbol"), RpcError);
  for (const span of pairOf(await it.recorder.ended(2))) {
    assertEquals(span.attributes["error.type"], "internal");
  }
});

Deno.test("telemetry: a canceled call is recorded as canceled, while its handler may continue", async () => {
  const [started, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using it = await link({
    hang: () => {
      started.resolve();
      return gate.promise;
    },
  });
  const stop = new AbortController();
  const call = assertRejects(() => it.client.call("S.hang", null, { signal: stop.signal }), RpcError);
  await started.promise;
  stop.abort();
  await call;
  const [client, server] = pairOf(await it.recorder.ended(2));
  assertEquals([client.attributes["error.type"], client.status], ["canceled", SpanStatusCode.ERROR]);
  assertEquals([server.attributes["rpc.status_code"], server.status], ["canceled", SpanStatusCode.UNSET]);
  gate.resolve();
});

Deno.test("telemetry: leaving the loop of a stream ends both spans as canceled", async () => {
  await using it = await link({
    *forever() {
      for (let i = 0;; i++) yield i;
    },
  });
  for await (const _ of it.client.stream("S.forever")) break;
  const [client, server] = pairOf(await it.recorder.ended(2));
  assertEquals(client.attributes["rpc.status_code"], "canceled");
  assertEquals(server.attributes["rpc.status_code"], "canceled");
});

Deno.test("telemetry: a call that times out is deadline_exceeded on both sides", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await link({ hang: () => gate.promise });
  await assertRejects(() => it.client.call("S.hang", null, { timeout: 500 }), RpcError);
  const [client, server] = pairOf(await it.recorder.ended(2));
  assertEquals([client.attributes["error.type"], client.status], ["deadline_exceeded", SpanStatusCode.ERROR]);
  // Whichever comes first: the server's own clock, or the client's Cancel.
  assert(["deadline_exceeded", "canceled"].includes(String(server.attributes["rpc.status_code"])));
  gate.resolve();
});

Deno.test("telemetry: handleTimeout ends a call on the server as deadline_exceeded", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await link({ hang: () => gate.promise }, { server: { handleTimeout: 30 } });
  await assertRejects(() => it.client.call("S.hang"), RpcError);
  for (const span of pairOf(await it.recorder.ended(2))) {
    assertEquals([span.attributes["error.type"], span.status], ["deadline_exceeded", SpanStatusCode.ERROR]);
  }
  gate.resolve();
});

Deno.test("telemetry: a lost connection ends the spans of both sides as unavailable", async () => {
  const [started, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using it = await link({
    hang: () => {
      started.resolve();
      return gate.promise;
    },
  });
  const call = assertRejects(() => it.client.call("S.hang"), RpcError);
  await started.promise;
  await it.server.close();
  await call;
  for (const span of pairOf(await it.recorder.ended(2))) {
    assertEquals([span.attributes["error.type"], span.status], ["unavailable", SpanStatusCode.ERROR]);
  }
  gate.resolve();
});

Deno.test("telemetry: a call that starts no handler has a span only at the client", async () => {
  await using it = await link({ ok: () => 1 });
  await assertRejects(() => it.client.call("S.unknown"), RpcError);
  const [client] = await it.recorder.ended(1);
  assertEquals([client!.name, client!.attributes["error.type"]], ["S.unknown", "unimplemented"]);
  assertEquals(it.recorder.started, 1);
});

Deno.test("telemetry: an invalid call has no span, one aborted before it was sent has", async () => {
  await using it = await link({ ok: () => 1 });
  await assertRejects(() => it.client.call("S.ok", null, { timeout: -1 }), RangeError);
  assertEquals(it.recorder.started, 0);
  await assertRejects(() => it.client.call("S.ok", null, { signal: AbortSignal.abort() }), RpcError);
  const [client] = await it.recorder.ended(1);
  assertEquals(client!.attributes["error.type"], "canceled");
});

Deno.test("telemetry: addresses follow the semantic conventions for every transport", () => {
  const places: [string, string, number?][] = [
    ["tcp@10.0.0.7:9000", "10.0.0.7", 9000],
    ["tls@example.com:443", "example.com", 443],
    ["tcp@[::1]:80", "::1", 80],
    ["http@example.com:8080/rpc/here", "example.com", 8080],
    ["unix@/run/app:1.sock", "/run/app:1.sock"],
    ["unix@/run/app.sock", "/run/app.sock"],
    ["ws@127.0.0.1:1", "127.0.0.1", 1],
  ];
  const sets = new AttributeSets("network.peer");
  for (const [address, host, port] of places) {
    const expected = {
      "network.peer.address": host,
      ...port === undefined ? {} : { "network.peer.port": port },
    };
    assertEquals(sets.ofAddress(address), expected);
    assertEquals(sets.of("S.m", address), { "rpc.system.name": "troodon", "rpc.method": "S.m", ...expected });
  }
  assertEquals(sets.ofAddress("unix"), {});
  // They are kept for a limited time.
  const first = sets.of("S.m", places[0]![0]);
  assertEquals(sets.of("S.m", places[0]![0]) === first, true);
  for (let i = 0; i < 1_024; i++) sets.of("S.m", `tcp@127.0.0.1:${i}`);
  assertEquals(sets.of("S.m", places[0]![0]) === first, false);
});
