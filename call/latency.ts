// Histogram of call durations in fixed space, with a fixed number of buckets for each doubling. Every method of a server owns
// one; the command line uses finer ones.

import type { LatencySummary } from "./method_stats.ts";

/** Buckets for each doubling in the statistics of servers: neighboring bounds differ by about 15 %. */
export const PER_OCTAVE = 5;
/** The first bucket ends at 1 µs, the last holds everything from about four hours up. */
const OCTAVES = 34;

/** Number of calls by bucket: the upper bound of each in ms, ascending. */
export type Buckets = LatencySummary["spans"];

/** A histogram of durations. */
export class Latency {
  readonly #perOctave: number;
  readonly #counts: Float64Array;
  #count = 0;
  #sum = 0;
  #max = 0;

  /** @param perOctave Buckets for each doubling */
  constructor(perOctave: number = PER_OCTAVE) {
    this.#perOctave = perOctave;
    this.#counts = new Float64Array(OCTAVES * perOctave);
  }

  /** The number of recorded durations. */
  get count(): number {
    return this.#count;
  }

  /** The mean, in ms. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** The maximum, in ms. */
  get max(): number {
    return this.#max;
  }

  /** Records `count` durations of `ms` each. */
  record(ms: number, count: number): void {
    const bucket = ms <= 0.001 ? 0 : Math.ceil(Math.log2(ms * 1_000) * this.#perOctave);
    this.#counts[Math.min(bucket, this.#counts.length - 1)]! += count;
    this.#count += count;
    this.#sum += ms * count;
    if (ms > this.#max) this.#max = ms;
  }

  /** A percentile in ms, 0 to 100: the upper bound of its bucket; 0 if nothing was recorded. */
  percentile(percent: number): number {
    return this.#within(this.#buckets(), percent / 100);
  }

  /** Summary of the recorded durations, in ms. */
  summary(): LatencySummary {
    const spans = this.#buckets();
    return {
      mean: this.mean,
      p50: this.#within(spans, 0.5),
      p99: this.#within(spans, 0.99),
      max: this.#max,
      count: this.#count,
      sum: this.#sum,
      spans,
    };
  }

  #within(spans: Buckets, share: number): number {
    return Math.min(quantile(spans, share) ?? 0, this.#max);
  }

  #buckets(): Buckets {
    const spans: [number, number][] = [];
    const last = this.#counts.length - 1;
    for (const [bucket, calls] of this.#counts.entries()) {
      if (calls === 0) continue;
      // A bucket's upper bound is a power of 2^(1/perOctave) in µs.
      const end = 2 ** (bucket / this.#perOctave) / 1_000;
      // The last bucket is unbounded: its bound is the maximum.
      spans.push([bucket < last ? end : Math.max(end, this.#max), calls]);
    }
    return spans;
  }
}

/** The upper bound of the bucket that a quantile (0 to 1) falls into, in ms; undefined if nothing was recorded. */
export function quantile(spans: Buckets, share: number): number | undefined {
  const sum = spans.reduce((sum, [, calls]) => sum + calls, 0);
  let remaining = sum * share;
  return sum > 0 ? spans.find(([, calls]) => (remaining -= calls) <= 0)?.[0] : undefined;
}
