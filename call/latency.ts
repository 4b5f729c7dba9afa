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
    const count = this.#count;
    const sum = this.#sum;
    const max = this.#max;
    const spans = this.#spans();
    const quantile = (q: number) => Math.min(endOf(spans, count * q), max);
    return {
      mean: count === 0 ? 0 : sum / count,
      p50: quantile(0.5),
      p99: quantile(0.99),
      max,
      count,
      sum,
      spans,
    };
  }

  #spans(): [number, number][] {
    const spans: [number, number][] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const calls = this.#counts[bucket]!;
      if (calls === 0) continue;
      const end = upperEnd(bucket);
      // The last one has no end of its own.
      spans.push([bucket < BUCKETS - 1 ? end : Math.max(end, this.#max), calls]);
    }
    return spans;
  }
}

/** The end of the span in which the first `some` calls are complete; 0 if there are none. */
function endOf(spans: readonly (readonly [number, number])[], some: number): number {
  let left = some;
  let end = 0;
  for (const [upTo, calls] of spans) {
    end = upTo;
    left -= calls;
    if (left <= 0) break;
  }
  return end;
}

/** The longest duration in a bucket, in ms. Each octave ends at a power of two in µs. */
function upperEnd(bucket: number): number {
  return 2 ** (bucket / PER_OCTAVE) / 1_000;
}
