// deno-lint-ignore-file no-console -- the output is this program's purpose
// An OpenTelemetry collector for development: receives OTLP over HTTP in JSON on port 4318 and prints traces
// as trees, and durations. Run `deno task collector`, then any program with OTEL_DENO=true and
// OTEL_EXPORTER_OTLP_PROTOCOL=http/json. https://opentelemetry.io/docs/specs/otlp/

interface Value {
  readonly stringValue?: string;
  readonly doubleValue?: number;
  readonly intValue?: string;
}

interface Attributed {
  readonly attributes?: readonly { readonly key: string; readonly value: Value }[];
}

interface Span extends Attributed {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
}

interface Point extends Attributed {
  readonly count?: string;
  readonly sum?: number;
}

interface ExportRequest {
  readonly resourceSpans?: readonly {
    readonly resource: Attributed;
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
  readonly resourceMetrics?: readonly {
    readonly resource: Attributed;
    readonly scopeMetrics: readonly {
      readonly metrics: readonly {
        readonly name: string;
        readonly histogram?: { readonly dataPoints: Point[] };
      }[];
    }[];
  }[];
}

const KINDS = ["", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
/** Traces are considered complete when no span has arrived for this long, in ms. */
const QUIET = 500;

function valueOf({ attributes = [] }: Attributed, name: string): string {
  const value = attributes.find(({ key }) => key === name)?.value;
  return String(value?.stringValue ?? value?.doubleValue ?? value?.intValue ?? "");
}

/** Buffers received spans until their traces are printed. */
class Traces {
  #spans: (Span & { readonly service: string })[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  add(service: string, spans: readonly Span[]): void {
    this.#spans.push(...spans.map((span) => ({ ...span, service })));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#print(), QUIET);
  }

  #print(): void {
    const spans = this.#spans.splice(0).sort((a, b) =>
      Number(a.startTimeUnixNano) - Number(b.startTimeUnixNano)
    );
    const known = new Set(spans.map(({ spanId }) => spanId));
    const printChildren = (parent: string, indent: string) => {
      for (const span of spans.filter((each) => each.parentSpanId === parent)) print(span, indent);
    };
    const print = (span: (typeof spans)[number], indent: string) => {
      const ms = (Number(span.endTimeUnixNano) - Number(span.startTimeUnixNano)) / 1e6;
      const code = valueOf(span, "rpc.status_code");
      console.log(
        `${indent}${KINDS[span.kind]} ${span.name} ${ms.toFixed(1)} ms ${span.service} ${code}`.trimEnd(),
      );
      printChildren(span.spanId, `${indent}  `);
    };
    for (const span of spans.filter(({ parentSpanId }) => !known.has(parentSpanId ?? ""))) {
      console.log(`trace ${span.traceId}`);
      print(span, "  ");
    }
  }
}

function printDurations(service: string, name: string, points: readonly Point[]): void {
  for (const point of points) {
    const mean = (point.sum ?? 0) / Number(point.count) * 1e3;
    const failure = valueOf(point, "rpc.status_code");
    const method = valueOf(point, "rpc.method");
    console.log(
      `${name} ${method} ${point.count} calls, mean ${mean.toFixed(2)} ms ${service} ${failure}`.trimEnd(),
    );
  }
}

const traces = new Traces();
const port = Number(Deno.args[0] ?? 4318);
await using server = Deno.serve({
  hostname: "127.0.0.1",
  port,
  onListen: ({ port }) => console.log(`Listening on http://127.0.0.1:${port}`),
}, async (request) => {
  const { resourceSpans = [], resourceMetrics = [] }: ExportRequest = await request.json();
  for (const { resource, scopeSpans } of resourceSpans) {
    for (const { spans } of scopeSpans) traces.add(valueOf(resource, "service.name"), spans);
  }
  for (const { resource, scopeMetrics } of resourceMetrics) {
    for (const { name, histogram } of scopeMetrics.flatMap(({ metrics }) => metrics)) {
      if (!name.startsWith("rpc.")) continue;
      printDurations(valueOf(resource, "service.name"), name, histogram?.dataPoints ?? []);
    }
  }
  return Response.json({});
});
await server.finished;
