// What leaves as a stream: the items of an iterable, as fast as the other side gives credit and the connection takes
// them. Belongs to one call of either side.

import type { RpcError } from "../call/error.ts";
import { leave, open, type Source } from "../call/source.ts";
import type { Streamable } from "../call/streamable.ts";
import { malformed } from "../codec/header_reader.ts";
import { INITIAL_BYTES, INITIAL_ITEMS } from "./recv_stream.ts";
import type { FlowStats } from "./session_stats.ts";

/** Whoever an sendStream works for. */
export interface SendStreamOwner {
  /** Whether the connection takes more now; if not, `resume` is called when it does. */
  hasRoom(flow: SendStream): boolean;
  /** It begins to send what it has, or ends or waits. */
  streaming(change: 1 | -1): void;
  /**
   * Writes one item.
   *
   * @returns The length of its body; undefined if its call has ended over it
   */
  writeItem(value: unknown): number | undefined;
}

/** The sending end of one stream. */
export class SendStream {
  readonly #owner: SendStreamOwner;
  #items = INITIAL_ITEMS;
  #bytes = INITIAL_BYTES;
  /** All credit that there has been. */
  #itemsGiven = INITIAL_ITEMS;
  #bytesGiven = INITIAL_BYTES;
  #stopped = false;
  /** Why no credit comes any more, once that is so. */
  #noCreditReason: RpcError | undefined;
  #wake: (() => void) | undefined;
  #source: Source | undefined;
  #started = false;
  /** Settles when the iterable has been told to stop and has done so. */
  #left: Promise<void> | undefined;
  /** Ends `send`, saying whether the iterable came to its end. */
  #finish: ((ended: boolean) => void) | undefined;

  constructor(owner: SendStreamOwner) {
    this.#owner = owner;
  }

  /**
   * Takes credit that the other side gives.
   *
   * @throws {RpcError} If the sum is above 2^53-1: a protocol error
   */
  credit(items: number, bytes: number): void {
    this.#items += items;
    this.#bytes += bytes;
    this.#itemsGiven += items;
    this.#bytesGiven += bytes;
    if (this.#items > Number.MAX_SAFE_INTEGER || this.#bytes > Number.MAX_SAFE_INTEGER) {
      throw malformed("the credit of a stream is above 2^53-1");
    }
    this.resume();
  }

  /** Looks again whether there is room. */
  resume(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Whether there is something to send: credit may come before that is known, and for calls that never stream. */
  get started(): boolean {
    return this.#started;
  }

  /** How it stands. */
  stats(): FlowStats {
    const stalled = this.#wake !== undefined;
    return {
      items: this.#itemsGiven - this.#items,
      bytes: this.#bytesGiven - this.#bytes,
      itemCredit: this.#items,
      byteCredit: this.#bytes,
      waiting: 0,
      waitsFor: this.#stopped ? "nothing" : !stalled ? "handler" : this.#hasCredit() ? "room" : "credit",
    };
  }

  /** No credit comes any more: it fails with `reason` at the first item for which there is none. */
  endCredit(reason: RpcError): void {
    this.#noCreditReason = reason;
    this.resume();
  }

  /** Sends nothing more, and tells the iterable so: one that waits for something may only end by that. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.resume();
    this.#leave();
  }

  /**
   * Sends all items of `source`, each asked for only when there is room for it, and lets go of it.
   *
   * @returns Whether it came to the end; if not, it was stopped
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
    // An iterator that has returned is at its end, even if it never settles the item that is awaited.
    if (source.return !== undefined) this.#left.then(() => this.#finish?.(false));
  }

  async #sendAll(iterator: Source): Promise<boolean> {
    while (!this.#stopped) {
      // Without hope of credit it is asked all the same whether it is over: an End needs none.
      const dry = this.#hasCredit() ? undefined : this.#noCreditReason;
      if (dry === undefined && !this.#hasRoom()) {
        this.#owner.streaming(-1);
        await new Promise<void>((resolve) => this.#wake = resolve);
        this.#owner.streaming(1);
        continue;
      }
      const next = iterator.next();
      // Items of a synchronous iterator are not waited for.
      const { done, value } = isResult(next) ? next : await next;
      if (done) {
        this.#source = undefined;
        return !this.#stopped;
      }
      if (this.#stopped) break;
      if (dry !== undefined) {
        this.stop();
        throw dry;
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
