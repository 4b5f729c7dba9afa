// Durations in fixed space, for percentiles to within 1 %: a bench may run for hours.

/** Buckets for each doubling: neighbours differ by 1.1 %. */
const PER_OCTAVE = 64;
/** From a microsecond to about an hour. */
const BUCKETS = 32 * PER_OCTAVE;

/** Counts durations. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #max = 0;

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** The longest, in ms. */
  get max(): number {
    return this.#max;
  }

  /** The mean, in ms. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** Adds a duration in ms. */
  add(ms: number): void {
    const bucket = ms <= 0.001 ? 0 : Math.ceil(Math.log2(ms * 1_000) * PER_OCTAVE);
    this.#counts[Math.min(bucket, BUCKETS - 1)]!++;
    this.#count++;
    this.#sum += ms;
    if (ms > this.#max) this.#max = ms;
  }

  /** So much of all was as long or shorter, in ms: the upper end of its bucket. */
  percentile(percent: number): number {
    // At least one, so that the least of all is none of an empty bucket.
    let left = Math.max(1, Math.ceil(this.#count * percent / 100));
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket]!;
      if (left > 0) continue;
      // The last bucket has no upper end.
      return bucket === BUCKETS - 1 ? this.#max : Math.min(2 ** (bucket / PER_OCTAVE) / 1_000, this.#max);
    }
    return this.#max;
  }
}
