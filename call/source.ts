// Taking the items of a user's iterable, and leaving it. Used by everything that iterates what a handler returned, what a
// caller passed as arguments, or what an interceptor put around either.
//
// Leaving has to reach a source at once, also while its next item is awaited: a quiet source would otherwise be kept, and
// with it the call's place. A ReadableStream is cancelled and a stream of Node destroyed, since their own iterators would
// finish the pending read first. An async generator finishes what it awaits in any case: it is up to its author to end that
// by the call's signal. An iterator that has returned is at its end, even if it never settles the item that is awaited.

import { isAsyncIterable, type Streamable } from "./streamable.ts";

/** An iterable that was opened: the part of an iterator that is used here. */
export interface Source {
  /** Takes the next item; the result of a synchronous iterator is no promise. */
  next(): IteratorResult<unknown> | Promise<IteratorResult<unknown>>;
  /** Says that no more items are wanted; a promise that it returns settles when the source has finished. */
  return?(): unknown;
}

const DONE: IteratorResult<never> = { value: undefined, done: true };

/** Opens an iterable, once: this may lock it. */
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
      // What fails while it is destroyed concerns no one, and would end the process if nothing listened.
      items.on("error", () => {});
      items.destroy();
      return iterator.return?.();
    },
  };
}

/** The part of a `Readable` of Node that is used here. */
interface NodeStream {
  on(event: "error", listener: () => void): unknown;
  pipe(): unknown;
  destroy(): unknown;
}

// By their methods: streams may be of another realm, and Node's modules are not loaded for this.

function isWebStream(items: object): items is ReadableStream<unknown> {
  const { getReader, cancel } = items as Partial<ReadableStream>;
  return typeof getReader === "function" && typeof cancel === "function";
}

function isNodeStream(items: object): items is NodeStream {
  const { on, pipe, destroy } = items as Partial<NodeStream>;
  return typeof on === "function" && typeof pipe === "function" && typeof destroy === "function";
}

/** Leaves a source. Resolves when it has finished; how it takes that is its own affair. */
export async function leave(source: Source): Promise<void> {
  try {
    await source.return?.();
  } catch {
    // No more items are wanted, so its failure does not matter.
  }
}

/** What is done with each of the items, and at their end. */
export interface ItemsOptions {
  /** Returns what is handed on for an item, or a promise of that. If it throws, the stream fails and the source is left. */
  readonly check?: (item: unknown) => unknown;
  /**
   * Called once, when it has come to its end, has failed, or was left and the source has finished.
   *
   * @param left Whether it was left, or an item did not pass the check
   * @param error Why it failed, if it did
   */
  readonly ended?: (left: boolean, error?: unknown) => void;
}

/** The items of an iterable, for others to iterate; can be stopped at the same time. */
export class Items implements AsyncIterableIterator<unknown> {
  readonly #source: Source;
  readonly #check: ItemsOptions["check"];
  readonly #ended: ItemsOptions["ended"];
  #over = false;
  /** What ends calls of `next` that wait for the source. */
  readonly #taking = new Set<(result: IteratorResult<unknown>) => void>();
  /** Settles when the source was left and has finished. */
  #left: Promise<void> | undefined;
  /** Why it was stopped, for the consumer. */
  #reason: unknown;

  constructor(items: Streamable, { check, ended }: ItemsOptions = {}) {
    this.#source = open(items);
    this.#check = check;
    this.#ended = ended;
  }

  async next(): Promise<IteratorResult<unknown>> {
    if (this.#over) return this.#done();
    let result: IteratorResult<unknown>;
    try {
      result = await this.#take();
    } catch (error) {
      if (this.#over) return this.#done();
      this.#end(error);
      throw error;
    }
    // It may have been left meanwhile.
    if (this.#over) return this.#done();
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

  /** Leaves the source. A consumer who still asks for an item gets `reason`: it has not seen all of them. */
  stop(reason: unknown): void {
    if (this.#over) return;
    this.#reason = reason;
    this.#leave().catch(() => {});
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Takes the next item of the source, or the end if the source has returned and leaves the item unsettled. */
  #take(): IteratorResult<unknown> | Promise<IteratorResult<unknown>> {
    const next = this.#source.next();
    if (!("then" in next)) return next;
    return new Promise<IteratorResult<unknown>>((resolve, reject) => {
      this.#taking.add(resolve);
      Promise.resolve(next).then(resolve, reject).finally(() => this.#taking.delete(resolve));
    });
  }

  #done(): IteratorResult<never> {
    const reason = this.#reason;
    this.#reason = undefined;
    if (reason !== undefined) throw reason;
    return DONE;
  }

  #end(error?: unknown): void {
    this.#over = true;
    this.#ended?.(false, error);
  }

  #leave(): Promise<void> {
    if (this.#over) return this.#left ?? Promise.resolve();
    this.#over = true;
    return this.#left = leave(this.#source).then(() => {
      if (this.#source.return !== undefined) this.#taking.forEach((resolve) => resolve(DONE));
      this.#ended?.(true);
    });
  }
}
