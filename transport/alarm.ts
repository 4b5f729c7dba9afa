// One timer for everything in a session that has a time: deadlines, heartbeat, stalled frames and writes. Asking for
// an earlier time is one comparison; whoever is woken looks at what is due and asks again for the next.

import { MAX_DELAY } from "../discovery/clock.ts";

/** Whoever is woken. */
export interface Sleeper {
  /**
   * It is time. Whoever wants to be woken again must ask again.
   *
   * @param now The time
   * @param late By how many ms this comes late
   */
  onAlarm(now: number, late: number): void;
}

/** A timer that keeps the earliest of the times asked for. Times are ms on the clock of `performance.now()`. */
export class Alarm {
  readonly #owner: Sleeper;
  #at = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(owner: Sleeper) {
    this.#owner = owner;
  }

  /** Asks to be woken at `at` or before. */
  by(at: number): void {
    if (at >= this.#at) return;
    this.#at = at;
    clearTimeout(this.#timer);
    const delay = Math.ceil(at - performance.now());
    // A longer delay than timers take is waited for in parts.
    this.#timer = setTimeout(() => this.#ring(), Math.min(Math.max(delay, 0), MAX_DELAY));
  }

  /** Forgets what was asked for, and what will be: nothing comes after this. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#at = -Infinity;
  }

  #ring(): void {
    const now = performance.now();
    const late = now - this.#at;
    this.#at = Infinity;
    this.#owner.onAlarm(now, late);
  }
}
