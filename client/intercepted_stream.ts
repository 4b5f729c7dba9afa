// A stream of a client with interceptors, as its user iterates it. Leaving it ends the call at once, even if
// interceptors have wrapped the items in generators, which cannot be left while they wait for an item.

import { rejection, RpcError } from "../call/error.ts";
import type { Reply } from "../call/interceptor.ts";
import { leave, open, type Source } from "../call/source.ts";
import { isAsyncIterable } from "../call/streamable.ts";

const DONE: IteratorResult<never> = { value: undefined, done: true };

/** The items that the interceptors pass on. The call starts when the first one is requested. */
export class InterceptedStream implements AsyncIterableIterator<unknown>, AsyncDisposable {
  readonly #method: string;
  readonly #begin: (stop: AbortSignal) => Promise<Reply>;
  readonly #ended: () => void;
  /** Ends the call. */
  readonly #stop = new AbortController();
  #opening: Promise<Source> | undefined;
  #source: Source | undefined;
  /** Calls of `next` that wait for an item. */
  readonly #waiting = new Set<(result: IteratorResult<unknown> | Promise<never>) => void>();
  #over = false;

  /**
   * @param begin Passes the call through the interceptors; its signal cancels the call
   * @param ended Called when the stream has ended, has failed, or was left
   */
  constructor(method: string, begin: (stop: AbortSignal) => Promise<Reply>, ended: () => void) {
    this.#method = method;
    this.#begin = begin;
    this.#ended = ended;
  }

  next(): Promise<IteratorResult<unknown>> {
    if (this.#over) return Promise.resolve(DONE);
    this.#opening ??= this.#open();
    return new Promise((resolve) => {
      this.#waiting.add(resolve);
      this.#take(this.#opening!).then((result) => {
        this.#waiting.delete(resolve);
        resolve(result);
      }, (error) => {
        // The stream may have been left, which resolves this promise.
        if (this.#waiting.delete(resolve)) resolve(rejection(error));
      });
    });
  }

  async return(): Promise<IteratorResult<unknown>> {
    if (this.#over) return DONE;
    this.#end();
    const between = this.#waiting.size === 0;
    for (const resolve of this.#waiting) resolve(DONE);
    this.#waiting.clear();
    const left = this.#source && leave(this.#source);
    this.#stop.abort(new RpcError("canceled", `The caller closed the stream of ${this.#method}`));
    // Between two items the interceptors' generators are at a `yield`, so their `finally` blocks can be awaited.
    if (between) await left;
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  async #open(): Promise<Source> {
    const { value } = await this.#begin(this.#stop.signal);
    const source = open(isAsyncIterable(value) ? value : [value]);
    if (this.#over) void leave(source);
    return this.#source = source;
  }

  async #take(opening: Promise<Source>): Promise<IteratorResult<unknown>> {
    try {
      const source = await opening;
      // The stream may have been left in the meantime.
      const result = this.#over ? DONE : await source.next();
      if (!result.done) return result;
    } catch (error) {
      this.#end();
      throw error;
    }
    this.#end();
    return DONE;
  }

  #end(): void {
    this.#over = true;
    this.#ended();
  }
}
