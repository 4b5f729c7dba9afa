// How many calls a client may send again: a share of its calls. Owned by a Client, which asks it before each retry, so
// that retries do not overload servers that are already failing.

import { checkOptions } from "../call/check_options.ts";

/** How many calls a client may send again. */
export interface RetryBudgetOptions {
  /**
   * The share of the calls of about the last ten seconds that may be sent again, 0 or more.
   *
   * @default {0.2}
   */
  ratio?: number;
  /**
   * How many more may be sent again in about ten seconds, 0 or more. It is the budget of clients that call rarely.
   *
   * @default {100}
   */
  reserve?: number;
}

/** The time constant of the decay, in ms: after this long, a call counts for a third. */
const MEMORY = 10_000;

/**
 * The budget of one client, after Finagle's RetryBudget
 * (https://twitter.github.io/finagle/guide/Clients.html#retries): every call adds to the budget, every retry
 * takes from it. What was added decays, so that a long time without retries does not allow a burst of them.
 */
export class RetryBudget {
  /** Calls since the budget was last asked. Counting here is all that a successful call costs. */
  calls = 0;
  /** Calls that were sent again. */
  spent = 0;
  /** Calls that were not sent again because the budget was used up. */
  refused = 0;
  readonly #ratio: number;
  readonly #reserve: number;
  readonly #now: () => number;
  #recentCalls = 0;
  #recentRetries = 0;
  #at: number;

  /**
   * @param options Left out: the defaults; false: no limit
   * @throws {RangeError} If a number is negative or invalid
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

  /** Whether a call may be sent again. */
  get left(): boolean {
    this.#settle();
    return this.#recentRetries + 1 <= this.#reserve + this.#ratio * this.#recentCalls;
  }

  /** Takes one retry from the budget; returns whether there was one. */
  take(): boolean {
    if (!this.left) {
      this.refused++;
      return false;
    }
    this.spent++;
    this.#recentRetries++;
    return true;
  }

  /** Applies the decay up to now. */
  #settle(): void {
    const now = this.#now();
    const passed = now - this.#at;
    const keep = Math.exp(-passed / MEMORY);
    // After a long time, only the calls of its last part count, at the average rate.
    const share = passed > MEMORY ? MEMORY / passed : 1;
    this.#recentCalls = this.#recentCalls * keep + this.calls * share;
    this.#recentRetries *= keep;
    this.calls = 0;
    this.#at = now;
  }
}
