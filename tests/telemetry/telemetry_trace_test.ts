// Traces: what is whose child, over servers, callbacks, streams and awaits; what travels; and what another language sends.

import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { context, SpanKind, trace } from "@opentelemetry/api";
import { type CallContext, connect, type Interceptor, MultiServers, RpcError, Server } from "../../mod.ts";
import { call, headerOf } from "../support/frames.ts";
import { freePort } from "../support/programs.ts";
import { OPTION, RawPeer } from "../support/raw_peer.ts";
import { link } from "../support/telemetry_link.ts";
import { activeBaggage, type RecordedSpan, Recorder, withBaggage } from "../support/telemetry_recorder.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const REMOTE = "b7ad6b7169203331";

/** Spans as lines such as `CLIENT S.a`, each below what it is the child of. */
function tree(spans: readonly RecordedSpan[]): string[] {
  const lines: string[] = [];
  const add = (parent: string | undefined, indent: string) => {
    const known = new Set(spans.map(({ id }) => id));
    const children = spans.filter(({ parent: own }) =>
      parent === undefined ? own === undefined || !known.has(own.spanId) : own?.spanId === parent
    );
    for (const span of children.toSorted((a, b) => a.began - b.began)) {
      lines.push(`${indent}${SpanKind[span.kind]} ${span.name}`);
      add(span.id, `${indent}  `);
    }
  };
  add(undefined, "");
  return lines;
}

/** Awaits of several kinds, after each of which the context has to be the same. */
async function waits() {
  await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise<void>((resolve) => queueMicrotask(resolve));
}

for (const contexts of [true, false]) {
  const how = contexts ? "" : ", without a context manager too";
  Deno.test(`telemetry: a call made inside a handler is a child of the handler's span, after awaits${how}`, async () => {
    await using it = await link({
      outer: async () => {
        await waits();
        const first = await it.client.call<number>("S.inner", 1);
        await waits();
        return first + await it.client.call<number>("S.inner", 2);
      },
      inner: (n: number) => n,
    }, { recorder: { contexts } });
    assertEquals(await it.client.call("S.outer"), 3);
    assertEquals(tree(await it.recorder.ended(6)), [
      "CLIENT S.outer",
      "  SERVER S.outer",
      "    CLIENT S.inner",
      "      SERVER S.inner",
      "    CLIENT S.inner",
      "      SERVER S.inner",
    ]);
  });
}

Deno.test("telemetry: streams of a handler are made in its context, from the first item to the last", async () => {
  await using it = await link({
    async *outer(ns: AsyncIterable<number>) {
      for await (const n of ns) {
        await waits();
        yield await it.client.call("S.inner", n);
      }
      yield* it.client.stream<number>("S.tail");
    },
    inner: (n: number) => n,
    *tail() {
      yield 9;
    },
  });
  async function* given() {
    yield 1;
    await waits();
    yield 2;
  }
  assertEquals(await Array.fromAsync(it.client.stream("S.outer", given())), [1, 2, 9]);
  assertEquals(tree(await it.recorder.ended(8)), [
    "CLIENT S.outer",
    "  SERVER S.outer",
    "    CLIENT S.inner",
    "      SERVER S.inner",
    "    CLIENT S.inner",
    "      SERVER S.inner",
    "    CLIENT S.tail",
    "      SERVER S.tail",
  ]);
});

Deno.test("telemetry: concurrent calls do not share spans", async () => {
  await using it = await link({
    outer: async (n: number) => {
      await waits();
      return await it.client.call("S.inner", n);
    },
    inner: (n: number) => n,
  });
  await Promise.all(Array.from({ length: 50 }, (_, n) => it.client.call("S.outer", n)));
  const spans = await it.recorder.ended(200);
  assertEquals(new Set(spans.map(({ traceId }) => traceId)).size, 50);
  assertEquals(tree(spans).filter((line) => line.startsWith("      SERVER S.inner")).length, 50);
});

