// Yields to the event loop regularly during work whose amount a peer controls. Used where the answers of a registry are parsed.

import { type Clock, SYSTEM_CLOCK } from "./clock.ts";

/** Time in ms that work may take before other tasks may run. */
const SLICE = 10;
/** Time in ms from which a wait counts as a turn of the event loop. */
const WAIT = 1;

/** The time slice of one task. */
export class TimeSlice {
  readonly #clock: Pick<Clock, "now">;
  #worked = 0;
  #since: number;

  /** @param clock Measures the work: with a simulated clock it takes no time */
  constructor(clock: Pick<Clock, "now"> = SYSTEM_CLOCK) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** Whether the task should yield, by {@linkcode TimeSlice.yieldIfDue}. */
  get expired(): boolean {
    return this.#worked + this.#clock.now() - this.#since >= SLICE;
  }

  /** Waits for a promise. The time does not count as work. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const startedAt = this.#clock.now();
    this.#worked += startedAt - this.#since;
    const value = await promise;
    this.#since = this.#clock.now();
    // A promise that is already settled resolves without a turn of the event loop.
    if (this.#since - startedAt >= WAIT) this.#worked = 0;
    return value;
  }

  /** Yields to other tasks if the slice has expired. */
  async yieldIfDue(): Promise<void> {
    if (!this.expired) return;
    // Not with the clock, since this does not wait for a point in time.
    await new Promise<void>((resolve) => void setTimeout(resolve, 0));
    this.#worked = 0;
    this.#since = this.#clock.now();
  }
}
