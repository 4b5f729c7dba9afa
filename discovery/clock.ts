// Time as this package uses it: monotonic, and replaceable by a fake one in tests. Used by whatever waits in
// discovery/ and registry/.

import { shownOption } from "../call/check_options.ts";

/** A source of time that never goes back, and timers on it. */
export interface Clock {
  /** The time since some fixed instant, in ms. */
  now(): number;
  /**
   * Runs something once, later.
   *
   * @param callback What to run
   * @param delay After how many ms
   * @returns What takes the timer back; without effect once it has run
   */
  setTimer(callback: () => void, delay: number): () => void;
}

/** The longest delay that timers take, in ms: beyond it, the platform's fire at once. */
export const MAX_DELAY = 2 ** 31 - 1;

/** The real {@linkcode Clock}, which jumps of the wall clock do not touch. */
export const SYSTEM_CLOCK: Clock = Object.freeze({
  now: (): number => performance.now(),
  setTimer(callback: () => void, delay: number): () => void {
    const timer = setTimeout(callback, Math.min(Math.max(delay, 0), MAX_DELAY));
    return () => clearTimeout(timer);
  },
});

/** Waits for some ms, or until the signal aborts: either way without an error. */
export function sleep(clock: Clock, delay: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.setTimer(end, delay);
    signal.addEventListener("abort", end);
  });
}

/**
 * Checks an option that is a duration.
 *
 * @param name What the option is called, for the message
 * @param value What was given
 * @param min The least that makes sense, in ms
 * @param or What else it may be, for the message
 * @returns The value
 * @throws {TypeError} If it is no number
 * @throws {RangeError} If it is below `min`, or longer than a timer can wait
 */
export function checkDuration(name: string, value: unknown, min = 1, or = ""): number {
  if (typeof value !== "number") {
    throw new TypeError(`Cannot use ${name} ${shownOption(value)}: expected a number of ms`);
  }
  if (!(value >= min && value <= MAX_DELAY)) {
    throw new RangeError(`Cannot use ${name} of ${value}: expected ${min} to ${MAX_DELAY} ms${or}`);
  }
  return value;
}

/**
 * Checks the option `ttl`, which may be Infinity.
 *
 * @returns How registries are told: 0 stands for Infinity
 * @throws {TypeError} If it is no number
 * @throws {RangeError} If it is out of its range
 */
export function checkTtl(ttl: unknown): number {
  return ttl === Infinity ? 0 : checkDuration("ttl", ttl, 1, ", or Infinity for no limit");
}