Deno.test("telemetry: the user's own spans nest, in handlers and around calls", async () => {
  await using it = await link({
    work: () => {
      trace.getTracer("test").startSpan("own").end();
      return null;
    },
  });
  const around = trace.getTracer("test").startSpan("around");
  await context.with(trace.setSpan(context.active(), around), () => it.client.call("S.work"));
  around.end();
  assertEquals(tree(await it.recorder.ended(4)), [
    "INTERNAL around",
    "  CLIENT S.work",
    "    SERVER S.work",
    "      INTERNAL own",
  ]);
});

Deno.test("telemetry: a call back is a child of the call that it is made for", async () => {
  await using it = await link({
    run: async (_: unknown, { peer }: CallContext) => {
      await waits();
      const items = await Array.fromAsync(peer.stream("Progress.all"));
      return [await peer.call("Progress.show", 50), ...items];
    },
  }, {
    client: {
      services: {
        Progress: {
          show: (percent: number) => percent,
          *all() {
            yield 1;
          },
        },
      },
    },
  });
  assertEquals(await it.client.call("S.run"), [50, 1]);
  const spans = await it.recorder.ended(6);
  assertEquals(tree(spans), [
    "CLIENT S.run",
    "  SERVER S.run",
    "    CLIENT Progress.all",
    "      SERVER Progress.all",
    "    CLIENT Progress.show",
    "      SERVER Progress.show",
  ]);
  const back = spans.find(({ kind, name }) => kind === SpanKind.CLIENT && name === "Progress.show")!;
  assertEquals(back.attributes["server.address"], "127.0.0.1");
});

Deno.test("telemetry: interceptors of a server run inside of its span, those of a client outside", async () => {
  const own: Interceptor = async (call, next) => {
    const span = trace.getTracer("test").startSpan("interceptor");
    try {
      return await next(call);
    } finally {
      span.end();
    }
  };
  await using it = await link({ ok: () => 1 }, { client: { interceptors: [own] } });
  it.server.use(own);
  await it.client.call("S.ok");
  const spans = await it.recorder.ended(4);
  const [inside, outside] = it.recorder.of(SpanKind.INTERNAL);
  assertEquals(inside!.parent?.spanId, spans.find(({ kind }) => kind === SpanKind.SERVER)!.id);
  assertEquals(outside!.parent, undefined);
});

Deno.test("telemetry: a server's spans are not children of the span in which it began to listen", async () => {
  using recorder = new Recorder();
  const start = trace.getTracer("test").startSpan("start");
  await context.with(trace.setSpan(context.active(), start), async () => {
    await using server = new Server().register("S", { ok: () => 1 });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address, { telemetry: false });
    await client.call("S.ok");
  });
  start.end();
  const server = recorder.of(SpanKind.SERVER)[0]!;
  assertEquals(server.parent, undefined);
  assertNotEquals(server.traceId, start.spanContext().traceId);
});

Deno.test("telemetry: tracestate and baggage travel with traceparent, over two hops", async () => {
  const seen: unknown[] = [];
  await using it = await link({
    first: () => it.client.call("S.second"),
    second: (_: unknown, { metadata }: CallContext) => {
      seen.push(
        activeBaggage(),
        metadata.get("tracestate"),
        String(metadata.get("traceparent")).slice(3, 35),
      );
    },
  });
  const metadata = { traceparent: `00-${TRACE}-${REMOTE}-01`, tracestate: "vendor=1" };
  await context.with(withBaggage("user=7"), () => it.client.call("S.first", null, { metadata }));
  assertEquals(seen, ["user=7", "vendor=1", TRACE]);
});

