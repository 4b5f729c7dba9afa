// Statistics of one method: collected by the service table, exposed by servers.

import type { Code } from "./error.ts";

/** Statistics of one method since it was registered. */
export interface MethodStats {
  /** The full name, such as `Arith.sum`. */
  readonly method: string;
  /** Number of calls whose handler was started. */
  readonly calls: number;
  /** Number of these calls that were answered with an error or ended without an answer. */
  readonly errors: number;
  /** The same by code; codes without errors are absent. The sum is `errors`. */
  readonly errorCodes: Readonly<Partial<Record<Code, number>>>;
  /** Number of calls whose handler has not returned. */
  readonly inFlight: number;
  /** Durations of the calls. */
  readonly latency: LatencySummary;
}

/** Durations of the calls of one method in ms, from the arrival of a call until its answer was passed to the system. */
export interface LatencySummary {
  /** The mean. */
  readonly mean: number;
  /** The median, accurate to 15 %. */
  readonly p50: number;
  /** The 99th percentile, accurate to 15 %. */
  readonly p99: number;
  /** The slowest call. */
  readonly max: number;
  /** Number of calls: `calls` without those that are not answered yet. */
  readonly count: number;
  /** Sum of all durations. */
  readonly sum: number;
  /**
   * Histogram of the durations: the inclusive upper bound of each bucket and the number of calls in it, ascending. A bucket
   * starts 13 % below its upper bound, where the previous one ends; empty buckets are omitted.
   */
  readonly spans: readonly (readonly [upTo: number, calls: number])[];
}
