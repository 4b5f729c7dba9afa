// Sending half of a stream: sends the items of an iterable, as fast as the receiver grants credit and the connection has
// room. Belongs to one call of either side.

import type { RpcError } from "../call/error.ts";
import { leave, open, type Source } from "../call/source.ts";
import type { Streamable } from "../call/streamable.ts";
import { malformed } from "../codec/header_reader.ts";
import { INITIAL_BYTES, INITIAL_ITEMS } from "./recv_stream.ts";
import type { FlowStats } from "./session_stats.ts";

/** The owner of a stream: writes its items. */
export interface SendStreamOwner {
  /** Whether there is room for more items; if not, `resume` is called when there is. */
  hasRoom(stream: SendStream): boolean;
  /** The stream starts to send (1), or it ends or waits (-1). */
  streaming(change: 1 | -1): void;
  /**
   * Writes one item.
   *
   * @returns The length of its body in bytes; undefined if it cannot be sent, and the call was ended
   */
  writeItem(value: unknown): number | undefined;
}

/** Sends the items of one stream. */
export class SendStream {
  readonly #owner: SendStreamOwner;
  /** The credit left. */
  #items = INITIAL_ITEMS;
  #bytes = INITIAL_BYTES;
  /** All credit that was granted. */
  #itemsGranted = INITIAL_ITEMS;
  #bytesGranted = INITIAL_BYTES;
  #stopped = false;
  /** Why no more credit arrives, once that is known. */
  #noCreditReason: RpcError | undefined;
  #wake: (() => void) | undefined;
  #source: Source | undefined;
  #started = false;
  /** Settles when the iterable was asked to return and has done so. */
  #left: Promise<void> | undefined;
  /** Resolves the promise of `send`. */
  #finish: ((ended: boolean) => void) | undefined;

  constructor(owner: SendStreamOwner) {
    this.#owner = owner;
  }

  /**
   * Adds credit that the receiver has granted.
   *
   * @throws {RpcError} If the sum is above 2^53-1: a protocol error
   */
  credit(items: number, bytes: number): void {
    this.#items += items;
    this.#bytes += bytes;
    this.#itemsGranted += items;
    this.#bytesGranted += bytes;
    if (this.#items > Number.MAX_SAFE_INTEGER || this.#bytes > Number.MAX_SAFE_INTEGER) {
      throw malformed("the credit of a stream is above 2^53-1");
    }
    this.resume();
  }

  /** Checks again whether there is credit and room. */
  resume(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Whether `send` was called: credit may arrive before that, and for calls that never stream. */
  get started(): boolean {
    return this.#started;
  }

  /** The state of the stream. */
  stats(): FlowStats {
    const stalled = this.#wake !== undefined;
    return {
      items: this.#itemsGranted - this.#items,
      bytes: this.#bytesGranted - this.#bytes,
      itemCredit: this.#items,
      byteCredit: this.#bytes,
      waiting: 0,
      waitsFor: this.#stopped ? "nothing" : !stalled ? "handler" : this.#hasCredit() ? "room" : "credit",
    };
  }

  /** No more credit arrives: `send` fails with `reason` at the first item without credit. */
  endCredit(reason: RpcError): void {
    this.#noCreditReason = reason;
    this.resume();
  }

  /** Sends nothing more, and asks the iterable to return: it may wait for something that never happens. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.resume();
    this.#leave();
  }

  /**
   * Sends all items of `source`, requesting each only when there is credit and room for it.
   *
   * @returns Whether the end was reached; if not, it was stopped
   * @throws Whatever the iterable throws
   */
  async send(source: Streamable): Promise<boolean> {
    const iterator = open(source);
    this.#source = iterator;
    this.#started = true;
    if (this.#stopped) this.#leave();
    this.#owner.streaming(1);
    try {
      return await new Promise<boolean>((resolve, reject) => {
        this.#finish = resolve;
        this.#sendAll(iterator).then(resolve, reject);
      });
    } finally {
      this.#owner.streaming(-1);
      await this.#left;
    }
  }

  #leave(): void {
    const source = this.#source;
    this.#source = undefined;
    if (source === undefined) return;
    this.#left = leave(source);
    // An iterator that has returned has ended, even if it never settles the promise of its next item.
    if (source.return !== undefined) this.#left.then(() => this.#finish?.(false));
  }

  async #sendAll(iterator: Source): Promise<boolean> {
    while (!this.#stopped) {
      // When no more credit arrives, the iterable may still have ended: an End needs no credit.
      const exhausted = this.#hasCredit() ? undefined : this.#noCreditReason;
      if (exhausted === undefined && !this.#hasRoom()) {
        this.#owner.streaming(-1);
        await new Promise<void>((resolve) => this.#wake = resolve);
        this.#owner.streaming(1);
        continue;
      }
      const next = iterator.next();
      // The results of a synchronous iterator are not awaited.
      const { done, value } = isResult(next) ? next : await next;
      if (done) {
        this.#source = undefined;
        return !this.#stopped;
      }
      if (this.#stopped) break;
      if (exhausted !== undefined) {
        this.stop();
        throw exhausted;
      }
      const length = this.#owner.writeItem(value);
      if (length === undefined) this.stop();
      else this.#spend(length);
    }
    return false;
  }

  #spend(length: number): void {
    this.#items--;
    this.#bytes -= length;
  }

  #hasCredit(): boolean {
    return this.#items > 0 && this.#bytes > 0;
  }

  #hasRoom(): boolean {
    return this.#hasCredit() && this.#owner.hasRoom(this);
  }
}

type Result = IteratorResult<unknown>;

function isResult(next: Result | Promise<Result>): next is Result {
  return !("then" in next);
}
