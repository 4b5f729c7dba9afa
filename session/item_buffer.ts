// The items of a stream that have arrived and are not taken yet. The first few small ones are kept as values; all others
// as bytes, many in one chunk, which takes little more memory than was received. Used by RecvStream.

import type { RpcError } from "../call/error.ts";
import type { Codec } from "../codec/codec.ts";

/** Chunks grow to this size, in bytes; a longer item gets a chunk of its own. */
const MAX_CHUNK_BYTES = 65_536;
/** The smallest chunk, in bytes. */
const MIN_CHUNK_BYTES = 1_024;
/** Up to this length, a loop copies faster than `set`. */
const LOOP_BYTES = 40;
/** After so many items were taken, their entries may be removed: the buffer of a slow consumer may never become empty. */
const COMPACT_AFTER = 1_024;

/** Decodes items. */
export interface ItemDecoder {
  /**
   * Decodes an item.
   *
   * @throws {RpcError} If it cannot be decoded: then the call has ended
   */
  decode(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): unknown;
}

/** A queue of items, each a value or encoded. */
export class ItemBuffer {
  /** Values, or the chunks that hold encoded items; from `#head` on. */
  readonly #entries: unknown[] = [];
  /** The sizes of the items' bodies in bytes; negative where the item is encoded. */
  readonly #sizes: number[] = [];
  #head = 0;
  /** The chunk that is being filled, and how much of it is used. */
  #chunk: Uint8Array<ArrayBuffer> | undefined;
  #used = 0;
  /** The chunk of the encoded item that was taken last, and where the next one begins in it. */
  #readChunk: unknown;
  #readAt = 0;

  /** The size of the body, in bytes, of the item that was taken last. */
  takenSize = 0;

  /** The number of items. */
  get length(): number {
    return this.#entries.length - this.#head;
  }

  /** Adds an item as a value. */
  push(value: unknown, size: number): void {
    this.#entries.push(value);
    this.#sizes.push(size);
  }

  /** Adds a copy of an encoded item, which has at least one byte. */
  pushEncoded(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    const size = end - start;
    let chunk = this.#chunk;
    if (chunk === undefined || this.#used + size > chunk.length) {
      const wanted = Math.min(Math.max(2 * (chunk?.length ?? 0), MIN_CHUNK_BYTES), MAX_CHUNK_BYTES);
      chunk = this.#chunk = new Uint8Array(Math.max(wanted, size));
      this.#used = 0;
    }
    const used = this.#used;
    if (size > LOOP_BYTES) chunk.set(bytes.subarray(start, end), used);
    else for (let i = 0; i < size; i++) chunk[used + i] = bytes[start + i]!;
    this.#used = used + size;
    this.#entries.push(chunk);
    this.#sizes.push(-size);
  }

  /**
   * Takes the next item. There must be one.
   *
   * @param decoder Decodes an encoded item. If it throws, the item is not taken
   */
  take(decoder: ItemDecoder | undefined): unknown {
    const head = this.#head;
    let value = this.#entries[head];
    let size = this.#sizes[head]!;
    if (size < 0) {
      size = -size;
      const start = value === this.#readChunk ? this.#readAt : 0;
      this.#readChunk = value;
      this.#readAt = start + size;
      value = decoder!.decode(value as Uint8Array<ArrayBuffer>, start, this.#readAt);
    }
    this.takenSize = size;
    this.#entries[head] = undefined;
    this.#head = head + 1;
    if (this.#head === this.#entries.length) this.clear();
    else if (this.#head >= COMPACT_AFTER && 2 * this.#head >= this.#entries.length) this.#compact();
    return value;
  }

  /** Discards all items. The current chunk is reused unless it is long. */
  clear(): void {
    this.#entries.length =
      this.#sizes.length =
      this.#head =
      this.#used =
        0;
    this.#readChunk = undefined;
    if ((this.#chunk?.length ?? 0) > MAX_CHUNK_BYTES) this.#chunk = undefined;
  }

  #compact(): void {
    this.#entries.splice(0, this.#head);
    this.#sizes.splice(0, this.#head);
    this.#head = 0;
  }
}

/**
 * Decodes items with a codec.
 *
 * @param failed Ends the call with the cause, and returns the error that it ended with
 */
export function itemDecoder(codec: Codec, failed: (cause: unknown) => RpcError): ItemDecoder["decode"] {
  return (bytes, start, end) => {
    try {
      return codec.decode(bytes, start, end);
    } catch (cause) {
      throw failed(cause);
    }
  };
}
