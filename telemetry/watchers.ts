// Whether anybody is told of calls, decided once for each server and client: by its option, and by what is registered.

import type { MethodWatcher } from "../call/dispatch.ts";
import type { CallWatcher } from "../call/watch.ts";
import { AnsweredCalls } from "./answered_call.ts";
import { MadeCalls } from "./made_call.ts";
import { checkTelemetry, type TelemetryOptions } from "./options.ts";
import { Otel } from "./otel.ts";

/** Who watches the calls of a server or a client. */
export interface Watchers {
  /** Those that it makes. */
  readonly made: CallWatcher;
  /** Those of one method that it answers. */
  readonly answered: (method: string) => MethodWatcher;
}

/**
 * Looks what is registered, and decides who watches calls.
 *
 * @returns undefined if nobody needs to
 * @throws {TypeError} If the option is of the wrong type, or one in it is unknown
 * @throws {RangeError} If `traces` is not a number from 0 to 1
 */
export function watchers(option: boolean | TelemetryOptions | undefined): Watchers | undefined {
  const settings = checkTelemetry(option);
  if (settings === undefined) return undefined;
  const otel = new Otel();
  if (!otel.traces && (otel.meter === undefined || settings.metrics === false)) return undefined;
  const made = new MadeCalls(otel, settings);
  const answered = new AnsweredCalls(otel, settings, made);
  return { made, answered: (method) => answered.of(method) };
}
