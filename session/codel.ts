// Load shedding by CoDel (RFC 8289): refuses calls that have waited too long to be worth starting. A queue left by a burst
// is harmless; one that persists means more work than the process can do, and grows until every answer is late. CoDel
// tells them apart by how long the wait has been above a target, not by the length of the queue.

/** How long all calls must have waited too long, or none of them, before the state changes, in ms. */
const INTERVAL = 1_000;
/** A wait of up to this, in ms, never counts as too long for the caller. */
const LONG = 100;

/** Admits or refuses the calls of one connection, in the order of their arrival. */
export class CoDel {
  readonly #target: number;
  /** While it admits: since when all calls have been late, 0 = they are not. While it refuses: when the last one was. */
  #lateAt = 0;
  #refusing = false;

  /** @param target How long calls may wait, in ms, if the queue does not shrink; Infinity = no limit */
  constructor(target: number) {
    this.#target = target;
  }

  /**
   * Whether a call may be started.
   *
   * @param wait How long it has waited, in ms
   * @param left How much longer its caller waits, in ms
   * @param now The time
   */
  admits(wait: number, left: number, now: number): boolean {
    // A call that has waited longer than its caller has left would probably time out before its answer arrives.
    if (wait > LONG && wait > left && this.#target < Infinity) return false;
    if (wait <= this.#target) {
      if (this.#refusing && now - this.#lateAt > INTERVAL) this.#refusing = false;
      if (!this.#refusing) this.#lateAt = 0;
      return true;
    }
    if (!this.#refusing && this.#lateAt > 0) this.#refusing = now - this.#lateAt > INTERVAL;
    if (this.#refusing || this.#lateAt === 0) this.#lateAt = now;
    return !this.#refusing;
  }
}
