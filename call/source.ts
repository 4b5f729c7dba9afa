// Reads a user's iterable and ends it early. Used wherever items are read: of a handler's result, of a caller's arguments,
// and of an interceptor's wrapper around either.
//
// Ending has to reach the source at once, even while its next item is pending; otherwise a quiet source would stay open and
// hold the call's slot. A ReadableStream is canceled and a Node stream destroyed, because their own iterators would wait for
// the pending read. An async generator always finishes its current await: its author has to end that by the call's signal.
// An iterator that has returned counts as ended, even if its pending item never settles.

import { isAsyncIterable, type Streamable } from "./streamable.ts";

/** An opened iterable: the part of an iterator that is used here. */
export interface Source {
  /** Reads the next item. A synchronous iterator returns it without a promise. */
  next(): IteratorResult<unknown> | Promise<IteratorResult<unknown>>;
  /** Ends the source. A returned promise settles when the source has finished. */
  return?(): unknown;
}

const DONE: IteratorResult<never> = { value: undefined, done: true };

/** Opens an iterable. Call it once, since it may lock the iterable. */
export function open(items: Streamable): Source {
  if (isWebStream(items)) {
    const reader = items.getReader();
    return { next: () => reader.read() as Promise<IteratorResult<unknown>>, return: () => reader.cancel() };
  }
  const iterator: Source = isAsyncIterable(items) ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  if (!isNodeStream(items)) return iterator;
  return {
    next: () => iterator.next(),
    return: () => {
      // Errors during destruction are irrelevant, but would end the process if there were no listener.
      items.on("error", () => {});
      items.destroy();
      return iterator.return?.();
    },
  };
}

/** The part of Node's `Readable` that is used here. */
interface NodeStream {
  on(event: "error", listener: () => void): unknown;
  pipe(): unknown;
  destroy(): unknown;
}

// Detected by methods: streams may be of another realm, and Node's modules are not loaded for this.

function isWebStream(items: object): items is ReadableStream<unknown> {
  const { getReader, cancel } = items as Partial<ReadableStream>;
  return typeof getReader === "function" && typeof cancel === "function";
}

function isNodeStream(items: object): items is NodeStream {
  const { on, pipe, destroy } = items as Partial<NodeStream>;
  return typeof on === "function" && typeof pipe === "function" && typeof destroy === "function";
}

/** Ends a source. Resolves when it has finished; its errors are ignored. */
export async function leave(source: Source): Promise<void> {
  try {
    await source.return?.();
  } catch {
    // No more items are needed, so the failure does not matter.
  }
}

/** How items are checked, and who is notified of their end. */
export interface ItemsOptions {
  /** Returns the item to pass on, or a promise of it. If it throws, the stream fails and the source is ended. */
  readonly check?: (item: unknown) => unknown;
  /**
   * Called once, when the source has ended or failed, or was ended early and has finished.
   *
   * @param left Whether it was ended early, by the consumer or by a failed check
   * @param error The error, if it failed
   */
  readonly ended?: (left: boolean, error?: unknown) => void;
}

/** The items of an iterable, for one consumer. Can be stopped from outside while the consumer waits. */
export class Items implements AsyncIterableIterator<unknown> {
  readonly #source: Source;
  readonly #check: ItemsOptions["check"];
  readonly #ended: ItemsOptions["ended"];
  #closed = false;
  /** Resolve functions of calls of `next` that wait for the source. */
  readonly #pending = new Set<(result: IteratorResult<unknown>) => void>();
  /** Settles when the source was ended early and has finished. */
  #leaving: Promise<void> | undefined;
  /** Why it was stopped; thrown to the consumer. */
  #reason: unknown;

  constructor(items: Streamable, { check, ended }: ItemsOptions = {}) {
    this.#source = open(items);
    this.#check = check;
    this.#ended = ended;
  }

  async next(): Promise<IteratorResult<unknown>> {
    if (this.#closed) return this.#done();
    let result: IteratorResult<unknown>;
    try {
      result = await this.#take();
    } catch (error) {
      if (this.#closed) return this.#done();
      this.#end(error);
      throw error;
    }
    // The consumer may have ended it meanwhile.
    if (this.#closed) return this.#done();
    if (result.done) {
      this.#end();
      return DONE;
    }
    if (this.#check === undefined) return result;
    try {
      const item = this.#check(result.value);
      return { value: item instanceof Promise ? await item : item, done: false };
    } catch (error) {
      await this.#leave();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.#reason = undefined;
    await this.#leave();
    return DONE;
  }

  /** Ends the source. A consumer that reads another item gets `reason`, since it has not seen all items. */
  stop(reason: unknown): void {
    if (this.#closed) return;
    this.#reason = reason;
    this.#leave().catch(() => {});
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Reads the next item, or the end if the source has returned without settling the pending item. */
  #take(): IteratorResult<unknown> | Promise<IteratorResult<unknown>> {
    const next = this.#source.next();
    if (!("then" in next)) return next;
    return new Promise<IteratorResult<unknown>>((resolve, reject) => {
      this.#pending.add(resolve);
      Promise.resolve(next).then(resolve, reject).finally(() => this.#pending.delete(resolve));
    });
  }

  #done(): IteratorResult<never> {
    const reason = this.#reason;
    this.#reason = undefined;
    if (reason !== undefined) throw reason;
    return DONE;
  }

  #end(error?: unknown): void {
    this.#closed = true;
    this.#ended?.(false, error);
  }

  #leave(): Promise<void> {
    if (this.#closed) return this.#leaving ?? Promise.resolve();
    this.#closed = true;
    return this.#leaving = leave(this.#source).then(() => {
      if (this.#source.return !== undefined) this.#pending.forEach((resolve) => resolve(DONE));
      this.#ended?.(true);
    });
  }
}
