// One call as its user made it: checked, on the clock, and settled once. What every attempt at it has in common.

import type { RpcError } from "../call/error.ts";
import { type Metadata, toMetadata } from "../call/metadata.ts";
import type { PickContext } from "../discovery/balancer.ts";
import type { SessionCall } from "../transport/caller.ts";
import type { Session } from "../transport/session.ts";
import { type CallOptions, checkTimeout } from "./options.ts";

/** What the calls of one client have in common. */
export interface CallDefaults {
  /** ms for calls that name no timeout; Infinity = none. */
  readonly timeout: number;
  /** Takes a call that failed and may be sent again. */
  readonly again: (call: ClientCall, error: RpcError) => void;
}

/** A call, and its first attempt: most calls need no other. */
export class ClientCall implements SessionCall, PickContext {
  seq = 0;
  deadline = Infinity;
  readonly method: string;
  readonly args: unknown;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly metadata: Metadata | undefined;
  readonly key: string | undefined;
  readonly idempotent: boolean;
  readonly resolve: (result: unknown) => void;
  /** Settles it as failed, for good. */
  readonly fail: (error: unknown) => void;
  readonly #defaults: CallDefaults;

  /**
   * @throws {TypeError} If the method is not text, or the signal or the metadata are none
   * @throws {RangeError} If the timeout is negative or not a number
   */
  constructor(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    defaults: CallDefaults,
    resolve: (result: unknown) => void,
    fail: (error: unknown) => void,
  ) {
    if (typeof method !== "string") {
      throw new TypeError("Cannot call method: expected a name such as Arith.sum");
    }
    this.method = method;
    this.args = args;
    this.#defaults = defaults;
    this.resolve = resolve;
    this.fail = fail;
    this.timeout = options?.timeout === undefined ? defaults.timeout : checkTimeout(options.timeout);
    this.signal = options?.signal;
    if (this.signal !== undefined && !(this.signal instanceof AbortSignal)) {
      throw new TypeError("Cannot use signal: expected an AbortSignal");
    }
    this.metadata = toMetadata(options?.metadata);
    this.key = options?.key;
    this.idempotent = options?.idempotent ?? false;
  }

  /** Starts the clock: every attempt has the same deadline. */
  begin(now: number): void {
    this.deadline = now + this.timeout;
  }

  /** The first attempt has failed. */
  reject(error: RpcError): void {
    if (mayRetry(error, this)) this.#defaults.again(this, error);
    else this.fail(error);
  }
}

/** Whether a call that failed with `error` may be sent again. */
export function mayRetry(error: RpcError, call: ClientCall): boolean {
  if (error.code === "unavailable") return error.notStarted || call.idempotent;
  return error.code === "resource_exhausted" && error.notStarted && error.remote;
}

/**
 * Makes a further attempt at a call, over a session.
 *
 * @param signal Ends this attempt; the call's own unless there is more to it
 */
export function attempt(
  session: Session,
  call: ClientCall,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const { method, args, deadline, metadata } = call;
  return new Promise((resolve, reject) => {
    session.call({ seq: 0, method, args, deadline, signal, metadata, resolve, reject });
  });
}
