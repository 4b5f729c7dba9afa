// Two programs without a line about telemetry, run with OTEL_DENO=true, and a collector that sees what they tell: OTLP over
// HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/).

import { assert, assertEquals, assertGreater } from "@std/assert";
import { soon } from "../support/waiting.ts";

interface KeyValue {
  readonly key: string;
  /** Deno reports numbers as doubles. */
  readonly value: { readonly stringValue?: string; readonly doubleValue?: number };
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
  readonly status?: { readonly code?: number };
}

interface OtlpMetric {
  readonly name: string;
  readonly unit: string;
  readonly histogram: {
    readonly dataPoints: readonly {
      readonly count: string | number;
      readonly sum: number;
      readonly explicitBounds: readonly number[];
      readonly attributes: readonly KeyValue[];
    }[];
  };
}

interface Scoped<T> {
  readonly scope: { readonly name: string };
  readonly spans?: readonly T[];
  readonly metrics?: readonly T[];
}

interface Body {
  readonly resourceSpans?: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly Scoped<OtlpSpan>[];
  }[];
  readonly resourceMetrics?: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeMetrics: readonly Scoped<OtlpMetric>[];
  }[];
}

type Known<T> = T & { readonly service: unknown };

function valuesOf(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [
    key,
    value.stringValue ?? value.doubleValue,
  ]));
}

/** Takes what programs tell, and keeps what comes from this library. */
class Collector implements AsyncDisposable {
  readonly spans: Known<OtlpSpan>[] = [];
  readonly metrics: Known<OtlpMetric>[] = [];
  readonly #http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    this.#take(await request.json());
    return Response.json({});
  });

  get env(): Record<string, string> {
    return {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.#http.addr.port}`,
    };
  }

  #take({ resourceSpans = [], resourceMetrics = [] }: Body): void {
    const ours = ({ scope }: { scope: { name: string } }) => scope.name === "@troodon/rpc";
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = valuesOf(resource.attributes)["service.name"];
      for (const { spans = [] } of scopeSpans.filter(ours)) {
        this.spans.push(...spans.map((span) => ({ ...span, service })));
      }
    }
    for (const { resource, scopeMetrics } of resourceMetrics) {
      const service = valuesOf(resource.attributes)["service.name"];
      for (const { metrics = [] } of scopeMetrics.filter(ours)) {
        this.metrics.push(...metrics.map((metric) => ({ ...metric, service })));
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#http.shutdown();
  }
}

