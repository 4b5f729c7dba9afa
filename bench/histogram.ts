// Times in a bounded space: 32 steps between two powers of two, so that what is read is at most 3 % too large.

const STEPS = 32;
/** Of a time in µs: a tenth is told apart. */
const SCALE = 10;
const LONGEST = 0x7fffffff;

/** How often which times came. Times in µs, from 0.1 µs to three and a half minutes. */
export class Histogram {
  readonly #counts = new Uint32Array(STEPS * 28);
  #total = 0;
  #max = 0;

  /** How many were added. */
  get total(): number {
    return this.#total;
  }

  /** The longest, as it was. */
  get max(): number {
    return this.#max;
  }

  /** Adds a time. */
  add(micros: number): void {
    this.#total++;
    if (micros > this.#max) this.#max = micros;
    const value = Math.min(Math.max(micros * SCALE, 0), LONGEST) | 0;
    this.#counts[bucketOf(value)]!++;
  }

  /**
   * The time that a share of all did not exceed; NaN if nothing was added.
   *
   * @param share From 0 to 1
   */
  quantile(share: number): number {
    let left = Math.max(1, Math.ceil(this.#total * share));
    if (left > this.#total) return NaN;
    for (let bucket = 0;; bucket++) {
      left -= this.#counts[bucket]!;
      if (left <= 0) return Math.min(endOf(bucket) / SCALE, this.#max);
    }
  }
}

/** Values below 32 have a bucket each; from then on each doubling has 32. */
function bucketOf(value: number): number {
  const shift = Math.max(0, 26 - Math.clz32(value));
  return shift * STEPS + (value >> shift);
}

/** The end of a bucket: what is in it is less. */
function endOf(bucket: number): number {
  const shift = Math.max(0, Math.floor(bucket / STEPS) - 1);
  return (bucket - shift * STEPS + 1) * 2 ** shift;
}
