// The option `telemetry` of servers and clients, checked.

import { checkOptions, type Names, shownOption } from "../call/check_options.ts";

/**
 * What is told to OpenTelemetry, if it is registered when the server or the client is made.
 *
 * @example A server that takes part in its callers' traces, and begins none itself
 * ```ts
 * import { Server } from "@troodon/rpc";
 *
 * new Server({ telemetry: { traces: 0 } });
 * ```
 */
export interface TelemetryOptions {
  /**
   * How many of the calls that belong to no trace yet begin one: a share from 0 to 1, decided by chance for each call
   * before the sampler is asked, which costs next to nothing. Calls that belong to a trace are up to the sampler alone.
   *
   * @default {1}
   */
  traces?: number;
  /**
   * What is measured: the duration of each call (true), which costs several tenths of a µs for each; `"totals"`, which
   * are the number of calls and the sum of their durations, and cost far less; or nothing (false).
   *
   * @default {true}
   */
  metrics?: boolean | "totals";
}

const NAMES: Names<TelemetryOptions> = { traces: true, metrics: true };

/** What is left of the options once they are checked. */
export interface TelemetrySettings {
  /** The share of calls without a trace that begin one. */
  readonly traces: number;
  /** What is measured. */
  readonly metrics: boolean | "totals";
}

/**
 * Checks the option.
 *
 * @returns undefined if nothing is to be told
 * @throws {TypeError} If it is of the wrong type, or an option in it is unknown
 * @throws {RangeError} If `traces` is not a number from 0 to 1
 */
export function checkTelemetry(option: boolean | TelemetryOptions = true): TelemetrySettings | undefined {
  if (option === false) return undefined;
  if (option === true) return { traces: 1, metrics: true };
  checkOptions<TelemetryOptions>("use telemetry", option, NAMES);
  const { traces = 1, metrics = true } = option;
  if (typeof traces !== "number" || !(traces >= 0 && traces <= 1)) {
    throw new RangeError(`Cannot use telemetry.traces ${shownOption(traces)}: expected a share from 0 to 1`);
  }
  if (typeof metrics !== "boolean" && metrics !== "totals") {
    throw new TypeError(
      `Cannot use telemetry.metrics ${shownOption(metrics)}: expected true, false or "totals"`,
    );
  }
  return { traces, metrics };
}