function spawn(env: Record<string, string>, ...args: string[]): Deno.ChildProcess {
  return new Deno.Command("deno", {
    args: ["run", "--allow-net=127.0.0.1", "tests/support/telemetry_process.ts", ...args],
    cwd: new URL("../..", import.meta.url),
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Both programs to their end; what the client printed. */
async function run(collector: Collector, more: Record<string, string> = {}): Promise<unknown> {
  const start = (service: string, ...args: string[]) =>
    spawn({ ...collector.env, OTEL_SERVICE_NAME: service, ...more }, ...args);
  const server = start("shop", "server");
  const out = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const address = (await soon(out.read(), "the server's address")).value!.trim();
  const client = start("visitor", "client", address);
  await client.stdin.close();
  const { code, stdout } = await soon(client.output(), "the client's end");
  assertEquals(code, 0);
  await server.stdin.close();
  await out.cancel();
  assertEquals((await soon(server.status, "the server's end")).code, 0);
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test("telemetry: with OTEL_DENO=true the traces of two programs are one, and durations come too", async () => {
  await using collector = new Collector();
  assertEquals(await run(collector), [["tea", "coffee"], "yes", "permission_denied"]);
  const [SERVER, CLIENT] = [2, 3];
  const only = (service: string, kind: number, name: string) => {
    const found = collector.spans.filter((span) =>
      span.service === service && span.kind === kind && span.name === name
    );
    assertEquals(found.length, 1, `${service} ${kind} ${name}`);
    return found[0]!;
  };
  assertEquals(collector.spans.length, 8);
  for (const name of ["Shop.list", "Shop.buy", "Shop.steal"]) {
    const [made, answered] = [only("visitor", CLIENT, name), only("shop", SERVER, name)];
    assertEquals(made.parentSpanId ?? "", "");
    assertEquals([answered.traceId, answered.parentSpanId], [made.traceId, made.spanId]);
    assert(BigInt(made.endTimeUnixNano) - BigInt(made.startTimeUnixNano) > 0n);
    const { "server.port": port, ...rest } = valuesOf(made.attributes);
    assertGreater(Number(port), 0);
    const failed = name === "Shop.steal"
      ? { "rpc.status_code": "permission_denied", "error.type": "permission_denied" }
      : {};
    const system = { "rpc.system.name": "troodon", "rpc.method": name };
    assertEquals(rest, { ...system, "server.address": "127.0.0.1", ...failed });
    assertEquals(made.status?.code ?? 0, name === "Shop.steal" ? 2 : 0);
    assertEquals(answered.status?.code ?? 0, 0);
  }
  // The server calls the client back, and that too belongs to the trace.
  const asked = only("shop", CLIENT, "Customer.confirm");
  const confirmed = only("visitor", SERVER, "Customer.confirm");
  assertEquals(asked.parentSpanId, only("shop", SERVER, "Shop.buy").spanId);
  assertEquals([confirmed.traceId, confirmed.parentSpanId], [asked.traceId, asked.spanId]);
  assertEquals(asked.traceId, only("visitor", CLIENT, "Shop.buy").traceId);

  for (const [service, name, count] of [["visitor", "client", 3], ["shop", "server", 3]] as const) {
    const metric = collector.metrics.findLast((metric) =>
      metric.service === service && metric.name === `rpc.${name}.call.duration`
    )!;
    assertEquals(metric.unit, "s");
    const points = metric.histogram.dataPoints;
    assertEquals(points.map(({ attributes }) => valuesOf(attributes)["rpc.method"]).toSorted(), [
      "Shop.buy",
      "Shop.list",
      "Shop.steal",
    ]);
    assertEquals(points.reduce((sum, { count }) => sum + Number(count), 0), count);
    for (const { sum, explicitBounds } of points) {
      assert(sum > 0 && sum < 30, `${sum} s`);
      assertEquals([explicitBounds[0], explicitBounds.at(-1), explicitBounds.length], [0.005, 10, 14]);
    }
  }
});

Deno.test("telemetry: calls do not become children of Deno's spans of registry requests", async () => {
  await using collector = new Collector();
  const program = spawn(collector.env, "alone");
  await program.stdin.close();
  const { code, stdout } = await soon(program.output(), "its end");
  assertEquals([code, new TextDecoder().decode(stdout)], [0, "anybody there?\n"]);
  const [made, answered] = collector.spans.toSorted((a, b) => b.kind - a.kind);
  assertEquals(collector.spans.length, 2);
  assertEquals([made!.name, made!.parentSpanId ?? "", answered!.parentSpanId], [
    "Echo.echo",
    "",
    made!.spanId,
  ]);
});

Deno.test("telemetry: the sampler named by the environment is used, and durations are still recorded", async () => {
  await using collector = new Collector();
  await run(collector, { OTEL_TRACES_SAMPLER: "always_off" });
  assertEquals(collector.spans, []);
  assertEquals(new Set(collector.metrics.map(({ service }) => service)), new Set(["visitor", "shop"]));
});

Deno.test("telemetry: the collector among the examples prints a trace as a tree, and durations", async () => {
  const collector = new Deno.Command("deno", {
    args: ["run", "-P=collector", "examples/collector.ts", "0"],
    cwd: new URL("../..", import.meta.url),
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const out = collector.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const until = async (pattern: RegExp) => {
    for (let found = pattern.exec(text);; found = pattern.exec(text)) {
      if (found !== null) return found;
      text += (await soon(out.read(), `${pattern} in ${text}`)).value ?? "";
    }
  };
  const [, url] = await until(/^Listening on (http\S+)$/m);
  const program = spawn({
    OTEL_DENO: "true",
    OTEL_SERVICE_NAME: "alone",
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_ENDPOINT: url!,
  }, "alone");
  await program.stdin.close();
  assertEquals((await program.output()).code, 0);
  await until(
    /^trace [0-9a-f]{32}\n {2}CLIENT Echo\.echo \d+\.\d ms alone\n {4}SERVER Echo\.echo \d+\.\d ms alone$/m,
  );
  await until(/^rpc\.server\.call\.duration Echo\.echo 1 calls, mean \d+\.\d\d ms alone$/m);
  collector.kill();
  await out.cancel();
  await collector.status;
});
