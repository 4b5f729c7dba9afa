// Whether anybody is told of calls, decided once for each server and client: by its option, and by what is registered.

import type { ServerObserver } from "../call/handler.ts";
import type { ClientObserver } from "../call/call_observer.ts";
import { ServerSpans } from "./server_spans.ts";
import { ClientSpans } from "./client_spans.ts";
import { checkTelemetry, type TelemetryOptions } from "./telemetry_options.ts";
import { Otel } from "./otel.ts";

/** Who watches the calls of a server or a client. */
export interface Observers {
  /** Those that it makes. */
  readonly made: ClientObserver;
  /** Those of one method that it answers. */
  readonly answered: (method: string) => ServerObserver;
}

/**
 * Looks what is registered, and decides who watches calls.
 *
 * @returns undefined if nobody needs to
 * @throws {TypeError} If the option is of the wrong type, or one in it is unknown
 * @throws {RangeError} If `traces` is not a number from 0 to 1
 */
export function observersOf(option: boolean | TelemetryOptions | undefined): Observers | undefined {
  const settings = checkTelemetry(option);
  if (settings === undefined) return undefined;
  const otel = new Otel();
  if (!otel.traces && (otel.meter === undefined || settings.metrics === false)) return undefined;
  const made = new ClientSpans(otel, settings);
  const answered = new ServerSpans(otel, settings, made);
  return { made, answered: (method) => answered.of(method) };
}
