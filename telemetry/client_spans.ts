// The calls that one client makes, or a server back to its callers: a span around each, which goes along with it, and its
// duration. Asked by OutgoingCall.

import type { Context, Span } from "@opentelemetry/api";
import { isRpcError } from "../call/error.ts";
import { type Metadata, withEntries } from "../call/metadata.ts";
import type { ClientCallObserver, ClientObserver, ObservedCall } from "../call/call_observer.ts";
import { type Attributes, AttributeSets, CLIENT, ERROR, failureHere } from "./conventions.ts";
import { type Measure, measureOf } from "./instruments.ts";
import type { TelemetrySettings } from "./telemetry_options.ts";
import { type Otel, spanOf, withSpan } from "./otel.ts";

/** What an event is called that tells of an attempt after which there was another. */
const ATTEMPT_FAILED = "rpc.attempt.failed";

/** Watches the calls of one client or server. */
export class ClientSpans implements ClientObserver {
  readonly otel: Otel;
  readonly measure: Measure | undefined;
  readonly attributes: AttributeSets = new AttributeSets("server");
  readonly #traces: number;

  constructor(otel: Otel, { traces, metrics }: TelemetrySettings) {
    this.otel = otel;
    this.#traces = traces;
    this.measure = measureOf(otel, metrics, "client");
  }

  observe(call: ObservedCall, outer: object | undefined): ClientCallObserver | undefined {
    let parent: Context | undefined;
    if (this.otel.traces) {
      const around = this.#around(call, outer);
      if (this.#traces === 1 || spanOf(around) !== undefined || Math.random() < this.#traces) parent = around;
    }
    if (parent === undefined && this.measure === undefined) return undefined;
    return new ClientSpan(this, call, parent);
  }

  /** What a call is part of: what is going on here, the answer that it is made for, or what its metadata say. */
  #around({ metadata }: ObservedCall, outer: { observer?: { context?: Context } } | undefined): Context {
    const active = this.otel.active();
    if (spanOf(active) !== undefined) return active;
    // Of an AnsweredCall, which may be of another copy of the library.
    const answering = outer?.observer?.context;
    if (answering !== undefined && spanOf(answering) !== undefined) return answering;
    return metadata === undefined ? active : this.otel.extract(active, metadata);
  }
}

/** One call. */
class ClientSpan implements ClientCallObserver {
  readonly #calls: ClientSpans;
  readonly #call: ObservedCall;
  /** What its span is part of; undefined = it has none. */
  readonly #parent: Context | undefined;
  #span: Span | undefined;
  #began: number | undefined;
  /** Where it was made at first, and where it was answered. */
  #address: string | undefined;
  #answeredAt: string | undefined;
  /** The last attempt that failed: told when there is another. */
  #failed: { readonly address: string; readonly error: unknown; readonly at: number } | undefined;

  constructor(calls: ClientSpans, call: ObservedCall, parent: Context | undefined) {
    this.#calls = calls;
    this.#call = call;
    this.#parent = parent;
  }

  begin(now: number, address: string | undefined): void {
    this.#began = now;
    this.#address = address;
    const parent = this.#parent;
    if (parent === undefined) return;
    const options = { kind: CLIENT, attributes: this.#attributes(address) };
    const span = this.#span = this.#calls.otel.start(this.#call.method, options, parent);
    if (span !== undefined) this.#send(withSpan(parent, span), span);
  }

  answeredAt(address: string): void {
    this.#answeredAt = address;
    this.#tellFailed();
  }

  failedAt(address: string, error: unknown): void {
    // One that was given up, for its user or since another was faster, has not failed.
    if (isRpcError(error) && error.code === "canceled" && !error.remote) return;
    this.#tellFailed();
    this.#failed = { address, error, at: Date.now() };
  }

  end(): void {
    this.#end(undefined);
  }

  failed(error: unknown): void {
    this.#end(failureHere(error));
  }

  /** Sends along which span is the call's. */
  #send(context: Context, span: Span): void {
    const call = this.#call;
    const before = call.metadata;
    const metadata: Map<string, string | Uint8Array> = new Map(before);
    // What belongs to another trace is not to be sent with this one.
    const trace = traceOf(before);
    if (trace !== undefined && trace !== span.spanContext().traceId) metadata.delete("tracestate");
    const added = new Map<string, string | Uint8Array>();
    this.#calls.otel.inject(context, added);
    if (added.size > 0) call.metadata = withEntries(metadata, added);
  }

  #attributes(address: string | undefined): Attributes {
    return this.#calls.attributes.of(this.#call.method, address ?? "");
  }

  /** The attempt that failed was not the last. */
  #tellFailed(): void {
    const failed = this.#failed;
    if (failed === undefined) return;
    this.#failed = undefined;
    const attributes = { ...failureHere(failed.error), ...this.#calls.attributes.place(failed.address) };
    this.#calls.otel.guard(() => this.#span?.addEvent(ATTEMPT_FAILED, attributes, failed.at));
  }

  /** @param failure What is to be said of how it failed */
  #end(failure: Attributes | undefined): void {
    const began = this.#began;
    // It was never begun, or is over.
    if (began === undefined) return;
    this.#began = undefined;
    const address = (failure === undefined ? this.#answeredAt : this.#failed?.address) ?? this.#address;
    const { measure } = this.#calls;
    if (measure !== undefined) {
      const attributes = this.#attributes(address);
      const all = failure === undefined ? attributes : { ...attributes, ...failure };
      // The clock of whoever sent it may be somewhat ahead.
      measure.add(all, Math.max(0, measure.now() - began), 1);
    }
    const span = this.#span;
    if (span === undefined) return;
    // Watches may be told of attempts that were given up when the call is over.
    this.#span = undefined;
    this.#calls.otel.guard(() => {
      if (address !== undefined && address !== this.#address) {
        span.setAttributes(this.#calls.attributes.place(address));
      }
      if (failure !== undefined) span.setAttributes(failure).setStatus({ code: ERROR });
      span.end();
    });
  }
}

/** The trace that metadata belong to (W3C Trace Context, section 3.2.2). */
function traceOf(metadata: Metadata | undefined): string | undefined {
  const parent = metadata?.get("traceparent");
  return typeof parent === "string" ? parent.split("-")[1] : undefined;
}
