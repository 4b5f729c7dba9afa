// OpenTelemetry's API as it stands in this process: what Deno (OTEL_DENO=true) or the user's own SDK has registered. It is
// looked up where all copies of `npm:@opentelemetry/api` 1.x find each other, and Deno puts its own. Of that package only
// the types are used: importing it would cost each start 4 ms, its older versions 16 ms, and a newer copy of it refuses
// what an older one has registered, so that users' SDKs would have to match this library.

import type {
  Context,
  ContextManager,
  DiagLogger,
  Meter,
  MeterProvider,
  Span,
  SpanOptions,
  TextMapPropagator,
  Tracer,
  TracerProvider,
} from "@opentelemetry/api";

/** The scope of all spans and metrics. */
const SCOPE = "@troodon/rpc";
const REGISTERED = Symbol.for("opentelemetry.js.api.1");
const SPAN = Symbol.for("OpenTelemetry Context Key SPAN");

/** What may be registered; each part by itself. */
interface Registered {
  readonly trace?: TracerProvider & { getDelegateTracer?(name: string): Tracer | undefined };
  readonly metrics?: MeterProvider;
  readonly context?: ContextManager;
  readonly propagation?: TextMapPropagator;
  readonly diag?: DiagLogger;
}

/** A context of OpenTelemetry that holds one value more than another. */
class Extended implements Context {
  readonly #key: symbol | undefined;
  readonly #value: unknown;
  readonly #outer: Context | undefined;

  constructor(key?: symbol, value?: unknown, outer?: Context) {
    this.#key = key;
    this.#value = value;
    this.#outer = outer;
  }

  getValue(key: symbol): unknown {
    return key === this.#key ? this.#value : this.#outer?.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return new Extended(key, value, this);
  }

  deleteValue(key: symbol): Context {
    return new Extended(key, undefined, this);
  }
}

/** The context in which nothing is going on. */
export const ROOT: Context = new Extended();

/** The span of a context. */
export function spanOf(context: Context): Span | undefined {
  return context.getValue(SPAN) as Span | undefined;
}

/** A context in which `span` is the one that is going on. */
export function withSpan(context: Context, span: Span): Context {
  return context.setValue(SPAN, span);
}

/** OpenTelemetry as it was registered when this was made. */
export class Otel {
  readonly #tracer: Tracer | undefined;
  /** Makes instruments; undefined if nobody wants metrics. */
  readonly meter: Meter | undefined;
  readonly #contexts: ContextManager | undefined;
  readonly #propagator: TextMapPropagator | undefined;
  readonly #diag: DiagLogger | undefined;

  constructor() {
    const registered = (globalThis as { [REGISTERED]?: Registered })[REGISTERED];
    const { trace, metrics, context, propagation, diag } = registered ?? {};
    // The API's own provider is there as soon as anybody has asked for it, and has a tracer when there is an SDK.
    this.#tracer = trace?.getDelegateTracer === undefined
      ? trace?.getTracer(SCOPE)
      : trace.getDelegateTracer(SCOPE);
    this.meter = metrics?.getMeter(SCOPE);
    this.#contexts = context;
    this.#propagator = propagation;
    this.#diag = diag;
  }

  /** Whether anybody wants spans. */
  get traces(): boolean {
    return this.#tracer !== undefined;
  }

  /** Runs what somebody has registered: what it throws is for OpenTelemetry's own log, and no call fails by it. */
  guard<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      this.#diag?.error(`${SCOPE}: telemetry failed`, error);
      return undefined;
    }
  }

  /** Starts a span; undefined if nobody wants any, or it cannot be started. */
  start(name: string, options: SpanOptions, context: Context): Span | undefined {
    return this.guard(() => this.#tracer?.startSpan(name, options, context));
  }

  /** The context of what is going on here. */
  active(): Context {
    return this.#contexts?.active() ?? ROOT;
  }

  /** Runs `fn`, and whatever it starts, in a context. */
  run<R>(context: Context, fn: () => R): R {
    return this.#contexts === undefined ? fn() : this.#contexts.with(context, fn);
  }

  /** A context that is part of that of whoever sent `metadata`, and else of `context`. */
  extract(context: Context, metadata: ReadonlyMap<string, string | Uint8Array>): Context {
    return this.guard(() => this.#propagator?.extract(context, metadata, GETTER)) ?? context;
  }

  /** Puts what tells others of a context into `metadata`. */
  inject(context: Context, metadata: Map<string, string | Uint8Array>): void {
    this.guard(() => this.#propagator?.inject(context, metadata, SETTER));
  }
}

const GETTER = {
  keys: (metadata: ReadonlyMap<string, unknown>): string[] => [...metadata.keys()],
  get(metadata: ReadonlyMap<string, unknown>, name: string): string | undefined {
    const value = metadata.get(name);
    return typeof value === "string" ? value : undefined;
  },
};

const SETTER = {
  set(metadata: Map<string, unknown>, name: string, value: string): void {
    metadata.set(name, value);
  },
};
