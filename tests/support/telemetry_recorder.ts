// OpenTelemetry as a test registers it: providers that record what they receive, written against the API's interfaces and
// registered through the API. They are the process's, so each test disposes of its own.

import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Attributes,
  type Context,
  context,
  type Link,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  type TextMapPropagator,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { soon } from "./waiting.ts";

const HEX = (bytes: number) =>
  [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );

/** A span as it was reported. */
export class RecordedSpan implements Span {
  readonly name: string;
  readonly kind: SpanKind;
  readonly parent: SpanContext | undefined;
  readonly attributes: Attributes;
  readonly events: { readonly name: string; readonly attributes: Attributes }[] = [];
  readonly began = performance.now();
  status: SpanStatusCode = SpanStatusCode.UNSET;
  /** What its status says in words. */
  message: string | undefined;
  /** ms; undefined until it ends. */
  took: number | undefined;
  readonly #context: SpanContext;
  readonly #ended: (span: RecordedSpan) => void;

  constructor(
    name: string,
    options: SpanOptions,
    parent: SpanContext | undefined,
    sampled: boolean,
    ended: (span: RecordedSpan) => void,
  ) {
    this.name = name;
    this.kind = options.kind ?? SpanKind.INTERNAL;
    this.attributes = { ...options.attributes };
    this.parent = parent;
    this.#context = {
      traceId: parent?.traceId ?? HEX(16),
      spanId: HEX(8),
      traceFlags: sampled ? 1 : 0,
      traceState: parent?.traceState,
    };
    this.#ended = ended;
  }

  spanContext(): SpanContext {
    return this.#context;
  }
  get traceId(): string {
    return this.#context.traceId;
  }
  get id(): string {
    return this.#context.spanId;
  }
  setAttribute(name: string, value: Attributes[string]): this {
    return this.setAttributes({ [name]: value });
  }
  setAttributes(attributes: Attributes): this {
    if (this.took !== undefined) throw new Error(`${this.name} has ended already`);
    Object.assign(this.attributes, attributes);
    return this;
  }
  addEvent(name: string, attributes?: unknown): this {
    if (this.took !== undefined) throw new Error(`${this.name} has ended already`);
    this.events.push({ name, attributes: attributes as Attributes });
    return this;
  }
  setStatus({ code, message }: { code: SpanStatusCode; message?: string }): this {
    this.status = code;
    this.message = message;
    return this;
  }
  end(): void {
    if (this.took !== undefined) throw new Error(`${this.name} ends twice`);
    this.took = performance.now() - this.began;
    this.#ended(this);
  }
  isRecording(): boolean {
    return this.took === undefined;
  }
  addLink(_: Link): this {
    return this;
  }
  addLinks(_: Link[]): this {
    return this;
  }
  updateName(_: string): this {
    return this;
  }
  recordException(): void {}
}

/** W3C Trace Context and Baggage, as much as tests need: a baggage is one text under one key. */
const BAGGAGE = Symbol("baggage");
const W3C: TextMapPropagator = {
  fields: () => ["traceparent", "tracestate", "baggage"],
  inject(context, carrier, setter) {
    const span = trace.getSpanContext(context);
    if (span !== undefined) {
      setter.set(carrier, "traceparent", `00-${span.traceId}-${span.spanId}-0${span.traceFlags}`);
      if (span.traceState !== undefined) setter.set(carrier, "tracestate", span.traceState.serialize());
    }
    const baggage = context.getValue(BAGGAGE);
    if (typeof baggage === "string") setter.set(carrier, "baggage", baggage);
  },
  extract(context, carrier, getter) {
    const [, traceId, spanId, flags] =
      /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(String(getter.get(carrier, "traceparent"))) ??
        [];
    const baggage = getter.get(carrier, "baggage");
    const within = typeof baggage === "string" ? context.setValue(BAGGAGE, baggage) : context;
    if (traceId === undefined) return within;
    const state = getter.get(carrier, "tracestate");
    const traceState = typeof state === "string"
      ? { serialize: () => state, get: () => undefined, set: () => traceState!, unset: () => traceState! }
      : undefined;
    const remote = { traceId, spanId: spanId!, traceFlags: Number(flags), isRemote: true, traceState };
    return trace.setSpanContext(within, remote);
  },
};

/** A context with a baggage. */
export function withBaggage(baggage: string): Context {
  return context.active().setValue(BAGGAGE, baggage);
}

