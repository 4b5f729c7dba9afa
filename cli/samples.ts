// What a server reports of itself, as figures to show: two reports and the time between them give rates. What a server
// sends is not taken for what it should be.

import { type Buckets, quantile } from "../call/latency.ts";
import type { MethodStats } from "../call/method_stats.ts";
import type { ReportedStats } from "../call/reflection.ts";

/** What one server has last reported. */
export interface Sample {
  /** When it arrived, on the clock of `performance.now()`. */
  readonly at: number;
  readonly stats: ReportedStats;
}

/** One method between two reports. Times in ms, of the calls answered between the two but for `max`. */
export interface Row {
  readonly method: string;
  readonly calls: number;
  readonly errors: number;
  readonly inFlight: number;
  readonly callsPerSecond: number;
  readonly errorsPerSecond: number;
  /** Undefined if none was answered. */
  readonly mean: number | undefined;
  /** Half of these calls took no longer; undefined if there was none, or the server tells no spans of time. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  /** Since the server's start. */
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
    areNumbers(latency?.max, latency?.count, latency?.sum) && areSpans(latency?.spans);
}

function areSpans(spans: unknown): boolean {
  return spans === undefined ||
    Array.isArray(spans) && spans.every((span) => Array.isArray(span) && areNumbers(span[0], span[1]));
}

function areNumbers(...values: unknown[]): boolean {
  return values.every(Number.isFinite);
}

/** Every method, those that are called most first; of those that are not called now, those that were. */
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
  // A server that has started anew counts from zero; a method that is new has had all its calls since.
  const anew = before !== undefined && (before.calls > calls || before.latency.count > latency.count);
  const old = anew ? undefined : before;
  // Calls that are not answered yet have no time: they are in `calls`, and in no figure of `latency`.
  const answered = latency.count - (old?.latency.count ?? 0);
  const spent = latency.sum - (old?.latency.sum ?? 0);
  const perSecond = (count: number) => Number.isNaN(seconds) ? 0 : count / seconds;
  // Of what was counted before the first report nobody knows when it was.
  const spans = Number.isNaN(seconds) ? [] : spansSince(latency.spans ?? [], old?.latency.spans ?? []);
  return {
    method,
    calls,
    errors,
    inFlight,
    callsPerSecond: perSecond(calls - (old?.calls ?? 0)),
    errorsPerSecond: perSecond(errors - (old?.errors ?? 0)),
    mean: answered > 0 && !Number.isNaN(seconds) ? Math.max(0, spent / answered) : undefined,
    p50: quantile(spans, 0.5),
    p99: quantile(spans, 0.99),
    max: latency.max,
  };
}

/** What was counted between two reports. */
function spansSince(now: Buckets, before: Buckets): Buckets {
  const counted = new Map(before);
  return now.map(([upTo, calls]) => [upTo, calls - (counted.get(upTo) ?? 0)]);
}
