// One timer for everything in a session that has a time: deadlines, heartbeat, stalled frames and writes. Asking for
// an earlier time is one comparison; whoever is woken looks at what is due and asks again for the next.

/** The longest delay that timers take; a longer one is waited for in parts. */
const MAX_DELAY = 2_147_483_647;

/** A timer that keeps the earliest of the times asked for. Times are ms on the clock of `performance.now()`. */
export class Alarm {
  readonly #wake: (now: number, late: number) => void;
  #at = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param wake Called with the time, and by how many ms it is late; must ask again by itself */
  constructor(wake: (now: number, late: number) => void) {
    this.#wake = wake;
  }

  /** Asks to be woken at `at` or before. */
  by(at: number): void {
    if (at >= this.#at) return;
    this.#at = at;
    clearTimeout(this.#timer);
    const delay = Math.ceil(at - performance.now());
    this.#timer = setTimeout(() => this.#ring(), Math.min(Math.max(delay, 0), MAX_DELAY));
  }

  /** Forgets what was asked for. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#at = Infinity;
  }

  #ring(): void {
    const now = performance.now();
    const late = now - this.#at;
    this.#at = Infinity;
    this.#wake(now, late);
  }
}
