// Which calls have waited too long to be worth starting. A short queue that stands is what a burst leaves; one that
// stays is more work than there is time for, and grows until every answer comes too late. Told apart as CoDel does
// (RFC 8289): by how long the wait has been above a target, not by how long the queue is.

/** How long calls must have been late, or early, before that counts, in ms. */
const INTERVAL = 1_000;
/** A wait of no more than this, in ms, is nobody's fault. */
const LONG = 100;

/** Decides for the calls of one connection, in the order in which they came. */
export class CoDel {
  readonly #target: number;
  /** While it accepts: since when all calls have been late, 0 = they are not. While it refuses: when one was, last. */
  #lateAt = 0;
  #refusing = false;

  /** @param target How long calls may wait, in ms, when that does not pass; Infinity = as long as they like */
  constructor(target: number) {
    this.#target = target;
  }

  /**
   * Whether a call may be started.
   *
   * @param wait How long it has waited, in ms
   * @param left How long its caller goes on waiting, in ms
   * @param now The time
   */
  admits(wait: number, left: number, now: number): boolean {
    // Whose caller has less time left than it has waited is likely to be answered in vain.
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
