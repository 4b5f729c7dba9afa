// How long calls took, in fixed space: one count for each fifth of an octave. Owned by each method.

import type { LatencySummary } from "./stats.ts";

/** Buckets for each doubling: neighbours differ by about 15 %. */
const PER_OCTAVE = 5;
/** The first bucket ends at one microsecond, the last holds everything from about four hours up. */
const BUCKETS = 34 * PER_OCTAVE;

/** A histogram of durations. */
export class Latency {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #max = 0;

  /** Adds `count` durations of `ms`. */
  record(ms: number, count: number): void {
    const bucket = ms <= 0.001 ? 0 : Math.ceil(Math.log2(ms * 1_000) * PER_OCTAVE);
    this.#counts[Math.min(bucket, BUCKETS - 1)]! += count;
    this.#count += count;
    this.#sum += ms * count;
    if (ms > this.#max) this.#max = ms;
  }

  /** What was recorded, in ms. Percentiles are the upper ends of their buckets. */
  summary(): LatencySummary {
    const mean = this.#count === 0 ? 0 : this.#sum / this.#count;
    return { mean, p50: this.#quantile(0.5), p99: this.#quantile(0.99), max: this.#max };
  }

  #quantile(q: number): number {
    let left = this.#count * q;
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return Math.min(2 ** (bucket / PER_OCTAVE) / 1_000, this.#max);
    }
    return this.#max;
  }
}
