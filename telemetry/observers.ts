// Creates the observers of calls for a server or client, if its option and the registered OpenTelemetry API ask for any.

import type { ServerObserver } from "../call/handler.ts";
import type { ClientObserver } from "../call/call_observer.ts";
import { ServerSpans } from "./server_spans.ts";
import { ClientSpans } from "./client_spans.ts";
import { checkTelemetry, type TelemetryOptions } from "./telemetry_options.ts";
import { Otel } from "./otel.ts";

/** Observers of the calls of a server or a client. */
export interface Observers {
  /** Observer of outgoing calls. */
  readonly outgoing: ClientObserver;
  /** Creates the observer of a method's incoming calls. */
  readonly incoming: (method: string) => ServerObserver;
}

/**
 * Creates observers for what is registered with OpenTelemetry.
 *
 * @returns undefined if neither spans nor metrics are wanted
 * @throws {TypeError} If the option has the wrong type or contains an unknown option
 * @throws {RangeError} If `traces` is not a number from 0 to 1
 */
export function observersOf(option: boolean | TelemetryOptions | undefined): Observers | undefined {
  const settings = checkTelemetry(option);
  if (settings === undefined) return undefined;
  const otel = new Otel();
  if (!otel.traces && (otel.meter === undefined || settings.metrics === false)) return undefined;
  const outgoing = new ClientSpans(otel, settings);
  const spans = new ServerSpans(otel, settings, outgoing);
  return { outgoing, incoming: (method) => spans.of(method) };
}