Deno.test("telemetry: a traceparent in the metadata is the parent of a call, unless a span is active", async () => {
  await using it = await link({ ok: (_: unknown, { metadata }: CallContext) => metadata.get("tracestate") });
  const metadata = { traceparent: `00-${TRACE}-${REMOTE}-01`, tracestate: "vendor=1" };
  assertEquals(await it.client.call("S.ok", null, { metadata }), "vendor=1");
  const [, client] = await it.recorder.ended(2);
  assertEquals([client!.parent?.spanId, client!.traceId], [REMOTE, TRACE]);
  it.recorder.spans.length = 0;
  const around = trace.getTracer("test").startSpan("around");
  const state = await context.with(
    trace.setSpan(context.active(), around),
    () => it.client.call("S.ok", null, { metadata }),
  );
  // The state of another trace does not go along.
  assertEquals(state, undefined);
  const [server, own] = await it.recorder.ended(2);
  assertEquals([own!.parent?.spanId, server!.traceId], [
    around.spanContext().spanId,
    around.spanContext().traceId,
  ]);
});

Deno.test("telemetry: other metadata are sent along with the trace, and 64 entries leave no room for it", async () => {
  await using it = await link({ names: (_: unknown, { metadata }: CallContext) => [...metadata.keys()] });
  const names = await it.client.call<string[]>("S.names", null, { metadata: { mine: "1" } });
  assertEquals(names, ["mine", "traceparent"]);
  const full = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`n${i}`, ""]));
  assertEquals((await it.client.call<string[]>("S.names", null, { metadata: full })).length, 64);
});

Deno.test("telemetry: a traceparent sent as bytes by another language is the parent of the server's span", async () => {
  using recorder = new Recorder();
  await using server = new Server().register("S", { baggage: () => activeBaggage() ?? null });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  using peer = await RawPeer.dial(Number(address.split(":").at(-1)));
  await peer.send(OPTION);
  await peer.line();
  const sent = new Map([["traceparent", `00-${TRACE}-${REMOTE}-01`], ["baggage", "user=7"]]);
  await peer.send(call(1, "S.baggage", null, 1_000, sent));
  assertEquals((await peer.frame())!.header, headerOf.reply(1));
  const [span] = await recorder.ended(1);
  assertEquals([span!.traceId, span!.parent?.spanId, span!.parent?.isRemote], [TRACE, REMOTE, true]);
  // An invalid traceparent, or one that is not text, starts a new trace.
  const bad = ["nonsense", "00-0-0-01", new Uint8Array(3), `00-${TRACE}-${REMOTE}`];
  for (const [i, traceparent] of bad.entries()) {
    await peer.send(
      call(3 + 2 * i, "S.baggage", null, 1_000, new Map([["traceparent", traceparent]])),
    );
    assertEquals((await peer.frame())!.header, headerOf.reply(3 + 2 * i));
  }
  for (const span of (await recorder.ended(1 + bad.length)).slice(1)) assertEquals(span.parent, undefined);
});

Deno.test("telemetry: an attempt that failed is an event of the one span of the call", async () => {
  using recorder = new Recorder();
  await using server = new Server().register("S", { ok: () => 1 });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const down = freePort();
  await using client = await connect(new MultiServers([`tcp@127.0.0.1:${down}`, address]));
  while (recorder.spans.length < 4) await client.call("S.ok");
  const tried = recorder.of(SpanKind.CLIENT).find(({ events }) => events.length > 0)!;
  assertEquals(tried.events, [{
    name: "rpc.attempt.failed",
    attributes: {
      "rpc.status_code": "unavailable",
      "error.type": "unavailable",
      "server.address": "127.0.0.1",
      "server.port": down,
    },
  }]);
  // It says where the answer came from, and that it did not fail.
  assertEquals([tried.attributes["server.port"], tried.attributes["error.type"], tried.status], [
    Number(address.split(":").at(-1)),
    undefined,
    0,
  ]);
  const answered = recorder.of(SpanKind.SERVER).find(({ parent }) => parent?.spanId === tried.id);
  assertEquals(answered?.traceId, tried.traceId);
});

