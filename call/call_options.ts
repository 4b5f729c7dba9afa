// What one call can be told, on whichever side it is made.

import { checkOptions, type Names, shownOption } from "./check_options.ts";
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
  /**
   * What travels beside the arguments: a plain object, a Map, or pairs of names and values, no name twice. Values are
   * well-formed text or a `Uint8Array`.
   */
  metadata?: MetadataInit;
  /** What calls that belong together have in common, for balancers that hash. */
  key?: string;
  /**
   * Whether the call may be executed more than once: it is then sent again also when the connection was lost after
   * it had been sent, and may be sent to several servers at once.
   *
   * @default {false}
   */
  idempotent?: boolean;
  /**
   * Whether the call waits, until its deadline, while no server can be reached or the list of servers is empty, instead of
   * failing with `unavailable` at once. It goes to the first server that can be reached. A broadcast waits for each server
   * of its list. Calls back, of a handler to its caller, have their connection already.
   *
   * @default {false}
   */
  waitForReady?: boolean;
  /**
   * What a client does about a server that fails. Calls back, of a handler to its caller, have only one server.
   *
   * @default {"failover"}, unless the client has another
   */
  failMode?: FailMode;
}

/**
 * What a client does about a server that fails. Whatever it is, a call is sent again only where it is certain that no
 * handler was started for it, or where it is `idempotent`; and only as far as the client's retry budget goes.
 *
 * - `"failover"`: goes to another server, up to four times in all
 * - `"failfast"`: passes the error on
 * - `"retry"`: tries the same server again, up to four times in all, with waits between
 * - `{ backup: 50 }`: sends the call to another server too if there is no answer after 50 ms; the first answer wins, the
 *   other call is cancelled
 * - `{ fork: 3 }`: sends the call to three servers at once (2 to 64); the first success wins, the others are cancelled
 *
 * The last two are for idempotent calls without streams. Asked for by an option of any other call, they are refused with
 * a `TypeError`; as the client's own option they leave other calls `"failover"`.
 */
export type FailMode =
  | "failover"
  | "failfast"
  | "retry"
  | {
    /** After how long to send the call once more, in ms from 0. */
    readonly backup: number;
  }
  | {
    /** To how many servers to send the call at once, 2 to 64. */
    readonly fork: number;
  };

const NAMES: Names<CallOptions> = {
  timeout: true,
  signal: true,
  metadata: true,
  key: true,
  idempotent: true,
  failMode: true,
  waitForReady: true,
};

/**
 * Checks the names of a call's options.
 *
 * @throws {TypeError} Naming the one that is unknown
 */
export function checkCallOptions(options: CallOptions): void {
  // Every call with options comes here, so known names are recognized without a list of them.
  if (typeof options !== "object") return checkOptions("call", options, NAMES);
  for (const name in options) {
    if (NAMES[name as keyof CallOptions] !== true) return checkOptions("call", options, NAMES);
  }
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
