// OpenTelemetry's own SDK from npm, as users register it: it brings a copy of the API of its own, older than that of these
// tests, and its context manager and propagators are the real ones.

import { assertEquals } from "@std/assert";
import { context, propagation, SpanKind, trace } from "npm:@opentelemetry/api@1.9.1";
import { AsyncLocalStorageContextManager } from "npm:@opentelemetry/context-async-hooks@2.12.0";
import { W3CTraceContextPropagator } from "npm:@opentelemetry/core@2.12.0";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  ParentBasedSampler,
  SimpleSpanProcessor,
  TraceIdRatioBasedSampler,
} from "npm:@opentelemetry/sdk-trace-base@2.12.0";
import { connect, Server } from "../../mod.ts";

/** Spans of a call that makes another, with a sampler. */
async function spansOf(ratio: number) {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  try {
    await using server = new Server().register("S", {
      outer: async () => await client.call("S.inner"),
      inner: () => 1,
    });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address);
    assertEquals(await client.call<number>("S.outer"), 1);
    return exporter.getFinishedSpans();
  } finally {
    for (const api of [trace, context, propagation]) api.disable();
    await provider.shutdown();
  }
}

Deno.test("telemetry: the SDK's spans nest over both sides", async () => {
  const spans = await spansOf(1);
  const one = (kind: SpanKind, name: string) =>
    spans.find((span) => span.kind === kind && span.name === name)!;
  const chain = [
    one(SpanKind.CLIENT, "S.outer"),
    one(SpanKind.SERVER, "S.outer"),
    one(SpanKind.CLIENT, "S.inner"),
    one(SpanKind.SERVER, "S.inner"),
  ];
  assertEquals(spans.length, 4);
  for (const [i, span] of chain.entries()) {
    assertEquals(span.parentSpanContext?.spanId, chain[i - 1]?.spanContext().spanId);
    assertEquals(span.instrumentationScope.name, "@troodon/rpc");
  }
});

Deno.test("telemetry: unsampled spans are not exported, on either side", async () => {
  assertEquals(await spansOf(0), []);
});
