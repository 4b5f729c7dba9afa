// What telemetry costs nothing for: it is off, not registered, not sampled. And the durations of calls.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { diag, metrics, SpanKind, trace } from "@opentelemetry/api";
import {
  type CallContext,
  connect,
  type ConnectOptions,
  RpcError,
  Server,
  type ServerOptions,
} from "../../mod.ts";
import { link } from "../support/telemetry_link.ts";
import { Recorder } from "../support/telemetry_recorder.ts";

const ECHO = {
  echo: (value: unknown) => value,
  names: (_: unknown, { metadata }: CallContext) => metadata.size,
};

Deno.test("telemetry: nothing is sent if no SDK is registered", async () => {
  await using server = new Server().register("S", ECHO);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  // Asking the API registers its own provider, which has no tracer.
  trace.getTracer("test");
  metrics.getMeter("test");
  await using later = await connect(address);
  assertEquals([await client.call("S.names"), await later.call("S.names")], [0, 0]);
});

Deno.test("telemetry: an SDK registered later is not used", async () => {
  await using server = new Server().register("S", ECHO);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  using recorder = new Recorder();
  assertEquals(await client.call("S.names"), 0);
  assertEquals([recorder.started, recorder.durations.length], [0, 0]);
});

Deno.test("telemetry: calls of rpc.Reflection are not recorded by the server", async () => {
  await using it = await link(ECHO);
  await it.client.call("rpc.Reflection.list");
  assertEquals((await it.recorder.ended(1)).map(({ kind }) => kind), [SpanKind.CLIENT]);
  await it.client.close();
  await it.server.close();
  assertEquals(it.recorder.durations.map(({ name }) => name), ["rpc.client.call.duration"]);
});

Deno.test("telemetry: switched off, it records nothing, on either side", async () => {
  await using it = await link(ECHO, { server: { telemetry: false }, client: { telemetry: false } });
  assertEquals(await it.client.call("S.names"), 0);
  assertEquals([it.recorder.started, it.recorder.durations.length], [0, 0]);
  await using other = await connect(it.address, { telemetry: true });
  assertEquals(await other.call("S.names"), 1);
  assertEquals((await it.recorder.ended(1)).map(({ kind }) => kind), [SpanKind.CLIENT]);
});

Deno.test("telemetry: a trace continues through a server whose own telemetry is off", async () => {
  await using it = await link(ECHO);
  await using middle = new Server({ telemetry: false }).register("M", {
    ask: () => it.client.call("S.echo", 1),
  });
  const { address } = await middle.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  await client.call("M.ask");
  const spans = await it.recorder.ended(3);
  assertEquals(new Set(spans.map(({ traceId }) => traceId)).size, 1);
  const [outer, inner] = it.recorder.of(SpanKind.CLIENT).toSorted((a, b) => a.began - b.began);
  assertEquals(inner!.parent?.spanId, outer!.id);
});

Deno.test("telemetry: with traces: 0 no trace is started, and those of callers continue", async () => {
  await using it = await link(ECHO, {
    server: { telemetry: { traces: 0 } },
    client: { telemetry: { traces: 0 } },
  });
  assertEquals(await it.client.call("S.names"), 0);
  assertEquals(it.recorder.started, 0);
  await using other = await connect(it.address);
  await other.call("S.echo");
  assertEquals((await it.recorder.ended(2)).map(({ kind }) => kind), [SpanKind.SERVER, SpanKind.CLIENT]);
  // A call inside of a span of the user's belongs to a trace.
  await trace.getTracer("test").startActiveSpan("around", async (span) => {
    await it.client.call("S.echo");
    span.end();
  });
  assertEquals((await it.recorder.ended(5)).length, 5);
});

Deno.test("telemetry: a share of the calls starts a trace, and both sides agree on it", async () => {
  await using it = await link(ECHO, {
    server: { telemetry: { traces: 0 } },
    client: { telemetry: { traces: 0.5 } },
  });
  for (let i = 0; i < 200; i++) await it.client.call("S.echo", i);
  const [client, server] = [it.recorder.of(SpanKind.CLIENT), it.recorder.of(SpanKind.SERVER)];
  // Of 200 tosses of a coin, fewer than 40 or more than 160 come up once in 10^17.
  assert(client.length > 40 && client.length < 160, `${client.length} of 200`);
  assertEquals(server.map(({ parent }) => parent?.spanId).toSorted(), client.map(({ id }) => id).toSorted());
});

Deno.test("telemetry: the sampler is called with the parent, and its decision is sent along", async () => {
  const asked: (number | undefined)[] = [];
  const sample = (parent: { traceFlags: number } | undefined) => {
    asked.push(parent?.traceFlags);
    return parent === undefined ? false : parent.traceFlags === 1;
  };
  await using it = await link({
    flags: (_: unknown, { metadata }: CallContext) => String(metadata.get("traceparent")).slice(-2),
  }, { recorder: { sample } });
  assertEquals(await it.client.call("S.flags"), "00");
  assertEquals(asked, [undefined, 0]);
});