/** The baggage of what is going on. */
export function activeBaggage(): unknown {
  return context.active().getValue(BAGGAGE);
}

/** What an instrument recorded. */
export interface Measured {
  readonly name: string;
  readonly unit: string | undefined;
  readonly value: number;
  readonly attributes: Attributes;
}

/** What a recorder is to have and do. */
export interface RecorderOptions {
  /** @default {true} */
  readonly traces?: boolean;
  /** @default {true} */
  readonly metrics?: boolean;
  /** Without it only what libraries hand on themselves is known. @default {true} */
  readonly contexts?: boolean;
  /** Whether a span is sampled. @default {all are} */
  readonly sample?: (parent: SpanContext | undefined) => boolean;
}

/** Everything that is recorded while it exists. */
export class Recorder implements Disposable {
  /** Those that have ended, in that order. */
  readonly spans: RecordedSpan[] = [];
  /** How many were started. */
  started = 0;
  readonly durations: Measured[] = [];
  /** What was added to counters, each time. */
  readonly added: Measured[] = [];
  /** The advice that came with the instruments. */
  readonly boundaries = new Map<string, readonly number[] | undefined>();
  readonly scopes = new Set<string>();
  #waiting: { count: number; resolve: () => void } | undefined;

  constructor(
    { traces = true, metrics: meters = true, contexts = true, sample = () => true }: RecorderOptions = {},
  ) {
    const tracer: Tracer = {
      startSpan: (name, options = {}, within = context.active()) => {
        this.started++;
        const parent = options.root ? undefined : trace.getSpanContext(within);
        return new RecordedSpan(name, options, parent, sample(parent), (span) => this.#ended(span));
      },
      startActiveSpan(name: string, ...rest: unknown[]) {
        const span = this.startSpan(name);
        const run = rest.at(-1) as (span: Span) => unknown;
        // deno-lint-ignore no-explicit-any -- as the API's type has it
        return context.with(trace.setSpan(context.active(), span), () => run(span)) as any;
      },
    };
    const registered = [
      traces && trace.setGlobalTracerProvider({
        getTracer: (name) => {
          this.scopes.add(name);
          return tracer;
        },
      }),
      contexts && context.setGlobalContextManager(contextManager()),
      traces && propagation.setGlobalPropagator(W3C),
      meters && metrics.setGlobalMeterProvider({ getMeter: () => this.#meter() }),
    ];
    if (
      registered.filter((done) => !done).length !==
        [traces, contexts, traces, meters].filter((on) => !on).length
    ) {
      throw new Error("Something is registered already");
    }
  }

  /** Waits until so many spans have ended. */
  async ended(count: number): Promise<RecordedSpan[]> {
    while (this.spans.length < count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting = { count, resolve };
      await soon(promise, `${count} spans, of which ${this.spans.length} have come`);
    }
    return this.spans;
  }

  /** The spans of one kind, in the order in which they ended. */
  of(kind: SpanKind): RecordedSpan[] {
    return this.spans.filter((span) => span.kind === kind);
  }

  [Symbol.dispose](): void {
    for (const api of [trace, context, propagation, metrics]) api.disable();
  }

  #ended(span: RecordedSpan): void {
    this.spans.push(span);
    if (this.#waiting !== undefined && this.spans.length >= this.#waiting.count) this.#waiting.resolve();
  }

  // deno-lint-ignore no-explicit-any -- of a meter there is but what is asked for
  #meter(): any {
    return {
      createCounter: (name: string, { unit }: { unit?: string }) => ({
        add: (value: number, attributes: Attributes) =>
          this.added.push({ name, unit, value, attributes: { ...attributes } }),
      }),
      createHistogram: (
        name: string,
        options: { unit?: string; advice?: { explicitBucketBoundaries?: number[] } },
      ) => {
        this.boundaries.set(name, options.advice?.explicitBucketBoundaries);
        return {
          record: (value: number, attributes: Attributes) =>
            this.durations.push({ name, unit: options.unit, value, attributes: { ...attributes } }),
        };
      },
    };
  }
}

function contextManager() {
  const storage = new AsyncLocalStorage<Context>();
  return {
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: <A extends unknown[], F extends (...args: A) => ReturnType<F>>(
      within: Context,
      fn: F,
      _?: unknown,
      ...args: A
    ) => storage.run(within, () => fn(...args)),
    bind: <T>(_: Context, target: T) => target,
    enable() {
      return this;
    },
    disable() {
      storage.disable();
      return this;
    },
  };
}
