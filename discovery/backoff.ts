// How long to wait before something that failed is tried again, and how to keep many who wait out of step.

const FIRST = 100;
const FACTOR = 1.6;
const JITTER = 0.2;

/** The waits between tries that fail: 100 ms, then 1.6 times as long each time, all ±20 %. */
export class Backoff {
  readonly #random: () => number;
  #next = FIRST;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The wait until the next try, in ms: before jitter, `max` is the longest. */
  next(max: number): number {
    const wait = Math.min(this.#next, max);
    this.#next = wait * FACTOR;
    return jitter(wait, JITTER, this.#random);
  }

  /** For a try that went well: the next wait is a short one again. */
  reset(): void {
    this.#next = FIRST;
  }
}

/** A duration made longer or shorter by up to `share` of it. */
export function jitter(duration: number, share: number, random: () => number): number {
  return duration * (1 + share * (2 * random() - 1));
}
