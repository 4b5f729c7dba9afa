// One call of this side as a session sees it. Implemented by whatever makes calls: clients, their further attempts, and
// handlers that call back.

import type { RpcError } from "../call/error.ts";
import type { Metadata } from "../call/metadata.ts";
import type { CallBody } from "./call_body.ts";
import type { RecvStream } from "./recv_stream.ts";
import type { SendStream } from "./send_stream.ts";

/** What calls are sent with: a session, or a connection whose handshake is not over yet. */
export interface CallTarget {
  /** The peer's address. */
  readonly address: string;
  /** Whether the handshake has failed, so that the calls end with the reason why there is no session. */
  readonly failed?: boolean;
  /** Makes a call. */
  call(call: SessionCall): void;
}

/** One call over one session. */
export interface SessionCall {
  /** Its number on the wire; 0 until the session sends it. */
  seq: number;
  readonly method: string;
  readonly args: unknown;
  /** The encoded arguments, once they are kept; then these are sent. */
  body: CallBody | undefined;
  /** Whether the call may be sent again with the same arguments, so that their encoding is kept. */
  readonly repeatable: boolean;
  /** On the clock of `performance.now()`; Infinity = none. */
  readonly deadline: number;
  /** The time limit in ms that has set the deadline; absent or Infinity if it was set otherwise. */
  readonly timeout?: number;
  /** Cancels the call. */
  readonly signal: AbortSignal | undefined;
  readonly metadata: Metadata | undefined;
  /** `metadata` without what the library has added, such as a trace: sent in its place where that is too long. */
  readonly ownMetadata: Metadata | undefined;
  /** Receives the items, where the caller wants a stream. */
  readonly recvStream: RecvStream | undefined;
  /** Sends the arguments, where they are a stream; created when the call is sent. */
  sendStream: SendStream | undefined;
  /** Called with the result, or when a stream has ended, unless the call failed. */
  resolve(result: unknown, metadata?: Metadata): void;
  /** Called with the reason if the call failed. */
  reject(error: RpcError): void;
  /**
   * Moves the call to another connection, if it can move and there is a better one: because this one has no room, or
   * because the peer is silent.
   *
   * @param reason Why the call would fail here, if it was sent; undefined if it was not
   * @returns Whether it has moved, so that it is not settled here any more
   */
  leaves?(reason: RpcError | undefined): boolean;
}
