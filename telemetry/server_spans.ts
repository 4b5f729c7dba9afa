// The calls that are answered here: a span around each, in whose context the handler runs, and their durations. Asked by
// service tables for who watches a method, and then by sessions.

import type { Context, Span } from "@opentelemetry/api";
import type { CallContext, ServerObserver } from "../call/handler.ts";
import { shownName } from "../call/identity.ts";
import type { RpcError } from "../call/error.ts";
import type { ClientObserver, ServerCallObserver } from "../call/call_observer.ts";
import { AttributeSets, CALLER_NAME, ERROR, failureThere, SERVER } from "./conventions.ts";
import { type Measure, measureOf } from "./instruments.ts";
import type { TelemetrySettings } from "./telemetry_options.ts";
import { type Otel, ROOT, spanOf, withSpan } from "./otel.ts";

/** Watches the calls that one server answers, or one client. */
export class ServerSpans {
  readonly #otel: Otel;
  readonly #traces: number;
  readonly #back: ClientObserver;
  readonly #measure: Measure | undefined;
  readonly #attributes = new AttributeSets("network.peer");

  /** @param back Watches the calls that handlers make back to their callers */
  constructor(otel: Otel, { traces, metrics }: TelemetrySettings, back: ClientObserver) {
    this.#otel = otel;
    this.#traces = traces;
    this.#back = back;
    this.#measure = measureOf(otel, metrics, "server");
  }

  /** Who watches the calls of one method. */
  of(method: string): ServerObserver {
    const attributes = this.#attributes.of(method, "");
    return {
      back: this.#back,
      begin: (call) => this.#begin(call),
      answered: (code, elapsed, count) => {
        const all = code === undefined ? attributes : { ...attributes, ...failureThere(code) };
        this.#measure?.add(all, elapsed, count);
      },
    };
  }

  #begin(call: CallContext): ServerCallObserver | undefined {
    const otel = this.#otel;
    if (!otel.traces) return undefined;
    const sent = call.metadata.size === 0 ? ROOT : otel.extract(ROOT, call.metadata);
    if (this.#traces < 1 && spanOf(sent) === undefined && Math.random() >= this.#traces) {
      // Not to be part of whatever was going on where somebody listened or connected.
      if (sent === ROOT && spanOf(otel.active()) === undefined) return undefined;
      return new ServerSpan(otel, sent, undefined, call);
    }
    const attributes = this.#attributes.of(call.method, call.peer.address);
    const span = otel.start(call.method, { kind: SERVER, attributes }, sent);
    return new ServerSpan(otel, span === undefined ? sent : withSpan(sent, span), span, call);
  }
}

/** One call. */
export class ServerSpan implements ServerCallObserver {
  /** In which its handler runs. */
  readonly context: Context;
  readonly #otel: Otel;
  readonly #span: Span | undefined;
  readonly #call: CallContext;

  constructor(otel: Otel, context: Context, span: Span | undefined, call: CallContext) {
    this.#call = call;
    this.#otel = otel;
    this.context = context;
    this.#span = span;
  }

  run<R>(answer: () => R): R {
    return this.#otel.run(this.context, answer);
  }

  end(error?: RpcError): void {
    const span = this.#span;
    if (span === undefined) return;
    this.#otel.guard(() => {
      // Not before: an interceptor may have found out who calls.
      const name = shownName(this.#call.peer.identity);
      if (name !== undefined) span.setAttribute(CALLER_NAME, name);
      end(span, error);
    });
  }
}

function end(span: Span, error: RpcError | undefined): void {
  if (error !== undefined) {
    const failure = failureThere(error.code);
    span.setAttributes(failure);
    if ("error.type" in failure) span.setStatus({ code: ERROR });
  }
  span.end();
}
