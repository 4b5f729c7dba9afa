// Exponential backoff between retries, and jitter that keeps many waiting clients out of step.

const FIRST = 100;
const FACTOR = 1.6;
const JITTER = 0.2;

/** Exponential backoff: 100 ms, then 1.6 times as long after each failure, all ±20 %. */
export class Backoff {
  readonly #random: () => number;
  #next = FIRST;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The delay until the next attempt, in ms; `max` is its maximum before jitter. */
  next(max: number): number {
    const wait = Math.min(this.#next, max);
    this.#next = wait * FACTOR;
    return jitter(wait, JITTER, this.#random);
  }

  /** Starts again at the shortest delay. Called after a successful attempt. */
  reset(): void {
    this.#next = FIRST;
  }
}

/** Changes a duration randomly by up to ± `share` of it. */
export function jitter(duration: number, share: number, random: () => number): number {
  return duration * (1 + share * (2 * random() - 1));
}
