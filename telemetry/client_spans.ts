// Spans and durations of the calls that a client makes, or that a server makes back to its callers. The span's context is sent
// with the call. Used by OutgoingCall.

import type { Context, Span } from "@opentelemetry/api";
import { isRpcError } from "../call/error.ts";
import { type Metadata, withEntries } from "../call/metadata.ts";
import type { ClientCallObserver, ClientObserver, ObservedCall } from "../call/call_observer.ts";
import { type Attributes, AttributeSets, CLIENT, clientFailure, ERROR } from "./conventions.ts";
import { createMeasure, type Measure } from "./instruments.ts";
import type { TelemetrySettings } from "./telemetry_options.ts";
import { type Otel, spanOf, withSpan } from "./otel.ts";

/** Name of the span event for a failed attempt that was followed by another. */
const ATTEMPT_FAILED = "rpc.attempt.failed";

/** Observer of the calls of one client or server. */
export class ClientSpans implements ClientObserver {
  readonly otel: Otel;
  readonly measure: Measure | undefined;
  readonly attributes: AttributeSets = new AttributeSets("server");
  readonly #traces: number;

  constructor(otel: Otel, { traces, metrics }: TelemetrySettings) {
    this.otel = otel;
    this.#traces = traces;
    this.measure = createMeasure(otel, metrics, "client");
  }

  observe(call: ObservedCall, outer: object | undefined): ClientCallObserver | undefined {
    let parent: Context | undefined;
    if (this.otel.traces) {
      const context = this.#parentOf(call, outer);
      if (this.#traces === 1 || spanOf(context) !== undefined || Math.random() < this.#traces) {
        parent = context;
      }
    }
    if (parent === undefined && this.measure === undefined) return undefined;
    return new ClientSpan(this, call, parent);
  }

  /** The parent of a call's span: the active span, that of the handler that makes the call, or that in the call's metadata. */
  #parentOf({ metadata }: ObservedCall, outer: { observer?: { context?: Context } } | undefined): Context {
    const active = this.otel.active();
    if (spanOf(active) !== undefined) return active;
    // The observer is a ServerSpan, possibly of another copy of the library.
    const answering = outer?.observer?.context;
    if (answering !== undefined && spanOf(answering) !== undefined) return answering;
    return metadata === undefined ? active : this.otel.extract(active, metadata);
  }
}

/** The span of one call. */
class ClientSpan implements ClientCallObserver {
  readonly #calls: ClientSpans;
  readonly #call: ObservedCall;
  /** The context of the parent span; undefined = the call has no span. */
  readonly #parent: Context | undefined;
  #span: Span | undefined;
  #startedAt: number | undefined;
  /** The server of the first attempt, and the server that answered. */
  #address: string | undefined;
  #answeredAt: string | undefined;
  /** The last failed attempt; reported when it is followed by another. */
  #failed: { readonly address: string; readonly error: unknown; readonly at: number } | undefined;

  constructor(calls: ClientSpans, call: ObservedCall, parent: Context | undefined) {
    this.#calls = calls;
    this.#call = call;
    this.#parent = parent;
  }

  begin(now: number, address: string | undefined): void {
    this.#startedAt = now;
    this.#address = address;
    const parent = this.#parent;
    if (parent === undefined) return;
    const options = { kind: CLIENT, attributes: this.#attributes(address) };
    const span = this.#span = this.#calls.otel.start(this.#call.method, options, parent);
    if (span !== undefined) this.#send(withSpan(parent, span), span);
  }

  answeredAt(address: string): void {
    this.#answeredAt = address;
    this.#reportFailed();
  }

  failedAt(address: string, error: unknown): void {
    // An attempt that was canceled by the caller, or because another was faster, has not failed.
    if (isRpcError(error) && error.code === "canceled" && !error.remote) return;
    this.#reportFailed();
    this.#failed = { address, error, at: Date.now() };
  }

  end(): void {
    this.#end(undefined);
  }

  failed(error: unknown): void {
    this.#end(clientFailure(error));
  }

  /** Adds the span's context to the metadata that are sent. */
  #send(context: Context, span: Span): void {
    const call = this.#call;
    const before = call.metadata;
    const metadata: Map<string, string | Uint8Array> = new Map(before);
    // Trace state of another trace must not be sent with this one.
    const trace = traceOf(before);
    if (trace !== undefined && trace !== span.spanContext().traceId) metadata.delete("tracestate");
    const added = new Map<string, string | Uint8Array>();
    this.#calls.otel.inject(context, added);
    if (added.size > 0) call.metadata = withEntries(metadata, added);
  }

  #attributes(address: string | undefined): Attributes {
    return this.#calls.attributes.of(this.#call.method, address ?? "");
  }

  /** Reports the last failed attempt, which was not the final one. */
  #reportFailed(): void {
    const failed = this.#failed;
    if (failed === undefined) return;
    this.#failed = undefined;
    const attributes = {
      ...clientFailure(failed.error),
      ...this.#calls.attributes.ofAddress(failed.address),
    };
    this.#calls.otel.guard(() => this.#span?.addEvent(ATTEMPT_FAILED, attributes, failed.at));
  }

  /** @param failure The attributes of the error, if the call failed */
  #end(failure: Attributes | undefined): void {
    const startedAt = this.#startedAt;
    // It was never started, or has ended.
    if (startedAt === undefined) return;
    this.#startedAt = undefined;
    const address = (failure === undefined ? this.#answeredAt : this.#failed?.address) ?? this.#address;
    const { measure } = this.#calls;
    if (measure !== undefined) {
      const attributes = this.#attributes(address);
      const all = failure === undefined ? attributes : { ...attributes, ...failure };
      // The sender's cached clock may be slightly ahead.
      measure.add(all, Math.max(0, measure.now() - startedAt), 1);
    }
    const span = this.#span;
    if (span === undefined) return;
    // Observers may be notified of canceled attempts after the call has ended.
    this.#span = undefined;
    this.#calls.otel.guard(() => {
      if (address !== undefined && address !== this.#address) {
        span.setAttributes(this.#calls.attributes.ofAddress(address));
      }
      if (failure !== undefined) span.setAttributes(failure).setStatus({ code: ERROR });
      span.end();
    });
  }
}

/** The trace id in metadata (W3C Trace Context, section 3.2.2). */
function traceOf(metadata: Metadata | undefined): string | undefined {
  const parent = metadata?.get("traceparent");
  return typeof parent === "string" ? parent.split("-")[1] : undefined;
}
