// Limits frames that request no work, such as pings and cancels: they cost the sender less than the receiver. One limiter
// for each session. Each answered call offsets one such frame, so only a peer that sends little else exceeds the limit.

import { RpcError } from "../call/error.ts";

/** A leaky bucket of the frames of one connection that requested no work. */
export class FloodLimiter {
  readonly #most: number;
  #level = 0;
  #leakedAt = 0;

  /** @param most How many such frames may arrive at once, and how many per second */
  constructor(most: number) {
    this.#most = most;
  }

  /** Whether the limit was exceeded. */
  get exceeded(): boolean {
    return this.#level > this.#most;
  }

  /**
   * Counts a frame that requests no work.
   *
   * @throws {RpcError} `resource_exhausted` if there were too many: the connection is to be closed
   */
  charge(): void {
    if (++this.#level <= this.#most) return;
    throw new RpcError(
      "resource_exhausted",
      `More than ${this.#most} frames a second that ask for no work, such as pings, cancels and refused calls (maxUselessFrames)`,
    );
  }

  /** Counts an answered call. */
  refund(): void {
    if (this.#level > 0) this.#level--;
  }

  /** Updates the level to the given time. */
  leak(now: number): void {
    if (this.#level > 0) {
      this.#level = Math.max(0, this.#level - (now - this.#leakedAt) / 1_000 * this.#most);
    }
    this.#leakedAt = now;
  }
}
