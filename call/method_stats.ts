// What a method tells of itself: kept by the service table, shown by servers.

import type { Code } from "./error.ts";

/** What one method has done so far. */
export interface MethodStats {
  /** Its name, with its service's. */
  readonly method: string;
  /** Calls whose handler was started. */
  readonly calls: number;
  /** Of these, those that were answered with an error or ended without an answer. */
  readonly errors: number;
  /** The same by code: those that there were. Their sum is `errors`. */
  readonly errorCodes: Readonly<Partial<Record<Code, number>>>;
  /** Calls whose handler has not returned. */
  readonly inFlight: number;
  /** How long they took. */
  readonly latency: LatencySummary;
}

/** How long the calls of one method took, in ms, from their arrival to their answer being handed to the system. */
export interface LatencySummary {
  /** The mean. */
  readonly mean: number;
  /** Half of the calls were as fast or faster, to within 15 %. */
  readonly p50: number;
  /** 99 of 100 calls were as fast or faster, to within 15 %. */
  readonly p99: number;
  /** The slowest call. */
  readonly max: number;
  /** How many there were: `calls` without those that are not answered yet. */
  readonly count: number;
  /** How long they took together. */
  readonly sum: number;
  /**
   * How many took how long: the upper end of each span of time, which belongs to it, and the number of calls in it,
   * shortest first. A span begins 13 % below its end, where the one before ends; empty ones are left out.
   */
  readonly spans: readonly (readonly [upTo: number, calls: number])[];
}