for (const failMode of ["retry", "failover"] as const) {
  Deno.test(`telemetry: a retried call (${failMode}) has one span at the client and one per attempt at the server`, async () => {
    using recorder = new Recorder();
    let calls = 0;
    await using server = new Server().register("S", {
      flaky: () => {
        if (++calls < 3) throw new RpcError("unavailable", "Not now");
        return "at last";
      },
    });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address, { failMode });
    assertEquals(await client.call("S.flaky", null, { idempotent: true }), "at last");
    const spans = await recorder.ended(4);
    assertEquals(tree(spans), ["CLIENT S.flaky", "  SERVER S.flaky", "  SERVER S.flaky", "  SERVER S.flaky"]);
    const { events, attributes } = recorder.of(SpanKind.CLIENT)[0]!;
    assertEquals(events.map(({ name }) => name), ["rpc.attempt.failed", "rpc.attempt.failed"]);
    assertEquals("error.type" in attributes, false);
  });
}

Deno.test("telemetry: the last failed attempt is not an event but the status of the span", async () => {
  await using it = await link({
    down: () => {
      throw new RpcError("unavailable", "Never");
    },
  });
  await assertRejects(() => it.client.call("S.down", null, { idempotent: true }), RpcError);
  const client = (await it.recorder.ended(5)).find(({ kind }) => kind === SpanKind.CLIENT)!;
  assertEquals([client.events.length, client.attributes["error.type"]], [3, "unavailable"]);
});

Deno.test("telemetry: a failed broadcast names the server, and the canceled calls do not count", async () => {
  using recorder = new Recorder();
  const gate = Promise.withResolvers<void>();
  const handlers = [() => 1, () => gate.promise, () => {
    throw new RpcError("internal", "x");
  }];
  await using stack = new AsyncDisposableStack();
  const addresses = await Promise.all(handlers.map(async (all) => {
    const server = stack.use(new Server().register("S", { all }));
    return (await server.listen("tcp@127.0.0.1:0")).address;
  }));
  await using client = await connect(new MultiServers(addresses));
  await assertRejects(() => client.broadcast("S.all"), RpcError);
  gate.resolve();
  const spans = await recorder.ended(4);
  assertEquals(tree(spans), ["CLIENT S.all", "  SERVER S.all", "  SERVER S.all", "  SERVER S.all"]);
  const { attributes, events } = recorder.of(SpanKind.CLIENT)[0]!;
  assertEquals([attributes["error.type"], `tcp@127.0.0.1:${attributes["server.port"]}`], [
    "internal",
    addresses[2],
  ]);
  assertEquals(events, []);
});

Deno.test("telemetry: backup requests and broadcasts have one span, and a child on every server", async () => {
  using recorder = new Recorder();
  const gate = Promise.withResolvers<void>();
  await using slow = new Server().register("S", { who: () => gate.promise, all: () => 1 });
  await using fast = new Server().register("S", { who: () => "fast", all: () => 1 });
  const addresses = await Promise.all(
    [slow, fast].map(async (each) => (await each.listen("tcp@127.0.0.1:0")).address),
  );
  await using client = await connect(new MultiServers(addresses), { failMode: { backup: 5 } });
  await client.broadcast("S.all");
  assertEquals(tree(await recorder.ended(3)), ["CLIENT S.all", "  SERVER S.all", "  SERVER S.all"]);
  recorder.spans.length = 0;
  assertEquals(await client.call("S.who", null, { idempotent: true }), "fast");
  gate.resolve();
  const spans = await recorder.ended(recorder.started - 3);
  assertEquals(tree(spans)[0], "CLIENT S.who");
  const [made, ...others] = recorder.of(SpanKind.CLIENT);
  assertEquals(others, []);
  // Who was given up has not failed, and is not where the answer came from.
  assertEquals([made!.events, `tcp@127.0.0.1:${made!.attributes["server.port"]}`], [[], addresses[1]]);
});
