// Receiving half of a stream: buffered items, and the flow-control credit granted to the sender. Belongs to one call of
// either side; the session's read loop pushes items, the consumer's loop takes them.

import { isRpcError, rejection, type RpcError } from "../call/error.ts";
import { applicationMetadata, type Metadata } from "../call/metadata.ts";
import { malformed } from "../codec/header_reader.ts";
import { ItemBuffer, type ItemDecoder } from "./item_buffer.ts";
import { RecvWindow } from "./recv_window.ts";
import type { FlowStats } from "./session_stats.ts";
import type { ConnectionWindows } from "./window_budget.ts";

/** Items of up to this many bytes are decoded when they arrive. Longer ones are buffered as bytes, which take less memory. */
const MAX_EAGER_BYTES = 128;
/** While more items wait, all are buffered as bytes. */
const MAX_EAGER_ITEMS = 256;

const DONE: IteratorResult<never> = { value: undefined, done: true };

/** The owner of a stream. */
export interface RecvStreamOwner extends ItemDecoder {
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
  readonly #items = new ItemBuffer();
  /** Consumers that wait for items; none while items are buffered. */
  readonly #waiters: Waiter[] = [];
  readonly #window = new RecvWindow();
  /** What the window may grow from; undefined before the call is made, and after it. */
  #windows: ConnectionWindows | undefined;
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
    const waiting = this.#items.length;
    const { itemCredit, byteCredit, itemsGranted, bytesGranted } = this.#window;
    const idle = this.#closed ? "nothing" : this.#waiters.length > 0 ? "peer" : "handler";
    return {
      items: itemsGranted - itemCredit,
      bytes: bytesGranted - byteCredit,
      itemCredit,
      byteCredit,
      waiting,
      waitsFor: waiting > 0 ? "handler" : idle,
    };
  }

  /** Sets the owner, which is known when the call is sent, and what the window may grow from. */
  attach(owner: RecvStreamOwner, windows?: ConnectionWindows): void {
    this.release();
    this.#owner = owner;
    this.#windows = windows;
    if (windows !== undefined) windows.streams++;
  }

  /** Returns the credit beyond the initial window to the budget. Called when the call is over. */
  release(): void {
    const windows = this.#windows;
    if (windows === undefined) return;
    this.#windows = undefined;
    this.#window.release(windows);
    windows.streams--;
  }

  /**
   * Adds an item that has arrived. One that cannot be decoded ends the call.
   *
   * @param bytes Where its body is, from `start` to `end`
   * @throws {RpcError} If there was no credit, or the stream has ended: a protocol error
   */
  receive(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    const size = end - start;
    if (!this.spend(size)) return;
    if (size > 0 && this.#waiters.length === 0 && this.#buffersBytes(size)) {
      return this.#items.pushEncoded(bytes, start, end);
    }
    let item: unknown;
    try {
      item = size > 0 ? this.#owner!.decode(bytes, start, end) : undefined;
    } catch {
      return;
    }
    this.push(item, size);
  }

  /**
   * Charges the credit for an item that has arrived.
   *
   * @param size Of its body, in bytes
   * @returns Whether the item is still wanted
   * @throws {RpcError} If there was no credit, or the stream has ended: a protocol error
   */
  spend(size: number): boolean {
    if (this.#ended) throw malformed("an item arrives after the end of its stream");
    this.#window.spend(size);
    this.#started = true;
    return !this.#closed;
  }

  /** Adds an item whose credit was charged. */
  push(value: unknown, size: number): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) return this.#items.push(value, size);
    waiter.resolve({ value, done: false });
    this.#taken(size);
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
    if (atOnce) this.#items.clear();
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
    if (this.#items.length > 0) {
      let value: unknown;
      try {
        value = this.#items.take(this.#owner);
      } catch (error) {
        return this.#failDecoding(error);
      }
      this.#taken(this.#items.takenSize);
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
    this.#items.clear();
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
    this.#items.clear();
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

  #buffersBytes(size: number): boolean {
    return size > MAX_EAGER_BYTES || this.#items.length >= MAX_EAGER_ITEMS;
  }

  /** Grants credit for items that were taken, now and then. */
  #taken(size: number): void {
    if (!this.#window.taken(size) || this.#closed) return;
    const [items, bytes] = this.#window.grant(this.#items.length === 0, this.#windows);
    if (items > 0 || bytes > 0) this.#owner?.grant(items, bytes);
  }
}
