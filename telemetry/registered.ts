// OpenTelemetry's API as registered in this process by Deno (OTEL_DENO=true) or by the user's own SDK. It is looked up under the
// global key that all copies of `npm:@opentelemetry/api` 1.x and Deno share. Only the types of that package are used: importing
// it would add 4 ms to each start, its older versions 16 ms, and a newer copy rejects what an older one has registered, so that
// users' SDKs would have to match this library's version.

import type {
  ContextManager,
  DiagLogger,
  MeterProvider,
  TextMapPropagator,
  Tracer,
  TracerProvider,
} from "@opentelemetry/api";

const REGISTERED = Symbol.for("opentelemetry.js.api.1");

/** The registered providers; each is optional. */
export interface Registered {
  readonly trace?: TracerProvider & { getDelegateTracer?(name: string): Tracer | undefined };
  readonly metrics?: MeterProvider;
  readonly context?: ContextManager;
  readonly propagation?: TextMapPropagator;
  readonly diag?: DiagLogger;
}

/** What is registered now; undefined if nothing is. */
export function registered(): Registered | undefined {
  return (globalThis as { [REGISTERED]?: Registered })[REGISTERED];
}
