// The seam between a session and whoever answers its calls: names to methods, and what a handler is told.

import type { CallOptions } from "./call_options.ts";
import type { Code } from "./error.ts";
import type { Metadata } from "./metadata.ts";
import type { ServiceClient } from "./typed.ts";

/** What a handler is told about the call that it answers. */
export interface CallContext {
  /** Who is called, such as `Arith.sum`. */
  readonly method: string;
  /** Who calls. */
  readonly peer: Peer;
  /** What came beside the arguments; empty if nothing did. */
  readonly metadata: Metadata;
  /** When the caller stops waiting, on the clock of `performance.now()`; Infinity = never. */
  readonly deadline: number;
  /**
   * Aborts when nobody waits for the answer any more. Its reason is an `RpcError` that says why: `canceled` by the
   * caller, `deadline_exceeded`, or `unavailable` when the connection is lost.
   */
  readonly signal: AbortSignal;
  /**
   * What is to travel beside the answer, under the rules of metadata: entries set here before the handler returns or
   * throws are sent with its result or error. A stream's are sent when it ends, so that they may be set until then, in
   * the generator's last lines or its `finally`; one that is canceled sends none. Callers see them by an interceptor.
   */
  readonly replyMetadata: Map<string, string | Uint8Array>;
}

/**
 * The other side of a connection, which can be called back over it if it has registered services (a client by the
 * `services` option of `connect`). A call back made for a call ends with that call.
 */
export interface Peer {
  /** Its address, such as `tcp@127.0.0.1:50312`. */
  readonly address: string;
  /** Calls one of its methods, as `Client.call` does; nothing is sent twice. */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T>;
  /** Calls one of its methods that answers with a stream, as `Client.stream` does. */
  stream<T = unknown>(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<T>;
  /** One of its services, as `Client.service` makes it. */
  service<S>(name: string): ServiceClient<S>;
}

/**
 * Answers one method: takes the arguments, returns the result or a promise of it.
 *
 * What it throws reaches the caller: an `RpcError` as it is, anything else as `internal` with a fixed text.
 */
// Arguments are what the peer sent; a handler that declares their type vouches for it.
// deno-lint-ignore no-explicit-any
export type Handler = (args: any, context: CallContext) => unknown;

/** One method as a session calls it: the handler and its book-keeping. */
export interface Method {
  /** Starts the handler. */
  start(args: unknown, context: CallContext): unknown;
  /**
   * Is told, once for every `start`, that a caller has been answered or is owed no answer any more.
   *
   * @param code Why it failed; undefined if it did not
   * @param elapsed ms from the arrival of the call
   * @param count How many calls this is said of
   */
  answered(code: Code | undefined, elapsed: number, count: number): void;
  /** Is told that a handler has returned, once for every `start`. */
  returned(): void;
}

/**
 * Finds a method by the name in a Call.
 *
 * @throws {RpcError} `unimplemented`, saying which part of the name is unknown
 */
export type Lookup = (method: string) => Method;
