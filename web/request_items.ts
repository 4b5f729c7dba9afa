// The body of a request that carries a stream: read item by item, as fast as the handler takes them.

import { RpcError } from "../call/error.ts";
import { eventLoop } from "../session/event_loop.ts";
import type { RecvStream } from "../session/recv_stream.ts";
import { INITIAL } from "../session/recv_window.ts";
import { type Envelope, EnvelopeReader } from "./envelopes.ts";
import { LineItems } from "./line_items.ts";
import { inflate, isCompressed } from "./request_body.ts";

/** Each of these bytes that arrives gives an item another ms, as 64 KiB give a frame another second. */
const BYTES_PER_MS = 65_536 / 1_000;

/** How many turns of the event loop after the end of an upload its client may still cancel it. */
const TURNS_AFTER_END = 5;

/** What items are read with. */
export interface RequestItemsOptions {
  /** How items are written: in Connect's envelopes, or as lines. */
  readonly form: "envelopes" | "lines";
  /** The longest item accepted, in bytes, inflated or not. */
  readonly maxBytes: number;
  /** How long an item may take to arrive, in ms. */
  readonly itemTimeout: number;
  /** Makes a value of the JSON of an item. */
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** Reads the items of one request. */
export class RequestItems {
  readonly #request: Request;
  readonly #options: RequestItemsOptions;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #cutter: EnvelopeReader | LineItems;
  #stopped = false;
  #items = INITIAL.items;
  #bytes = INITIAL.bytes;
  #wake: (() => void) | undefined;
  /** When the item that has begun to arrive must be complete, on the clock of `performance.now()`. */
  #itemDue: number | undefined;

  constructor(request: Request, options: RequestItemsOptions) {
    this.#request = request;
    this.#options = options;
    this.#reader = request.body?.getReader();
    const Cutter = options.form === "envelopes" ? EnvelopeReader : LineItems;
    this.#cutter = new Cutter(options.maxBytes);
  }

  /** Reads no further: the items are not wanted. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#reader?.cancel().catch(() => {});
    this.#wake?.();
  }

  /**
   * The value of a request that is to have exactly one item.
   *
   * @throws {RpcError} If it has none or more, or cannot be read
   */
  async only(): Promise<unknown> {
    const values: unknown[] = [];
    await this.#each((value) => {
      values.push(value);
      if (values.length > 1) {
        throw new RpcError("unimplemented", "Cannot read the request: expected one message, got more");
      }
    });
    if (values.length === 0) {
      throw new RpcError("unimplemented", "Cannot read the request: expected one message, got none");
    }
    return values[0];
  }

  /**
   * Passes the items on to a stream of arguments, as it grants credit, and ends the stream.
   *
   * @throws {RpcError} If they cannot be read
   */
  async into(recvStream: RecvStream): Promise<void> {
    recvStream.attach({
      grant: (items, bytes) => {
        this.#items += items;
        this.#bytes += bytes;
        this.#wake?.();
      },
      decode: (bytes, start, end) => this.#options.decode(bytes.subarray(start, end)),
      consumerLeft: () => this.stop(),
    });
    await this.#each(async (value, size) => {
      while (!this.#stopped && (this.#items <= 0 || this.#bytes <= 0)) {
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
      if (this.#stopped || !recvStream.spend(size)) return this.stop();
      this.#items--;
      this.#bytes -= size;
      recvStream.push(value, size);
    });
    if (!this.#stopped && !await this.#isCanceled() && !recvStream.closed) recvStream.end();
  }

  async #each(take: (value: unknown, size: number) => Promise<void> | void): Promise<void> {
    const coding = this.#options.form === "envelopes" ? "connect-content-encoding" : "content-encoding";
    const inflates = isCompressed(this.#request.headers.get(coding));
    if (inflates && this.#options.form === "lines") {
      throw new RpcError(
        "unimplemented",
        "Cannot read the request: lines are read without a content-encoding",
      );
    }
    eventLoop.enter();
    try {
      for (let more = true; more && !this.#stopped;) {
        more = await this.#read();
        for (let item; !this.#stopped && (item = this.#cutter.next()) !== undefined;) {
          this.#itemDue = undefined;
          const bytes = await this.#plain(item, inflates);
          await take(this.#options.decode(bytes), Math.max(bytes.length, 1));
          await eventLoop.yieldIfDue();
        }
        await eventLoop.yieldIfDue();
      }
    } finally {
      eventLoop.leave();
    }
  }

  async #plain({ compressed, bytes }: Envelope, inflates: boolean): Promise<Uint8Array> {
    if (!compressed) return bytes;
    if (!inflates) {
      throw new RpcError(
        "internal",
        "Cannot read the request: a message is compressed without connect-content-encoding",
      );
    }
    return await inflate(bytes, this.#options.maxBytes);
  }

  /** Reads more of the body; returns whether there was more. */
  async #read(): Promise<boolean> {
    const chunk = await this.#chunk();
    if (chunk !== undefined) this.#cutter.push(chunk);
    else if (!this.#stopped) this.#cutter.finish();
    return chunk !== undefined;
  }

  async #chunk(): Promise<Uint8Array | undefined> {
    if (this.#reader === undefined) return undefined;
    let late = false;
    // Between items the client may take its time; a half one holds memory.
    const now = performance.now();
    this.#itemDue = this.#cutter.partial ? this.#itemDue ?? now + this.#options.itemTimeout : undefined;
    const timer = this.#itemDue === undefined ? undefined : setTimeout(() => {
      late = true;
      this.#reader!.cancel().catch(() => {});
    }, this.#itemDue - now);
    try {
      const { value } = await this.#reader.read();
      if (value !== undefined && this.#itemDue !== undefined) this.#itemDue += value.length / BYTES_PER_MS;
      if (!late) return value;
    } catch (cause) {
      throw new RpcError("canceled", "The request broke off", { cause });
    } finally {
      clearTimeout(timer);
    }
    const message = `An item did not arrive within ${this.#options.itemTimeout} ms (frameTimeout)`;
    throw new RpcError("deadline_exceeded", message);
  }

  /**
   * Whether the client has canceled an upload that seemed to be complete. Over HTTP/2, clients such as Node's end the
   * stream before they reset it, and the reset arrives some turns later.
   */
  async #isCanceled(): Promise<boolean> {
    const { headers, signal } = this.#request;
    // Requests over HTTP/1.1 have a host, and an upload that breaks off fails there.
    if (headers.has("host")) return false;
    for (let turn = 0; turn < TURNS_AFTER_END && !signal.aborted; turn++) {
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
    }
    return signal.aborted;
  }
}
