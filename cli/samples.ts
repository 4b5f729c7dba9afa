// What a server reports of itself, as figures to show: two reports and the time between them give rates. What a server
// sends is not taken for what it should be.

import type { MethodStats } from "../call/stats.ts";
import type { ReportedStats } from "../call/reflection.ts";

/** What one server has last reported. */
export interface Sample {
  /** When it arrived, on the clock of `performance.now()`. */
  readonly at: number;
  readonly stats: ReportedStats;
}

/** One method between two reports. Times in ms, of all calls since the server's start but for `recent`. */
export interface Row {
  readonly method: string;
  readonly calls: number;
  readonly errors: number;
  readonly inFlight: number;
  readonly callsPerSecond: number;
  readonly errorsPerSecond: number;
  /** The mean of the calls between the two; undefined if there was none. */
  readonly recent: number | undefined;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** A report that is one; undefined if it is not. */
export function readStats(stats: unknown): ReportedStats | undefined {
  if (typeof stats !== "object" || stats === null) return undefined;
  const { connections, inFlight, methods } = stats as Partial<Record<keyof ReportedStats, unknown>>;
  if (!areNumbers(connections, inFlight) || !Array.isArray(methods) || !methods.every(isMethodStats)) {
    return undefined;
  }
  return stats as ReportedStats;
}

function isMethodStats(stats: Partial<MethodStats> | null | undefined): boolean {
  const { method, calls, errors, inFlight, latency } = stats ?? {};
  return typeof method === "string" && areNumbers(calls, errors, inFlight) &&
    areNumbers(latency?.mean, latency?.p50, latency?.p99, latency?.max);
}

function areNumbers(...values: unknown[]): boolean {
  return values.every((value) => typeof value === "number");
}

/** Every method, those that are called most first. */
export function rowsOf(now: Sample, before: Sample | undefined): Row[] {
  const seconds = before === undefined ? NaN : (now.at - before.at) / 1_000;
  const known = new Map(before?.stats.methods.map((stats) => [stats.method, stats]));
  const rows = now.stats.methods.map((stats) => rowOf(stats, known.get(stats.method), seconds));
  return rows.sort((a, b) => b.callsPerSecond - a.callsPerSecond || a.method.localeCompare(b.method));
}

function rowOf(
  { method, calls, errors, inFlight, latency }: MethodStats,
  before: MethodStats | undefined,
  seconds: number,
): Row {
  // A server that has started anew counts from zero; a method that is new has had all its calls since.
  const old = before === undefined || before.calls > calls ? undefined : before;
  const since = calls - (old?.calls ?? 0);
  const spent = latency.mean * calls - (old === undefined ? 0 : old.latency.mean * old.calls);
  const perSecond = (count: number) => Number.isNaN(seconds) ? 0 : count / seconds;
  const { p50, p99, max } = latency;
  return {
    method,
    calls,
    errors,
    inFlight,
    callsPerSecond: perSecond(since),
    errorsPerSecond: perSecond(errors - (old?.errors ?? 0)),
    recent: since > 0 && !Number.isNaN(seconds) ? Math.max(0, spent / since) : undefined,
    p50,
    p99,
    max,
  };
}
