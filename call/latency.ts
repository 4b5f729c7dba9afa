// How long calls took, in fixed space: counts of spans of time, so many for each doubling. Each method of a server owns
// one; the command line measures with finer ones.

import type { LatencySummary } from "./method_stats.ts";

/** Spans for each doubling in what servers tell: the ends of neighbours differ by about 15 %. */
export const PER_OCTAVE = 5;
/** The first span ends at one microsecond, the last holds everything from about four hours up. */
const OCTAVES = 34;

/** Numbers of calls by spans of time: the upper end of each in ms, shortest first. */
export type Spans = LatencySummary["spans"];

/** A histogram of durations. */
export class Latency {
  readonly #perOctave: number;
  readonly #counts: Float64Array;
  #count = 0;
  #sum = 0;
  #max = 0;

  /** @param perOctave Spans for each doubling */
  constructor(perOctave: number = PER_OCTAVE) {
    this.#perOctave = perOctave;
    this.#counts = new Float64Array(OCTAVES * perOctave);
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** The mean, in ms. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** The longest, in ms. */
  get max(): number {
    return this.#max;
  }

  /** Adds `count` durations of `ms`. */
  record(ms: number, count: number): void {
    const bucket = ms <= 0.001 ? 0 : Math.ceil(Math.log2(ms * 1_000) * this.#perOctave);
    this.#counts[Math.min(bucket, this.#counts.length - 1)]! += count;
    this.#count += count;
    this.#sum += ms * count;
    if (ms > this.#max) this.#max = ms;
  }

  /** So much of all was as long or shorter, in ms: the upper end of its span; 0 if there is nothing. */
  percentile(percent: number): number {
    return this.#within(this.#spans(), percent / 100);
  }

  /** What was recorded, in ms. */
  summary(): LatencySummary {
    const spans = this.#spans();
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

  #within(spans: Spans, share: number): number {
    return Math.min(quantile(spans, share) ?? 0, this.#max);
  }

  #spans(): Spans {
    const spans: [number, number][] = [];
    const last = this.#counts.length - 1;
    for (const [bucket, calls] of this.#counts.entries()) {
      if (calls === 0) continue;
      // Each octave ends at a power of two in µs.
      const end = 2 ** (bucket / this.#perOctave) / 1_000;
      // The last one has no end of its own.
      spans.push([bucket < last ? end : Math.max(end, this.#max), calls]);
    }
    return spans;
  }
}

/** Within what time a share of the calls was done: the upper end of a span. Undefined if there was no call. */
export function quantile(spans: Spans, share: number): number | undefined {
  const sum = spans.reduce((sum, [, calls]) => sum + calls, 0);
  let left = sum * share;
  return sum > 0 ? spans.find(([, calls]) => (left -= calls) <= 0)?.[0] : undefined;
}
