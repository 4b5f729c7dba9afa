// Spans and durations of incoming calls; handlers run in the context of their span. Service tables request an observer for each
// method, which sessions then notify.

import type { Context, Span } from "@opentelemetry/api";
import type { CallContext, ServerObserver } from "../call/handler.ts";
import { shownName } from "../call/identity.ts";
import type { RpcError } from "../call/error.ts";
import type { ClientObserver, ServerCallObserver } from "../call/call_observer.ts";
import { AttributeSets, CALLER_NAME, ERROR, SERVER, serverFailure } from "./conventions.ts";
import { createMeasure, type Measure } from "./instruments.ts";
import type { TelemetrySettings } from "./telemetry_options.ts";
import { type Otel, ROOT, spanOf, withSpan } from "./otel.ts";

/** Creates observers of the calls that one server or client answers. */
export class ServerSpans {
  readonly #otel: Otel;
  readonly #traces: number;
  readonly #back: ClientObserver;
  readonly #measure: Measure | undefined;
  readonly #attributes = new AttributeSets("network.peer");

  /** @param back Observer of the calls that handlers make back to their callers */
  constructor(otel: Otel, { traces, metrics }: TelemetrySettings, back: ClientObserver) {
    this.#otel = otel;
    this.#traces = traces;
    this.#back = back;
    this.#measure = createMeasure(otel, metrics, "server");
  }

  /** The observer of the calls of one method. */
  of(method: string): ServerObserver {
    const attributes = this.#attributes.of(method, "");
    return {
      back: this.#back,
      begin: (call) => this.#begin(call),
      answered: (code, elapsed, count) => {
        const all = code === undefined ? attributes : { ...attributes, ...serverFailure(code) };
        this.#measure?.add(all, elapsed, count);
      },
    };
  }

  #begin(call: CallContext): ServerCallObserver | undefined {
    const otel = this.#otel;
    if (!otel.traces) return undefined;
    const remote = call.metadata.size === 0 ? ROOT : otel.extract(ROOT, call.metadata);
    if (this.#traces < 1 && spanOf(remote) === undefined && Math.random() >= this.#traces) {
      // Run outside of the context in which the program called listen() or connect().
      if (remote === ROOT && spanOf(otel.active()) === undefined) return undefined;
      return new ServerSpan(otel, remote, undefined, call);
    }
    const attributes = this.#attributes.of(call.method, call.peer.address);
    const span = otel.start(call.method, { kind: SERVER, attributes }, remote);
    return new ServerSpan(otel, span === undefined ? remote : withSpan(remote, span), span, call);
  }
}

/** The span of one call. */
export class ServerSpan implements ServerCallObserver {
  /** The context in which the handler runs. Read by other copies of the library too. */
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
      // Only now, since an interceptor may have set the identity.
      const name = shownName(this.#call.peer.identity);
      if (name !== undefined) span.setAttribute(CALLER_NAME, name);
      end(span, error);
    });
  }
}

function end(span: Span, error: RpcError | undefined): void {
  if (error !== undefined) {
    const failure = serverFailure(error.code);
    span.setAttributes(failure);
    if ("error.type" in failure) span.setStatus({ code: ERROR });
  }
  span.end();
}
