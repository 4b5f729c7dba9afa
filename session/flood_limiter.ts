// Frames that ask for no work, such as pings and cancels, cost their sender less than whoever reads them. Counted by each
// session; calls that are answered make up for as many, so that only who does little else is ever too much.

import { RpcError } from "../call/error.ts";

/** A bucket that leaks: what a connection sent lately that asks for no work. */
export class FloodLimiter {
  readonly #most: number;
  #level = 0;
  #leakedAt = 0;

  /** @param most Frames that may come at once, and as many a second */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whether there were too many. */
  get exceeded(): boolean {
    return this.#level > this.#most;
  }

  /**
   * A frame that asks for no work.
   *
   * @throws {RpcError} `resource_exhausted` if there were too many: the connection is to end
   */
  charge(): void {
    if (++this.#level <= this.#most) return;
    throw new RpcError(
      "resource_exhausted",
      `More than ${this.#most} frames a second that ask for no work, such as pings, cancels and refused calls (maxUselessFrames)`,
    );
  }

  /** A call that has had its answer. */
  refund(): void {
    if (this.#level > 0) this.#level--;
  }

  /** Time has passed. */
  leak(now: number): void {
    if (this.#level > 0) {
      this.#level = Math.max(0, this.#level - (now - this.#leakedAt) / 1_000 * this.#most);
    }
    this.#leakedAt = now;
  }
}
