// Interceptors around the calls of a client: the call that they see, and what is sent of the call that they pass on.
// Used by clients that have interceptors; others do not come here.

import { type CallOptions, checkTimeout } from "../call/call_options.ts";
import {
  type Call,
  compose,
  type Interceptor,
  type Origin,
  type Reply,
  type Step,
} from "../call/interceptor.ts";
import { RpcError } from "../call/error.ts";
import { NO_METADATA, toMetadata } from "../call/metadata.ts";
import { Items } from "../call/source.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { withStop } from "../transport/call_stream.ts";
import { InterceptedStream } from "./intercepted_stream.ts";

/** Makes a call, or a stream, without interceptors. */
export type Make = (method: string, args: unknown, options: CallOptions) => Reply | Promise<Reply>;

/** What the steps of one call share. */
interface Outgoing extends Origin {
  readonly options: CallOptions | undefined;
  readonly make: Make;
  /** Ends a stream, whatever signal interceptors pass on. */
  readonly stop: AbortSignal | undefined;
  /** As the first interceptor sees it. */
  readonly call: Call;
}

/** A client's interceptors, and what they stand in front of. */
export class Chain {
  readonly #run: Step<Outgoing>;
  readonly #timeout: number;
  /** Whether there are none. */
  readonly empty: boolean;

  /**
   * @param timeout ms for calls that name none
   * @throws {TypeError} If one of the interceptors is no function
   */
  constructor(interceptors: Iterable<Interceptor>, timeout: number) {
    const list = [...interceptors];
    for (const interceptor of list) {
      if (typeof interceptor !== "function") {
        throw new TypeError("Cannot use interceptor: expected a function");
      }
    }
    this.empty = list.length === 0;
    this.#timeout = timeout;
    this.#run = compose(list, send);
  }

  /** Makes a call by way of the interceptors. */
  async run(method: string, args: unknown, options: CallOptions | undefined, make: Make): Promise<Reply> {
    const given = new Arguments(args);
    try {
      return await this.#pass(method, given, options, make);
    } finally {
      given.leave();
    }
  }

  /** Makes a call whose answer is iterated, by way of the interceptors. */
  stream(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    make: Make,
  ): AsyncIterableIterator<unknown> {
    const given = new Arguments(args);
    const begin = (stop: AbortSignal) => this.#pass(method, given, options, make, stop);
    return new InterceptedStream(method, begin, () => given.leave());
  }

  async #pass(
    method: string,
    given: Arguments,
    options: CallOptions | undefined,
    make: Make,
    stop?: AbortSignal,
  ): Promise<Reply> {
    const timeout = options?.timeout === undefined ? this.#timeout : checkTimeout(options.timeout);
    const own = options?.signal;
    const call: Call = {
      method,
      args: given.value,
      metadata: toMetadata(options?.metadata) ?? NO_METADATA,
      signal: stop !== undefined ? withStop(own, stop) : own ?? new AbortController().signal,
      deadline: performance.now() + timeout,
      peer: undefined,
    };
    return await this.#run(call, { plain: stop === undefined, options, make, stop, call });
  }
}

/** The last step: makes the call that interceptors have passed on. */
async function send(passed: Call, { options, make, stop, call }: Outgoing): Promise<Reply> {
  const { method, args, metadata, deadline } = passed;
  const signal = stop === undefined || passed.signal === call.signal
    ? passed.signal
    : withStop(passed.signal, stop);
  const timeout = Math.max(0, deadline - performance.now());
  return await make(method, args, { ...options, timeout, signal, metadata });
}

/** The arguments of a call as interceptors get them: a stream can be left when the call has ended. */
class Arguments {
  /** The one argument, or an iterable of them. */
  readonly value: unknown;
  #items: Items | undefined;

  constructor(args: unknown) {
    this.value = isAsyncIterable(args)
      ? { [Symbol.asyncIterator]: () => this.#items = new Items(args) }
      : args;
  }

  /** Leaves a stream that was opened: an interceptor's generator around it cannot while it waits for an item. */
  leave(): void {
    this.#items?.stop(new RpcError("canceled", "The call has ended"));
  }
}
