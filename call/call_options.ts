// Options of one call, made by a client or back to a caller, and their checks.

import { checkOptions, type Names, shownOption } from "./check_options.ts";
import type { MetadataInit } from "./metadata.ts";

/** Options of one call. */
export interface CallOptions {
  /**
   * Maximum duration of the call in ms, connecting included; from 0, Infinity = no limit.
   *
   * @default {30_000}, unless the client has another
   */
  timeout?: number;
  /** Cancels the call: it fails with `canceled`, and its handler's signal aborts. */
  signal?: AbortSignal;
  /**
   * Metadata sent with the arguments: a plain object, a Map, or pairs of names and unique values. Values are well-formed
   * text or a `Uint8Array`.
   */
  metadata?: MetadataInit;
  /** Key for balancers that hash: calls with the same key prefer the same server. */
  key?: string;
  /**
   * Whether the call may be executed more than once. If so, it is also retried when the connection was lost after the call
   * had been sent, and may be sent to several servers at once.
   *
   * @default {false}
   */
  idempotent?: boolean;
  /**
   * Whether the call waits, until its deadline, while no server is reachable or the list of servers is empty, instead of
   * failing with `unavailable` at once. It is sent to the first server that becomes reachable. A broadcast waits for every
   * server of its list. Without effect on calls back from a handler to its caller, which already have their connection.
   *
   * @default {false}
   */
  waitForReady?: boolean;
  /**
   * How the client handles a failing server. Without effect on calls back from a handler to its caller: they have one server.
   *
   * @default {"failover"}, unless the client has another
   */
  failMode?: FailMode;
}

/**
 * How a client handles a failing server. In every mode, a call is sent again only if it is certain that no handler was
 * started for it, or if it is `idempotent`; and only within the client's retry budget.
 *
 * - `"failover"`: retries on another server, up to four attempts in all
 * - `"failfast"`: fails with the first error
 * - `"retry"`: retries on the same server, up to four attempts in all, with a backoff between them
 * - `{ backup: 50 }`: hedging; also sends the call to a second server if there is no answer after 50 ms. The first answer
 *   wins, the other attempt is canceled
 * - `{ fork: 3 }`: sends the call to three servers at once (2 to 64). The first success wins, the others are canceled
 *
 * The last two are for idempotent calls without streams. As an option of any other call they throw a `TypeError`; as the
 * client's own option they leave other calls at `"failover"`.
 */
export type FailMode =
  | "failover"
  | "failfast"
  | "retry"
  | {
    /** Time until the second attempt is sent, in ms, from 0. */
    readonly backup: number;
  }
  | {
    /** Number of servers to send the call to at once, 2 to 64. */
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
 * Checks that a call's options are an object and that every name in it is known.
 *
 * @throws {TypeError} If a name is unknown
 */
export function checkCallOptions(options: CallOptions): void {
  // On the path of every call with options: known names are recognized without allocating a list.
  if (typeof options !== "object" || options === null) return checkOptions("call", options, NAMES);
  for (const name in options) {
    if (NAMES[name as keyof CallOptions] !== true) return checkOptions("call", options, NAMES);
  }
}

/**
 * Checks a call's timeout.
 *
 * @throws {TypeError} If it is not a number
 * @throws {RangeError} If it is negative or NaN
 */
export function checkTimeout(timeout: number): number {
  if (typeof timeout === "number" && timeout >= 0) return timeout;
  const message = `Cannot use timeout ${shownOption(timeout)}: expected a number of ms from 0 to Infinity`;
  throw typeof timeout === "number" ? new RangeError(message) : new TypeError(message);
}
