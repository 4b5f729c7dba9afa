// What arrives of a stream: items that wait for whoever iterates, and the credit that is given for them. Belongs to one
// call of either side; the session's read loop pushes, the user's loop takes.

import { isRpcError, rejection, RpcError } from "../call/error.ts";
import { applicationMetadata, type Metadata } from "../call/metadata.ts";
import { malformed } from "../codec/header_reader.ts";
import type { FlowStats } from "./session_stats.ts";

/** Items that each direction of a stream may send at first. */
export const INITIAL_ITEMS = 64;
/** Bytes of items' bodies that each direction of a stream may send at first. */
export const INITIAL_BYTES = 262_144;
/** How far the credit of a stream grows whose consumer is always waiting: nothing is gained beyond. */
const MAX_ITEMS = 1_024;
const MAX_BYTES = 1_048_576;

/** The longest item, in bytes, that is decoded while it has to wait: of a longer one its bytes wait, which cost less. */
export const MAX_EAGER_BYTES = 128;

const DONE: IteratorResult<never> = { value: undefined, done: true };

/** Whoever an recvStream works for. */
export interface RecvStreamOwner {
  /** The other side may send that much more. */
  grant(items: number, bytes: number): void;
  /** Whoever iterated has left before the end. */
  consumerLeft(): void;
}

interface Waiter {
  resolve(result: IteratorResult<unknown> | Promise<never>): void;
}

/** The items of one stream, to be taken once, in order. Leaving its loop tells the sender to stop. */
export class RecvStream implements AsyncIterableIterator<unknown> {
  #owner: RecvStreamOwner | undefined;
  /** Items that wait, from `#head` on, and the sizes of their bodies: negative where what waits is what decodes the item. */
  readonly #items: unknown[] = [];
  readonly #sizes: number[] = [];
  #head = 0;
  /** Who waits for items; only ever while none waits. */
  readonly #waiters: Waiter[] = [];
  /** What the other side may still send. */
  #itemCredit = INITIAL_ITEMS;
  #byteCredit = INITIAL_BYTES;
  /** All credit that was given. */
  #itemsGiven = INITIAL_ITEMS;
  #bytesGiven = INITIAL_BYTES;
  /** What its credit is filled up to. */
  #itemWindow = INITIAL_ITEMS;
  #byteWindow = INITIAL_BYTES;
  /** What was taken since the last grant. */
  #itemsTaken = 0;
  #bytesTaken = 0;
  #started = false;
  /** The sender has said that this was all. */
  #ended = false;
  /** Nothing more is handed out but what waits. */
  #closed = false;
  #error: RpcError | undefined;
  /** What came beside the end. */
  #metadata: Metadata | undefined;
  /** Is given that when whoever iterates has come to the end; undefined = nobody asks. */
  #replyMetadata: Map<string, string | Uint8Array> | undefined;

  /** @param replyMetadata Is given what came beside the end or the error, when whoever iterates has come to it */
  constructor(replyMetadata?: Map<string, string | Uint8Array>) {
    this.#replyMetadata = replyMetadata;
  }

  /** Whether anything has arrived. */
  get started(): boolean {
    return this.#started;
  }

  /** Whether nothing more is wanted or expected. */
  get closed(): boolean {
    return this.#closed;
  }

  /** How it stands. */
  stats(): FlowStats {
    const waiting = this.#items.length - this.#head;
    const idle = this.#closed ? "nothing" : this.#waiters.length > 0 ? "peer" : "handler";
    return {
      items: this.#itemsGiven - this.#itemCredit,
      bytes: this.#bytesGiven - this.#byteCredit,
      itemCredit: this.#itemCredit,
      byteCredit: this.#byteCredit,
      waiting,
      waitsFor: waiting > 0 ? "handler" : idle,
    };
  }

  /** Says whom this works for: known when its call is sent. */
  attach(owner: RecvStreamOwner): void {
    this.#owner = owner;
  }

  /**
   * Takes the credit of an item that has arrived, before anything else is done with it.
   *
   * @param size Of its body, in bytes
   * @returns Whether anybody still wants it
   * @throws {RpcError} If there was no credit, or the stream has ended: a protocol error
   */
  spend(size: number): boolean {
    if (this.#ended) throw malformed("an item comes behind the end of its stream");
    if (this.#itemCredit <= 0 || this.#byteCredit <= 0) {
      throw new RpcError("resource_exhausted", "Cannot decode frame: an item comes without credit");
    }
    this.#started = true;
    this.#itemCredit--;
    this.#byteCredit -= size;
    return !this.#closed;
  }

  /** Whether somebody waits for the next item. */
  get awaited(): boolean {
    return this.#waiters.length > 0;
  }

  /** Hands an item over whose credit has been taken. */
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
   * Hands over, where none is awaited, an item that is to be decoded when it is taken.
   *
   * @param size Of its body, in bytes, of which there are some
   * @param decode Returns the item; what ends the call before it throws
   */
  pushUnread(decode: () => unknown, size: number): void {
    this.#items.push(decode);
    this.#sizes.push(-size);
  }

  /**
   * The sender has said that this was all. What waits can still be taken.
   *
   * @param metadata What came beside that
   * @throws {RpcError} If it had said so before: a protocol error
   */
  end(metadata?: Metadata): void {
    if (this.#ended) throw malformed("a stream ends twice");
    this.#ended = true;
    this.#metadata = metadata;
    this.#finish();
  }

  /** It ends with an error: behind what waits, or at once if nobody should go on with that. */
  fail(error: RpcError, atOnce: boolean): void {
    if (this.#closed) return;
    if (atOnce) this.#clear();
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#error = error;
    } else {
      this.#tell(error);
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
          return this.#spoil(error);
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
    this.#tell(error);
    if (error === undefined) return Promise.resolve(DONE);
    this.#error = undefined;
    return rejection(error);
  }

  return(): Promise<IteratorResult<unknown>> {
    const early = !this.#closed;
    this.#error = undefined;
    // Whoever leaves does not come to the end, whether that is here already or not.
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
    this.#tell();
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(DONE);
  }

  /** Ends with an item that cannot be decoded, whatever waits behind it. */
  #spoil(error: unknown): Promise<never> {
    this.#clear();
    this.#error = undefined;
    this.#finish();
    this.#tell(error);
    return rejection(error);
  }

  /** Hands over, once, what came beside the end, or beside the error. */
  #tell(error?: unknown): void {
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

  /** Gives up the places of what was taken: a consumer may never catch up. */
  #compact(): void {
    this.#items.splice(0, this.#head);
    this.#sizes.splice(0, this.#head);
    this.#head = 0;
  }

  /** Grants anew what was taken, half a window at a time; to a consumer who had to wait, twice as much from now on. */
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
    this.#itemsGiven += items;
    this.#bytesGiven += bytes;
    this.#owner?.grant(items, bytes);
  }
}
