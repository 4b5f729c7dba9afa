// Spans, contexts and meters of OpenTelemetry's API as registered in this process. Used by the observers of calls.

import type {
  Context,
  ContextManager,
  DiagLogger,
  Meter,
  Span,
  SpanOptions,
  TextMapPropagator,
  Tracer,
} from "@opentelemetry/api";
import { registered } from "./registered.ts";

/** The instrumentation scope of all spans and metrics. */
const SCOPE = "@troodon/rpc";
const SPAN = Symbol.for("OpenTelemetry Context Key SPAN");

/** A context of OpenTelemetry that adds one value to another context. */
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

/** The empty context. */
export const ROOT: Context = new Extended();

/** The span of a context, if any. */
export function spanOf(context: Context): Span | undefined {
  return context.getValue(SPAN) as Span | undefined;
}

/** A context with `span` as its active span. */
export function withSpan(context: Context, span: Span): Context {
  return context.setValue(SPAN, span);
}

/** OpenTelemetry as registered when this object was created. */
export class Otel {
  readonly #tracer: Tracer | undefined;
  /** Creates instruments; undefined if no meter provider is registered. */
  readonly meter: Meter | undefined;
  readonly #contexts: ContextManager | undefined;
  readonly #propagator: TextMapPropagator | undefined;
  readonly #diag: DiagLogger | undefined;

  constructor() {
    const { trace, metrics, context, propagation, diag } = registered() ?? {};
    // The API's own provider exists as soon as any code has requested one, and has a delegate only with an SDK.
    this.#tracer = trace?.getDelegateTracer === undefined
      ? trace?.getTracer(SCOPE)
      : trace.getDelegateTracer(SCOPE);
    this.meter = metrics?.getMeter(SCOPE);
    this.#contexts = context;
    this.#propagator = propagation;
    this.#diag = diag;
  }

  /** Whether a tracer is registered. */
  get traces(): boolean {
    return this.#tracer !== undefined;
  }

  /** Runs registered code. Exceptions go to OpenTelemetry's own log, so that they fail no call. */
  guard<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      this.#diag?.error(`${SCOPE}: telemetry failed`, error);
      return undefined;
    }
  }

  /** Starts a span; undefined if there is no tracer, or it fails. */
  start(name: string, options: SpanOptions, context: Context): Span | undefined {
    return this.guard(() => this.#tracer?.startSpan(name, options, context));
  }

  /** The active context. */
  active(): Context {
    return this.#contexts?.active() ?? ROOT;
  }

  /** Runs `fn`, and asynchronous work that it starts, in a context. */
  run<R>(context: Context, fn: () => R): R {
    return this.#contexts === undefined ? fn() : this.#contexts.with(context, fn);
  }

  /** The context that the sender of `metadata` has propagated; otherwise `context`. */
  extract(context: Context, metadata: ReadonlyMap<string, string | Uint8Array>): Context {
    return this.guard(() => this.#propagator?.extract(context, metadata, GETTER)) ?? context;
  }

  /** Adds the propagation entries of a context to `metadata`. */
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
