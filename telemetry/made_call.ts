// The calls that one client makes, or a server back to its callers: a span around each, which goes along with it, and its
// duration. Asked by OutgoingCall.

import type { Context, Histogram, Span } from "@opentelemetry/api";
import { MAX_METADATA_ENTRIES, type Metadata } from "../call/metadata.ts";
import type { AnswerWatch, CallWatch, CallWatcher, WatchedCall } from "../call/watch.ts";
import { AnsweredCall } from "./answered_call.ts";
import {
  addPlace,
  type Attributes,
  attributesOf,
  CLIENT,
  durations,
  ERROR,
  failureHere,
  Places,
} from "./conventions.ts";
import type { TelemetrySettings } from "./options.ts";
import { type Otel, ROOT, spanOf, withSpan } from "./otel.ts";

/** What an event is called that tells of an attempt after which there was another. */
const ATTEMPT_FAILED = "rpc.attempt.failed";

/** Watches the calls of one client or server. */
export class MadeCalls implements CallWatcher {
  readonly otel: Otel;
  /** Where durations are recorded. */
  readonly durations: Histogram | undefined;
  readonly places: Places = new Places();
  readonly #traces: number;

  constructor(otel: Otel, { traces, metrics }: TelemetrySettings) {
    this.otel = otel;
    this.#traces = traces;
    if (metrics && otel.meter !== undefined) this.durations = durations(otel.meter, "client");
  }

  watch(call: WatchedCall, outer: object | undefined): CallWatch {
    return new MadeCall(this, call, this.#parent(call, outer));
  }

  /** Starts the span of a call, unless chance is against it. */
  start(method: string, attributes: Attributes, parent: Context): Span | undefined {
    const { tracer } = this.otel;
    if (tracer === undefined) return undefined;
    if (this.#traces < 1 && spanOf(parent) === undefined && Math.random() >= this.#traces) return undefined;
    return tracer.startSpan(method, { kind: CLIENT, attributes }, parent);
  }

  /** What a call is part of: what is going on here, the answer that it is made for, or what its metadata say. */
  #parent({ metadata }: WatchedCall, outer: { watch?: AnswerWatch } | undefined): Context {
    if (this.otel.tracer === undefined) return ROOT;
    const active = this.otel.active();
    if (spanOf(active) !== undefined) return active;
    const answering = outer?.watch;
    if (answering instanceof AnsweredCall && spanOf(answering.context) !== undefined) {
      return answering.context;
    }
    if (metadata === undefined) return active;
    const sent = this.otel.extract(metadata);
    return spanOf(sent) === undefined ? active : sent;
  }
}

/** One call. */
class MadeCall implements CallWatch {
  readonly #calls: MadeCalls;
  readonly #call: WatchedCall;
  readonly #parent: Context;
  #span: Span | undefined;
  #began: number | undefined;
  /** Where it is made, and what its span says about that. */
  #address: string | undefined;
  #told: string | undefined;
  /** The last attempt that failed: told when there is another. */
  #failed: { readonly address: string; readonly error: unknown; readonly at: number } | undefined;

  constructor(calls: MadeCalls, call: WatchedCall, parent: Context) {
    this.#calls = calls;
    this.#call = call;
    this.#parent = parent;
    const { settle, fail } = call;
    call.settle = (result, metadata) => {
      this.#end();
      settle(result, metadata);
    };
    call.fail = (error) => {
      this.#end(failureHere(error));
      fail(error);
    };
  }

  begin(now: number, address: string | undefined): void {
    this.#began = now;
    this.#address = this.#told = address;
    const span = this.#span = this.#calls.start(this.#call.method, this.#attributes(), this.#parent);
    if (span !== undefined) this.#send(span);
  }

  answeredAt(address: string): void {
    this.#address = address;
    this.#tellFailed();
  }

  failedAt(address: string, error: unknown): void {
    this.#tellFailed();
    this.#address = address;
    this.#failed = { address, error, at: Date.now() };
  }

  /** Sends along which span is the call's. */
  #send(span: Span): void {
    const call = this.#call;
    const before = call.metadata;
    const metadata: Map<string, string | Uint8Array> = new Map(before);
    // What belongs to another trace is not to be sent with this one.
    if (traceOf(before) !== undefined && traceOf(before) !== span.spanContext().traceId) {
      metadata.delete("tracestate");
    }
    this.#calls.otel.inject(withSpan(this.#parent, span), metadata);
    if (metadata.size > 0 && metadata.size <= MAX_METADATA_ENTRIES) call.metadata = metadata;
  }

  #attributes(): Attributes {
    const attributes = attributesOf(this.#call.method);
    if (this.#address !== undefined) addPlace(attributes, "server", this.#calls.places.of(this.#address));
    return attributes;
  }

  /** The attempt that failed was not the last. */
  #tellFailed(): void {
    const failed = this.#failed;
    if (failed === undefined) return;
    this.#failed = undefined;
    const attributes = failureHere(failed.error);
    addPlace(attributes, "server", this.#calls.places.of(failed.address));
    this.#span?.addEvent(ATTEMPT_FAILED, attributes, failed.at);
  }

  /** @param failure What is to be said of how it failed */
  #end(failure?: Attributes): void {
    const began = this.#began;
    // It was never begun, or is over.
    if (began === undefined) return;
    this.#began = undefined;
    const { durations } = this.#calls;
    if (durations !== undefined) {
      durations.record((performance.now() - began) / 1_000, { ...this.#attributes(), ...failure });
    }
    const span = this.#span;
    if (span === undefined) return;
    // Watches may be told of attempts that were given up when the call is over.
    this.#span = undefined;
    if (failure !== undefined) span.setStatus({ code: ERROR });
    if (this.#address !== this.#told && this.#address !== undefined) {
      const place: Attributes = failure ?? {};
      addPlace(place, "server", this.#calls.places.of(this.#address));
      span.setAttributes(place);
    } else if (failure !== undefined) span.setAttributes(failure);
    span.end();
  }
}

/** The trace that metadata belong to (W3C Trace Context, section 3.2.2). */
function traceOf(metadata: Metadata | undefined): string | undefined {
  const parent = metadata?.get("traceparent");
  return typeof parent === "string" ? parent.split("-")[1] : undefined;
}
