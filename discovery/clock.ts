// The monotonic clock and timers of discovery/ and registry/, replaceable in tests.

import { shownOption } from "../call/check_options.ts";

/** A monotonic clock and its timers. */
export interface Clock {
  /** The time since a fixed instant, in ms. */
  now(): number;
  /**
   * Starts a timer.
   *
   * @param callback Called once, when the timer fires
   * @param delay The delay in ms
   * @returns A function that cancels the timer; without effect after it has fired
   */
  setTimer(callback: () => void, delay: number): () => void;
}

/** Maximum delay of a timer in ms. The platform's timers fire at once beyond it. */
export const MAX_DELAY = 2 ** 31 - 1;

/** The real {@linkcode Clock}, unaffected by changes of the wall clock. */
export const SYSTEM_CLOCK: Clock = Object.freeze({
  now: (): number => performance.now(),
  setTimer(callback: () => void, delay: number): () => void {
    const timer = setTimeout(callback, Math.min(Math.max(delay, 0), MAX_DELAY));
    return () => clearTimeout(timer);
  },
});

/** Resolves after `delay` ms, or earlier when the signal aborts; never rejects. */
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
 * Validates an option that is a duration.
 *
 * @param name The name of the option, for the message
 * @param value The value of the option
 * @param min The minimum, in ms
 * @param or An alternative to a duration, for the message
 * @returns The value
 * @throws {TypeError} If it is not a number
 * @throws {RangeError} If it is below `min`, or exceeds the maximum delay of a timer
 */
export function checkDuration(name: string, value: unknown, min = 1, or = ""): number {
  if (typeof value !== "number") {
    throw new TypeError(`Cannot use ${name} ${shownOption(value)}: expected a number of ms`);
  }
  if (!(value >= min && value <= MAX_DELAY)) {
    throw new RangeError(`Cannot use ${name} ${value}: expected ${min} to ${MAX_DELAY} ms${or}`);
  }
  return value;
}
