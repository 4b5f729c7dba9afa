// The `telemetry` option of servers and clients, and its checks.

import { checkOptions, type Names, shownOption } from "../call/check_options.ts";

/**
 * What is reported to OpenTelemetry, if it is registered when the server or the client is created.
 *
 * @example A server that takes part in its callers' traces and starts none itself
 * ```ts
 * import { Server } from "@troodon/rpc";
 *
 * new Server({ telemetry: { traces: 0 } });
 * ```
 */
export interface TelemetryOptions {
  /**
   * Share of calls without a trace that start one, 0 to 1. Decided randomly for each call before the sampler is asked, which
   * costs next to nothing. For calls with a trace only the sampler decides.
   *
   * @default {1}
   */
  traces?: number;
  /**
   * The metrics: the duration of each call (true), which costs several tenths of a µs for each; `"totals"`, the number of calls
   * and the sum of their durations, which costs far less; or none (false).
   *
   * @default {true}
   */
  metrics?: boolean | "totals";
}

const NAMES: Names<TelemetryOptions> = { traces: true, metrics: true };

/** The validated options. */
export interface TelemetrySettings {
  /** Share of calls without a trace that start one. */
  readonly traces: number;
  /** The metrics to record. */
  readonly metrics: boolean | "totals";
}

/**
 * Validates the option.
 *
 * @returns undefined if nothing is to be reported
 * @throws {TypeError} If the option has the wrong type or contains an unknown option
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
