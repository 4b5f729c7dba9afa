// The credit that all streams of one server or client may hold beyond their initial windows. Credit cannot be taken back,
// so it is charged when it is granted. Used by receive windows; one budget is shared by all sessions.

import type { LineProbe } from "./bandwidth.ts";
import { whole } from "./limits.ts";

/** The default of `maxWindowBytesTotal`. */
const MAX_WINDOW_BYTES_TOTAL = 268_435_456;
/** The memory of a buffered item in bytes, besides its body. */
export const ITEM_COST = 64;

/** The budget of one server or client, in bytes. */
export class WindowBudget {
  #left: number;

  /** @param max `maxWindowBytesTotal` */
  constructor(max: number) {
    this.#left = max;
  }

  /** Takes `cost` bytes, all or nothing. Returns whether there were as many. */
  take(cost: number): boolean {
    if (cost > this.#left) return false;
    this.#left -= cost;
    return true;
  }

  /** Returns bytes that were taken. */
  give(cost: number): void {
    this.#left += cost;
  }
}

/** What the streams of one connection share: its part of the budget, and its round trip. */
export class ConnectionWindows {
  readonly line: LineProbe;
  /** The streams that are received, and those that calls of this side send. */
  streams = 0;
  readonly #total: WindowBudget;
  readonly #own: WindowBudget;

  /** @param max `maxWindowBytes` */
  constructor(total: WindowBudget, max: number, line: LineProbe) {
    this.#total = total;
    this.#own = new WindowBudget(max);
    this.line = line;
  }

  /** Takes `cost` bytes from both budgets, all or nothing. Returns whether there were as many. */
  take(cost: number): boolean {
    if (!this.#own.take(cost)) return false;
    if (this.#total.take(cost)) return true;
    this.#own.give(cost);
    return false;
  }

  /** Returns bytes that were taken. */
  give(cost: number): void {
    this.#own.give(cost);
    this.#total.give(cost);
  }
}

/**
 * The budget of a server or client.
 *
 * @throws {RangeError} If `maxWindowBytesTotal` is out of its range
 */
export function windowBudget(
  { maxWindowBytesTotal = MAX_WINDOW_BYTES_TOTAL }: { maxWindowBytesTotal?: number },
): WindowBudget {
  return new WindowBudget(whole("maxWindowBytesTotal", maxWindowBytesTotal, 1));
}
