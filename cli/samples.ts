// Computes the figures that `top` shows from two reports of a server and the time between them. Validates the
// reports, which may be malformed.

import { type Buckets, quantile } from "../call/latency.ts";
import type { MethodStats } from "../call/method_stats.ts";
import type { ReportedStats } from "../call/reflection.ts";

/** The last report of a server. */
export interface Sample {
  /** When it arrived, on the clock of `performance.now()`. */
  readonly at: number;
  readonly stats: ReportedStats;
}

/**
 * Figures of one method between two reports. Times in ms, of the calls answered between the two, except for
 * `max`.
 */
export interface Row {
  readonly method: string;
  readonly calls: number;
  readonly errors: number;
  readonly inFlight: number;
  readonly callsPerSecond: number;
  readonly errorsPerSecond: number;
  /** Undefined if no call was answered. */
  readonly mean: number | undefined;
  /** Median; undefined if no call was answered, or the server reports no histogram. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  /** Maximum since the server's start; undefined if no call was ever answered. */
  readonly max: number | undefined;
}

/** Returns a report if it is well-formed, otherwise undefined. */
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
    areNumbers(latency?.max, latency?.count, latency?.sum) && areSpans(latency?.spans);
}

function areSpans(spans: unknown): boolean {
  return spans === undefined ||
    Array.isArray(spans) && spans.every((span) => Array.isArray(span) && areNumbers(span[0], span[1]));
}

function areNumbers(...values: unknown[]): boolean {
  return values.every(Number.isFinite);
}

/** All methods, by calls per second, then by total calls. */
export function rowsOf(now: Sample, before: Sample | undefined): Row[] {
  const seconds = before === undefined ? NaN : (now.at - before.at) / 1_000;
  const known = new Map(before?.stats.methods.map((stats) => [stats.method, stats]));
  const rows = now.stats.methods.map((stats) => rowOf(stats, known.get(stats.method), seconds));
  return rows.sort((a, b) =>
    b.callsPerSecond - a.callsPerSecond || b.calls - a.calls || a.method.localeCompare(b.method)
  );
}

function rowOf(
  { method, calls, errors, inFlight, latency }: MethodStats,
  before: MethodStats | undefined,
  seconds: number,
): Row {
  // A restarted server counts from zero; all calls of a method without an earlier report are new.
  const restarted = before !== undefined && (before.calls > calls || before.latency.count > latency.count);
  const previous = restarted ? undefined : before;
  // Unanswered calls have no latency: they count in `calls` only.
  const answered = latency.count - (previous?.latency.count ?? 0);
  const totalTime = latency.sum - (previous?.latency.sum ?? 0);
  const perSecond = (count: number) => Number.isNaN(seconds) ? 0 : count / seconds;
  // Without an earlier report, it is unknown when these calls were made.
  const spans = Number.isNaN(seconds)
    ? []
    : histogramSince(latency.spans ?? [], previous?.latency.spans ?? []);
  return {
    method,
    calls,
    errors,
    inFlight,
    callsPerSecond: perSecond(calls - (previous?.calls ?? 0)),
    errorsPerSecond: perSecond(errors - (previous?.errors ?? 0)),
    mean: answered > 0 && !Number.isNaN(seconds) ? Math.max(0, totalTime / answered) : undefined,
    p50: quantile(spans, 0.5),
    p99: quantile(spans, 0.99),
    max: latency.count > 0 ? latency.max : undefined,
  };
}

/** The difference of two histograms. */
function histogramSince(now: Buckets, before: Buckets): Buckets {
  const counted = new Map(before);
  return now.map(([upTo, calls]) => [upTo, calls - (counted.get(upTo) ?? 0)]);
}
