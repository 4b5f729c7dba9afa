// A histogram of bounded size: 32 buckets per power of two, so that quantiles are at most 3 % too large.

const STEPS = 32;
/** Resolution: a tenth of a µs. */
const SCALE = 10;
const MAX_VALUE = 0x7fffffff;

/** Histogram of times in µs, from 0.1 µs to three and a half minutes. */
export class Histogram {
  readonly #counts = new Uint32Array(STEPS * 28);
  #total = 0;
  #max = 0;

  /** Number of recorded times. */
  get total(): number {
    return this.#total;
  }

  /** The longest time, exact. */
  get max(): number {
    return this.#max;
  }

  /** Records a time. */
  add(micros: number): void {
    this.#total++;
    if (micros > this.#max) this.#max = micros;
    const value = Math.min(Math.max(micros * SCALE, 0), MAX_VALUE) | 0;
    this.#counts[bucketOf(value)]!++;
  }

  /**
   * The time that the given share of all times does not exceed; NaN if the histogram is empty.
   *
   * @param share From 0 to 1
   */
  quantile(share: number): number {
    let remaining = Math.max(1, Math.ceil(this.#total * share));
    if (remaining > this.#total) return NaN;
    for (let bucket = 0;; bucket++) {
      remaining -= this.#counts[bucket]!;
      if (remaining <= 0) return Math.min(endOf(bucket) / SCALE, this.#max);
    }
  }
}

/** The bucket of a value: one per value below 32, then 32 per power of two. */
function bucketOf(value: number): number {
  const shift = Math.max(0, 26 - Math.clz32(value));
  return shift * STEPS + (value >> shift);
}

/** The exclusive upper bound of a bucket. */
function endOf(bucket: number): number {
  const shift = Math.max(0, Math.floor(bucket / STEPS) - 1);
  return (bucket - shift * STEPS + 1) * 2 ** shift;
}