Deno.test("telemetry: durations are recorded on both sides, in s, with the advised boundaries", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await link({
    ...ECHO,
    wait: () => gate.promise,
    fail: () => {
      throw new RpcError("not_found", "x");
    },
  });
  const call = it.client.call("S.wait");
  setTimeout(gate.resolve, 20);
  await call;
  await it.client.call("S.echo");
  await assertRejects(() => it.client.call("S.fail"), RpcError);
  await it.recorder.ended(6);
  const place = { "server.address": "127.0.0.1", "server.port": it.port };
  const system = { "rpc.system.name": "troodon" };
  const of = (name: string) =>
    it.recorder.durations.filter((each) => each.name === name).map(({ attributes }) => attributes);
  assertEquals(of("rpc.client.call.duration"), [
    { ...system, "rpc.method": "S.wait", ...place },
    { ...system, "rpc.method": "S.echo", ...place },
    {
      ...system,
      "rpc.method": "S.fail",
      ...place,
      "rpc.status_code": "not_found",
      "error.type": "not_found",
    },
  ]);
  assertEquals(of("rpc.server.call.duration"), [
    { ...system, "rpc.method": "S.wait" },
    { ...system, "rpc.method": "S.echo" },
    { ...system, "rpc.method": "S.fail", "rpc.status_code": "not_found" },
  ]);
  for (const { unit, value, attributes } of it.recorder.durations) {
    const waited = attributes["rpc.method"] === "S.wait";
    assertEquals([unit, value >= 0, value < 5, !waited || value > 0.015], ["s", true, true, true]);
  }
  const advised = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
  assertEquals(Object.fromEntries(it.recorder.boundaries), {
    "rpc.client.call.duration": advised,
    "rpc.server.call.duration": advised,
  });
});

Deno.test("telemetry: every call is counted once, also those that are answered together", async () => {
  await using it = await link(ECHO, { recorder: { traces: false, contexts: false } });
  await Promise.all(Array.from({ length: 500 }, (_, i) => it.client.call("S.echo", i)));
  await it.client.call("S.echo");
  for (const side of ["client", "server"]) {
    const { length } = it.recorder.durations.filter(({ name }) => name === `rpc.${side}.call.duration`);
    // The server's last turn may not be over yet.
    assert(length === 501 || side === "server" && length === 500, `${length} of ${side}`);
  }
  assertEquals(await it.client.call("S.names"), 0);
});

Deno.test("telemetry: totals report the same calls, in batches", async () => {
  const totals = { traces: 0, metrics: "totals" } as const;
  await using it = await link({
    ...ECHO,
    fail: () => {
      throw new RpcError("internal", "x");
    },
  }, { server: { telemetry: totals }, client: { telemetry: totals } });
  const began = performance.now();
  await Promise.all(Array.from({ length: 100 }, (_, i) => it.client.call("S.echo", i)));
  await assertRejects(() => it.client.call("S.fail"), RpcError);
  const took = (performance.now() - began) / 1_000;
  // Closing waits for the end of the server's turn.
  await it.client.close();
  await it.server.close();
  const place = { "server.address": "127.0.0.1", "server.port": it.port };
  for (const [side, at] of [["client", place], ["server", {}]] as const) {
    const system = { "rpc.system.name": "troodon", ...at };
    const failure = { "rpc.status_code": "internal", "error.type": "internal" };
    const of = (name: string, method: string) =>
      it.recorder.added.filter((each) =>
        each.name === `troodon.${side}.${name}` && each.attributes["rpc.method"] === method
      );
    const sum = (points: { value: number }[]) => points.reduce((sum, { value }) => sum + value, 0);
    const calls = of("calls", "S.echo");
    assertEquals([sum(calls), calls[0]!.unit], [100, "{call}"]);
    assert(calls.length <= 10, `observed ${calls.length} times`);
    assertEquals(calls[0]!.attributes, { ...system, "rpc.method": "S.echo" });
    assertEquals(of("calls", "S.fail").map(({ value, attributes }) => [value, attributes]), [
      [1, { ...system, "rpc.method": "S.fail", ...failure }],
    ]);
    const time = of("time", "S.echo");
    assert(time.length === calls.length && time[0]!.unit === "s");
    assert(sum(time) >= 0 && sum(time) <= 100 * took, `${sum(time)} s for 100 calls in ${took} s`);
  }
  assertEquals(it.recorder.durations, []);
});

Deno.test("telemetry: metrics: false records no durations, and traces continue", async () => {
  await using it = await link(ECHO, {
    server: { telemetry: { metrics: false } },
    client: { telemetry: { metrics: false } },
  });
  await it.client.call("S.echo");
  await it.recorder.ended(2);
  assertEquals([it.recorder.durations.length, it.recorder.boundaries.size], [0, 0]);
});

Deno.test("telemetry: an error thrown by an SDK fails no call, and goes to OpenTelemetry's own log", async () => {
  const logged: unknown[] = [];
  const log = () => {};
  diag.setLogger({ error: (...args) => logged.push(args), warn: log, info: log, debug: log, verbose: log });
  try {
    const broken = new Error("The sampler is broken");
    await using it = await link(ECHO, {
      recorder: {
        sample() {
          throw broken;
        },
      },
    });
    assertEquals([await it.client.call("S.echo", 1), await it.client.call("S.names")], [1, 0]);
    assertEquals(logged.length, 4);
    assertEquals(logged[0], ["@troodon/rpc: telemetry failed", broken]);
  } finally {
    diag.disable();
  }
});

Deno.test("telemetry: options that are wrong are refused, by servers and clients", async () => {
  const wrong: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [{ traces: 1.5 }, RangeError, "Cannot use telemetry.traces 1.5: expected a share from 0 to 1"],
    [{ traces: NaN }, RangeError, "telemetry.traces NaN"],
    [{ traces: "1" }, RangeError, 'telemetry.traces "1"'],
    [{ metrics: 1 }, TypeError, 'Cannot use telemetry.metrics 1: expected true, false or "totals"'],
    [{ trace: 1 }, TypeError, 'unknown option "trace"; did you mean "traces"?'],
    ["yes", TypeError, "Cannot use telemetry: expected an object with options"],
    [null, TypeError, "Cannot use telemetry"],
  ];
  for (const [telemetry, kind, message] of wrong) {
    assertThrows(() => new Server({ telemetry } as ServerOptions), kind, message);
    await assertRejects(() => connect("tcp@127.0.0.1:1", { telemetry } as ConnectOptions), kind, message);
  }
});
