// How many calls a client may send again: a part of its calls. Owned by a Client; asked before each time that something
// is sent again, so that servers in trouble are not drowned by those who try again.

import { checkOptions } from "../call/check_options.ts";

/** How much may be sent again. */
export interface RetryBudgetOptions {
  /**
   * How many of the calls of about the last ten seconds may be sent again, as a part of them, from 0.
   *
   * @default {0.2}
   */
  ratio?: number;
  /**
   * How many may be sent again besides, in about ten seconds, from 0. It is what clients have that call seldom.
   *
   * @default {100}
   */
  reserve?: number;
}

/** What is this long ago, in ms, counts for a third. */
const MEMORY = 10_000;

/**
 * The budget of one client, after Finagle's RetryBudget
 * (https://twitter.github.io/finagle/guide/Clients.html#retries): every call pays in, every call that is sent again
 * takes out. What is paid in is forgotten by and by, so that quiet times do not save up for a storm.
 */
export class RetryBudget {
  /** Calls since it was last asked. The one thing that a call that goes well pays for. */
  calls = 0;
  /** What was sent again. */
  spent = 0;
  /** What was not sent again for want of budget. */
  refused = 0;
  readonly #ratio: number;
  readonly #reserve: number;
  readonly #now: () => number;
  #recentCalls = 0;
  #recentRetries = 0;
  #at: number;

  /**
   * @param options Left out: the defaults; false: no limit
   * @throws {RangeError} If a number is negative or none
   */
  constructor(options: RetryBudgetOptions | false = {}, now: () => number = () => performance.now()) {
    if (options !== false) {
      checkOptions<RetryBudgetOptions>("use retryBudget", options, { ratio: true, reserve: true });
    }
    const { ratio = 0.2, reserve = 100 } = options || {};
    for (const [name, value] of Object.entries({ ratio, reserve })) {
      if (typeof value !== "number" || !(value >= 0)) {
        throw new RangeError(`Cannot use retryBudget.${name} ${value}: expected a number from 0`);
      }
    }
    this.#ratio = ratio;
    this.#reserve = options === false ? Infinity : reserve;
    this.#now = now;
    this.#at = now();
  }

  /** Whether there is anything left. */
  get left(): boolean {
    this.#settle();
    return this.#recentRetries + 1 <= this.#reserve + this.#ratio * this.#recentCalls;
  }

  /** Takes one out, if there is one. */
  take(): boolean {
    if (!this.left) {
      this.refused++;
      return false;
    }
    this.spent++;
    this.#recentRetries++;
    return true;
  }

  /** Brings what is remembered up to now. */
  #settle(): void {
    const now = this.#now();
    const passed = now - this.#at;
    const keep = Math.exp(-passed / MEMORY);
    // Of calls over a long time, only what the last of it had at their average rate.
    const share = passed > MEMORY ? MEMORY / passed : 1;
    this.#recentCalls = this.#recentCalls * keep + this.calls * share;
    this.#recentRetries *= keep;
    this.calls = 0;
    this.#at = now;
  }
}
