// What one call can be told, on whichever side it is made.

import { shownOption } from "./check_options.ts";
import type { MetadataInit } from "./metadata.ts";

/** Options of one call. */
export interface CallOptions {
  /**
   * How long the call may take, in ms, connecting included; Infinity = no limit, 0 = no time at all.
   *
   * @default {30_000}, unless the client has another
   */
  timeout?: number;
  /** Ends the call with `canceled`, and aborts its handler's signal. */
  signal?: AbortSignal;
  /** What travels beside the arguments. */
  metadata?: MetadataInit;
  /** What calls that belong together have in common, for balancers that hash. */
  key?: string;
  /**
   * Whether the call may be executed more than once: it is then sent again also when the connection was lost after
   * it had been sent.
   *
   * @default {false}
   */
  idempotent?: boolean;
}

/**
 * Checks a call's timeout.
 *
 * @throws {RangeError} If it is negative or not a number
 */
export function checkTimeout(timeout: number): number {
  if (typeof timeout !== "number" || !(timeout >= 0)) {
    throw new RangeError(
      `Cannot use timeout ${shownOption(timeout)}: expected a number of ms from 0 to Infinity`,
    );
  }
  return timeout;
}
