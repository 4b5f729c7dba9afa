// A call whose answer is a stream, as its user iterates it. The call is made when the first item is asked for.

import type { CallOptions } from "../call/call_options.ts";
import type { CallContext } from "../call/dispatch.ts";
import { RpcError } from "../call/error.ts";
import { Inflow } from "./inflow.ts";
import { type CallDefaults, OutgoingCall } from "./outgoing_call.ts";

/** The items of one call's answer. Leaving the loop cancels the call. */
export class CallStream<T> implements AsyncIterableIterator<T>, AsyncDisposable {
  readonly #inflow: Inflow;
  #begin: (() => void) | undefined;

  /** @param begin Makes the call */
  constructor(inflow: Inflow, begin: () => void) {
    this.#inflow = inflow;
    this.#begin = begin;
  }

  next(): Promise<IteratorResult<T>> {
    const begin = this.#begin;
    this.#begin = undefined;
    begin?.();
    return this.#inflow.next() as Promise<IteratorResult<T>>;
  }

  return(): Promise<IteratorResult<T>> {
    this.#begin = undefined;
    return this.#inflow.return() as Promise<IteratorResult<T>>;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** Whether a stream is to end with `error` at once, rather than behind the items that have arrived. */
export function endsAtOnce(error: unknown): boolean {
  return !(error instanceof RpcError) ||
    !error.remote && (error.code === "canceled" || error.code === "deadline_exceeded");
}

/**
 * Makes a call whose answer is a stream.
 *
 * @param start Starts the call, when the first item is asked for
 * @param outer The call whose answering this one is part of
 * @throws {TypeError | RangeError} If the method or an option is none
 */
export function openStream<T>(
  method: string,
  args: unknown,
  options: CallOptions | undefined,
  defaults: CallDefaults,
  start: (call: OutgoingCall) => void,
  outer?: CallContext,
): CallStream<T> {
  const inflow = new Inflow();
  const resolve = (result: unknown) => {
    if (inflow.over) return;
    inflow.push(result, 0);
    inflow.end();
  };
  const fail = (error: unknown) => inflow.fail(error as RpcError, endsAtOnce(error));
  const call = new OutgoingCall(method, args, options, defaults, resolve, fail, inflow, outer);
  return new CallStream<T>(inflow, () => {
    try {
      start(call);
    } catch (error) {
      fail(error);
    }
  });
}
