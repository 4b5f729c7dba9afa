// Receiving half of a stream: buffered items, and the flow-control credit granted to the sender. Belongs to one call of
// either side; the session's read loop pushes items, the consumer's loop takes them.

import { isRpcError, rejection, RpcError } from "../call/error.ts";
import { applicationMetadata, type Metadata } from "../call/metadata.ts";
import { malformed } from "../codec/header_reader.ts";
import type { FlowStats } from "./session_stats.ts";

/** The credit in items that each direction of a stream starts with. */
export const INITIAL_ITEMS = 64;
/** The credit in bytes of items' bodies that each direction of a stream starts with. */
export const INITIAL_BYTES = 262_144;
/** The largest window, in items and in bytes, of a stream whose consumer is always waiting. More would gain nothing. */
const MAX_ITEMS = 1_024;
const MAX_BYTES = 1_048_576;

/** Items of up to this many bytes are decoded when they arrive. Longer ones are buffered as bytes, which take less memory. */
export const MAX_EAGER_BYTES = 128;

const DONE: IteratorResult<never> = { value: undefined, done: true };

/** The owner of a stream. */
export interface RecvStreamOwner {
  /** Grants the sender more credit. */
  grant(items: number, bytes: number): void;
  /** The consumer has left before the end. */
  consumerLeft(): void;
}

interface Waiter {
  resolve(result: IteratorResult<unknown> | Promise<never>): void;
}

/** The items of one stream, to be iterated once. Leaving the loop early stops the sender. */
export class RecvStream implements AsyncIterableIterator<unknown> {
  #owner: RecvStreamOwner | undefined;
  /** Buffered items, from `#head` on, and the sizes of their bodies: negative where the entry is a function that decodes. */
  readonly #items: unknown[] = [];
  readonly #sizes: number[] = [];
  #head = 0;
  /** Consumers that wait for items; none while items are buffered. */
  readonly #waiters: Waiter[] = [];
  /** What the sender may still send. */
  #itemCredit = INITIAL_ITEMS;
  #byteCredit = INITIAL_BYTES;
  /** All credit that was granted. */
  #itemsGranted = INITIAL_ITEMS;
  #bytesGranted = INITIAL_BYTES;
  /** What its credit is replenished to. */
  #itemWindow = INITIAL_ITEMS;
  #byteWindow = INITIAL_BYTES;
  /** What was taken by the consumer since the last grant. */
  #itemsTaken = 0;
  #bytesTaken = 0;
  #started = false;
  /** Whether the sender has ended the stream. */
  #ended = false;
  /** Whether nothing more is handed out, except buffered items. */
  #closed = false;
  #error: RpcError | undefined;
  /** The metadata of the end. */
  #metadata: Metadata | undefined;
  /** Receives that when the consumer reaches the end. */
  #replyMetadata: Map<string, string | Uint8Array> | undefined;

  /** @param replyMetadata Receives the metadata of the end or the error when the consumer reaches it */
  constructor(replyMetadata?: Map<string, string | Uint8Array>) {
    this.#replyMetadata = replyMetadata;
  }

  /** Whether anything has arrived. */
  get started(): boolean {
    return this.#started;
  }

  /** Whether no further items are wanted or expected. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The state of the stream. */
  stats(): FlowStats {
    const waiting = this.#items.length - this.#head;
    const idle = this.#closed ? "nothing" : this.#waiters.length > 0 ? "peer" : "handler";
    return {
      items: this.#itemsGranted - this.#itemCredit,
      bytes: this.#bytesGranted - this.#byteCredit,
      itemCredit: this.#itemCredit,
      byteCredit: this.#byteCredit,
      waiting,
      waitsFor: waiting > 0 ? "handler" : idle,
    };
  }

  /** Sets the owner, which is known when the call is sent. */
  attach(owner: RecvStreamOwner): void {
    this.#owner = owner;
  }

