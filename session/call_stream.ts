// A call whose answer is a stream, as the application iterates it. The call is made when the first item is requested.

import type { CallOptions } from "../call/call_options.ts";
import type { CallContext } from "../call/handler.ts";
import { RpcError } from "../call/error.ts";
import type { Metadata } from "../call/metadata.ts";
import { eitherSignal, isAbortSignal } from "../call/signals.ts";
import { RecvStream } from "./recv_stream.ts";
import { type CallDefaults, OutgoingCall } from "./outgoing_call.ts";

/** The items of one call's answer. Leaving the loop early cancels the call. */
export class CallStream<T> implements AsyncIterableIterator<T>, AsyncDisposable {
  readonly #recvStream: RecvStream;
  #begin: (() => void) | undefined;
  readonly #cancelUnsent: () => void;

  /**
   * @param begin Makes the call
   * @param cancelUnsent Ends a call that still waits to be sent
   */
  constructor(recvStream: RecvStream, begin: () => void, cancelUnsent: () => void = () => {}) {
    this.#recvStream = recvStream;
    this.#begin = begin;
    this.#cancelUnsent = cancelUnsent;
  }

  next(): Promise<IteratorResult<T>> {
    const begin = this.#begin;
    this.#begin = undefined;
    begin?.();
    return this.#recvStream.next() as Promise<IteratorResult<T>>;
  }

  return(): Promise<IteratorResult<T>> {
    this.#begin = undefined;
    const done = this.#recvStream.return() as Promise<IteratorResult<T>>;
    this.#cancelUnsent();
    return done;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** Whether a stream ends with `error` at once, rather than after the items that have arrived. */
export function endsAtOnce(error: unknown): boolean {
  return !(error instanceof RpcError) ||
    !error.remote && (error.code === "canceled" || error.code === "deadline_exceeded");
}

/**
 * Makes a call whose answer is a stream.
 *
 * @param start Starts the call, when the first item is requested
 * @param outer The call being answered that this one is part of
 * @param replyMetadata Receives the metadata of the answer when the application has read the last item
 * @throws {TypeError | RangeError} If the method or an option is invalid
 */
export function openStream<T>(
  method: string,
  args: unknown,
  options: CallOptions | undefined,
  defaults: CallDefaults,
  start: (call: OutgoingCall) => void,
  outer?: CallContext,
  replyMetadata?: Map<string, string | Uint8Array>,
): CallStream<T> {
  const recvStream = new RecvStream(replyMetadata);
  const resolve = (result: unknown, metadata?: Metadata) => {
    if (recvStream.closed) return;
    recvStream.push(result, 0);
    recvStream.end(metadata);
  };
  const fail = (error: unknown) => recvStream.fail(error as RpcError, endsAtOnce(error));
  const stop = new AbortController();
  const signal = withStop(options?.signal, stop.signal);
  const call = new OutgoingCall(
    method,
    args,
    { ...options, signal },
    defaults,
    resolve,
    fail,
    recvStream,
    outer,
  );
  const begin = () => {
    try {
      start(call);
    } catch (error) {
      fail(error);
    }
  };
  return new CallStream<T>(recvStream, begin, () => stop.abort());
}

/** A signal that aborts with the application's, or with `stop`. An invalid signal is left for the call to refuse. */
export function withStop(own: AbortSignal | undefined, stop: AbortSignal): AbortSignal {
  return own === undefined ? stop : isAbortSignal(own) ? eitherSignal(own, stop) : own;
}
