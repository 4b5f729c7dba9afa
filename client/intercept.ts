// Interceptors around the calls of a client: the call that they see, and what is sent of the call that they pass on.
// Used by clients that have interceptors; others do not come here.

import { type CallOptions, checkTimeout } from "../call/call_options.ts";
import { type Call, compose, type Interceptor, type Next, type Reply } from "../call/interceptor.ts";
import { NO_METADATA, toMetadata } from "../call/metadata.ts";
import { isAsyncIterable } from "../call/streamable.ts";

/** Makes a call, or a stream, without interceptors. */
export type Make = (method: string, args: unknown, options: CallOptions) => Reply | Promise<Reply>;

/** A client's interceptors, and what they stand in front of. */
export class Chain {
  readonly #interceptors: readonly Interceptor[];
  readonly #timeout: number;

  /**
   * @param timeout ms for calls that name none
   * @throws {TypeError} If one of the interceptors is no function
   */
  constructor(interceptors: Iterable<Interceptor>, timeout: number) {
    this.#interceptors = [...interceptors];
    this.#timeout = timeout;
    for (const interceptor of this.#interceptors) {
      if (typeof interceptor !== "function") {
        throw new TypeError("Cannot use interceptor: expected a function");
      }
    }
  }

  /** Whether there are none. */
  get empty(): boolean {
    return this.#interceptors.length === 0;
  }

  /** Makes a call by way of the interceptors. */
  async run(method: string, args: unknown, options: CallOptions | undefined, make: Make): Promise<Reply> {
    const timeout = options?.timeout === undefined ? this.#timeout : checkTimeout(options.timeout);
    const call: Call = {
      method,
      args,
      metadata: toMetadata(options?.metadata) ?? NO_METADATA,
      signal: options?.signal ?? new AbortController().signal,
      deadline: performance.now() + timeout,
      peer: undefined,
    };
    const last: Next = async ({ method, args, metadata, signal, deadline }) => {
      const timeout = Math.max(0, deadline - performance.now());
      return await make(method, args, { ...options, timeout, signal, metadata });
    };
    return await compose(this.#interceptors, last)(call);
  }

  /** Makes a call whose answer is iterated, by way of the interceptors. */
  async *stream(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    make: Make,
  ): AsyncGenerator<unknown> {
    const { value } = await this.run(method, args, options, make);
    if (isAsyncIterable(value)) yield* value;
    else yield value;
  }
}