  /**
   * Charges the credit for an item that has arrived. Called before the item is decoded.
   *
   * @param size Of its body, in bytes
   * @returns Whether the item is still wanted
   * @throws {RpcError} If there was no credit, or the stream has ended: a protocol error
   */
  spend(size: number): boolean {
    if (this.#ended) throw malformed("an item arrives after the end of its stream");
    if (this.#itemCredit <= 0 || this.#byteCredit <= 0) {
      throw new RpcError("resource_exhausted", "Cannot decode frame: an item arrives without credit");
    }
    this.#started = true;
    this.#itemCredit--;
    this.#byteCredit -= size;
    return !this.#closed;
  }

  /** Whether the consumer waits for the next item. */
  get awaited(): boolean {
    return this.#waiters.length > 0;
  }

  /** Adds an item whose credit was charged. */
  push(value: unknown, size: number): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#items.push(value);
      this.#sizes.push(size);
    } else {
      waiter.resolve({ value, done: false });
      this.#taken(size);
    }
  }

  /**
   * Adds an item that is decoded when the consumer takes it. Only while the consumer does not wait.
   *
   * @param size Of its body, in bytes; not 0
   * @param decode Returns the item. If it throws, it has ended the call before
   */
  pushUnread(decode: () => unknown, size: number): void {
    this.#items.push(decode);
    this.#sizes.push(-size);
  }

  /**
   * The sender has ended the stream. Buffered items can still be taken.
   *
   * @param metadata The metadata of the end
   * @throws {RpcError} If it had ended before: a protocol error
   */
  end(metadata?: Metadata): void {
    if (this.#ended) throw malformed("a stream ends twice");
    this.#ended = true;
    this.#metadata = metadata;
    this.#finish();
  }

  /** Ends the stream with an error: after the buffered items, or `atOnce`, discarding them. */
  fail(error: RpcError, atOnce: boolean): void {
    if (this.#closed) return;
    if (atOnce) this.#clear();
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#error = error;
    } else {
      this.#passMetadata(error);
      waiter.resolve(rejection(error));
    }
    this.#finish();
  }

  next(): Promise<IteratorResult<unknown>> {
    const head = this.#head;
    if (head < this.#items.length) {
      let value = this.#items[head];
      let size = this.#sizes[head]!;
      if (size < 0) {
        size = -size;
        try {
          value = (value as () => unknown)();
        } catch (error) {
          return this.#failDecoding(error);
        }
      }
      this.#items[head] = undefined;
      this.#head = head + 1;
      if (this.#head === this.#items.length) this.#clear();
      else if (this.#head === MAX_ITEMS) this.#compact();
      this.#taken(size);
      return Promise.resolve({ value, done: false });
    }
    if (!this.#closed) return new Promise((resolve) => this.#waiters.push({ resolve }));
    const error = this.#error;
    this.#passMetadata(error);
    if (error === undefined) return Promise.resolve(DONE);
    this.#error = undefined;
    return rejection(error);
  }

  return(): Promise<IteratorResult<unknown>> {
    const early = !this.#closed;
    this.#error = undefined;
    // A consumer that leaves does not reach the end, even if that has arrived.
    this.#replyMetadata = undefined;
    this.#clear();
    this.#finish();
    if (early) this.#owner?.consumerLeft();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #finish(): void {
    this.#closed = true;
    if (this.#waiters.length === 0) return;
    this.#passMetadata();
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(DONE);
  }

  /** Ends the stream at an item that cannot be decoded. */
  #failDecoding(error: unknown): Promise<never> {
    this.#clear();
    this.#error = undefined;
    this.#finish();
    this.#passMetadata(error);
    return rejection(error);
  }

  /** Passes on the metadata of the end, or of the error, once. */
  #passMetadata(error?: unknown): void {
    const replyMetadata = this.#replyMetadata;
    if (replyMetadata === undefined) return;
    this.#replyMetadata = undefined;
    const metadata = isRpcError(error) ? error.metadata : applicationMetadata(this.#metadata);
    for (const [name, value] of metadata) replyMetadata.set(name, value);
  }

  #clear(): void {
    this.#items.length = this.#sizes.length = 0;
    this.#head = 0;
  }

  /** Frees the entries of items that were taken. The buffer of a slow consumer may never become empty. */
  #compact(): void {
    this.#items.splice(0, this.#head);
    this.#sizes.splice(0, this.#head);
    this.#head = 0;
  }

  /** Grants the credit of taken items again, half a window at a time. If the consumer had to wait, the window doubles. */
  #taken(size: number): void {
    this.#itemsTaken++;
    this.#bytesTaken += size;
    if (this.#closed) return;
    if (this.#itemsTaken < this.#itemWindow / 2 && this.#bytesTaken < this.#byteWindow / 2) return;
    let items = this.#itemsTaken;
    let bytes = this.#bytesTaken;
    this.#itemsTaken = this.#bytesTaken = 0;
    if (this.#items.length === 0) {
      const moreItems = Math.min(this.#itemWindow, MAX_ITEMS - this.#itemWindow);
      const moreBytes = Math.min(this.#byteWindow, MAX_BYTES - this.#byteWindow);
      this.#itemWindow += moreItems;
      this.#byteWindow += moreBytes;
      items += moreItems;
      bytes += moreBytes;
    }
    this.#itemCredit += items;
    this.#byteCredit += bytes;
    this.#itemsGranted += items;
    this.#bytesGranted += bytes;
    this.#owner?.grant(items, bytes);
  }
}
