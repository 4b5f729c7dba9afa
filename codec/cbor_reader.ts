// The bytes of one CBOR message, read head by head: integers, floats and strings. Used by CborDecoder, which builds
// values from them. Owns the position, and the budget of items that a message may hold.

import { budget, Cost } from "./cbor_cost.ts";
import { CborError, type CborErrorCode } from "./cbor_error.ts";
import { KeyCache } from "./key_cache.ts";
import { tooManyItems } from "./limit.ts";
import { SHORT_TEXT_BYTES, shortText } from "./short_text.ts";
import { decodeText } from "./text.ts";

/** The major types that decoders look for. */
export const BYTES = 2;
export const TEXT = 3;
export const ARRAY = 4;
export const MAP = 5;
export const TAG = 6;

/** The additional information of an item without a length, which ends at a break. */
export const INDEFINITE = 31;
const BREAK = 0xff;

/** With fewer bytes left, creating a DataView takes longer than it saves. */
const VIEWED_BYTES = 128;

/** From this length on, `set` copies bytes in two thirds of the constructor's time. */
const COPIED_BYTES = 2_048;

const NOTHING = new Uint8Array(0);

/** Reads one message after the other. Every read is checked against the end of the message. */
export class CborReader {
  /** The bytes that hold the message. */
  bytes: Uint8Array = NOTHING;
  /** Where the next byte is read. */
  at = 0;
  /** Where the message ends. */
  end = 0;
  readonly #maxItems: number;
  readonly #texts = new KeyCache();
  readonly #scratch = new DataView(new ArrayBuffer(8));
  /** A view of the message's bytes, created for its first float if it may have many. */
  #view: DataView | undefined = undefined;
  #start = 0;
  #costLeft = 0;

  constructor(maxItems: number) {
    this.#maxItems = maxItems;
  }

  /** Starts a message. */
  begin(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.#start = this.at = start;
    this.end = end;
    this.#costLeft = budget(this.#maxItems);
  }

  /** Releases the bytes; an idle connection would otherwise keep its last chunk. */
  release(): void {
    this.bytes = NOTHING;
    this.#view = undefined;
  }

  /** The argument of a head, rounded if it is beyond 53 bits; `#wide` then returns it exactly. */
  argument(info: number): number {
    if (info < 24) return info;
    const { at, bytes } = this;
    const left = this.end - at;
    if (info === 24 && left >= 1) {
      this.at = at + 1;
      return bytes[at]!;
    }
    if (info === 25 && left >= 2) {
      this.at = at + 2;
      return bytes[at]! << 8 | bytes[at + 1]!;
    }
    if (info === 26 && left >= 4) {
      this.at = at + 4;
      return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
    }
    return this.#rareArgument(info);
  }

  /** An argument of eight bytes, or the error of one that is malformed or truncated. */
  #rareArgument(info: number): number {
    if (info > 27) throw this.error("malformed", this.at - 1, "reserved additional information");
    const start = this.take(1 << info - 24);
    let value = 0;
    for (let at = start; at < this.at; at++) value = value * 256 + this.bytes[at]!;
    return value;
  }

  /** The 64 bits that were read last, exactly. */
  #wide(): bigint {
    this.#load(this.at - 8);
    return this.#scratch.getBigUint64(0);
  }

  /** Fills the scratch with the eight bytes at `at`. */
  #load(at: number): void {
    const bytes = this.bytes;
    const scratch = this.#scratch;
    scratch.setInt32(0, bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!);
    scratch.setInt32(4, bytes[at + 4]! << 24 | bytes[at + 5]! << 16 | bytes[at + 6]! << 8 | bytes[at + 7]!);
  }

  /** An integer of major type 0. */
  unsigned(info: number): number | bigint {
    const value = this.argument(info);
    return value <= Number.MAX_SAFE_INTEGER ? value : this.#wide();
  }

  /** An integer of major type 1. */
  negative(info: number): number | bigint {
    const value = this.argument(info);
    return value < Number.MAX_SAFE_INTEGER ? -1 - value : -1n - this.#wide();
  }

  /** Takes `count` bytes; returns where they start. */
  take(count: number): number {
    const at = this.at;
    if (count > this.end - at) throw this.truncated();
    this.at = at + count;
    return at;
  }

  /** The four bytes after a head, as a float. */
  float32(): number {
    this.#scratch.setUint32(0, this.argument(26));
    return this.#scratch.getFloat32(0);
  }

  /** The eight bytes after a head, as a float. */
  float64(): number {
    const at = this.take(8);
    const view = this.#viewAt(at);
    if (view !== undefined) return view.getFloat64(at);
    this.#load(at);
    return this.#scratch.getFloat64(0);
  }

  /** A view of the message's bytes, unless there are too few after `at` to make it worth creating. */
  #viewAt(at: number): DataView | undefined {
    if (this.#view !== undefined || this.end - at < VIEWED_BYTES) return this.#view;
    const { buffer, byteOffset, byteLength } = this.bytes;
    return this.#view = new DataView(buffer, byteOffset, byteLength);
  }

  /**
   * Reads the numbers at the start of an array of `count` items into `array`: integers of up to 32 bits and long floats. A loop
   * over locals takes half the time of reading item by item.
   *
   * @returns How many were read
   */
  numbers(array: unknown[], count: number): number {
    const { bytes, end } = this;
    let { at } = this;
    let i = 0;
    for (; i < count && at < end; i++) {
      const first = bytes[at]!;
      const left = end - at;
      let value = first & 31;
      if (first === 0xfb && left > 8) {
        const view = this.#viewAt(at);
        if (view === undefined) break;
        array[i] = view.getFloat64(at + 1);
        at += 9;
        continue;
      } else if (first > 0x3f) {
        break;
      } else if (value < 24) {
        at++;
      } else if (value === 24 && left > 1) {
        value = bytes[at + 1]!;
        at += 2;
      } else if (value === 25 && left > 2) {
        value = bytes[at + 1]! << 8 | bytes[at + 2]!;
        at += 3;
      } else if (value === 26 && left > 4) {
        value = (bytes[at + 1]! << 24 | bytes[at + 2]! << 16 | bytes[at + 3]! << 8 | bytes[at + 4]!) >>> 0;
        at += 5;
      } else {
        break;
      }
      array[i] = first < 0x20 ? value : -1 - value;
    }
    this.at = at;
    return i;
  }

  /** Charges `count` declared items, each of which takes at least one byte and costs `each`. */
  declare(count: number, each: number): void {
    if (count > this.end - this.at) throw this.truncated();
    this.charge(count * each);
  }

  /** Charges a cost in 64ths of an item, see {@linkcode Cost}. */
  charge(cost: number): void {
    this.#costLeft -= cost;
    if (this.#costLeft < 0) {
      throw this.error("limit", this.at, tooManyItems(this.#maxItems));
    }
  }

  /** Whether an item of indefinite length ends here; if not, charges what one more of its items costs. */
  breaks(cost: number): boolean {
    if (this.at < this.end && this.bytes[this.at] === BREAK) {
      this.at++;
      return true;
    }
    this.declare(1, cost);
    return false;
  }

  /** A copy of the byte string after a head. */
  byteString(info: number): Uint8Array<ArrayBuffer> {
    if (info === INDEFINITE) return this.#chunkedBytes();
    const length = this.argument(info);
    const start = this.take(length);
    this.charge(Cost.item);
    const part = this.bytes.subarray(start, start + length);
    if (length < COPIED_BYTES) return new Uint8Array(part);
    const copy = new Uint8Array(length);
    copy.set(part);
    return copy;
  }

  #chunkedBytes(): Uint8Array<ArrayBuffer> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    while (!this.breaks(Cost.item)) {
      const size = this.#chunk(BYTES);
      const start = this.take(size);
      chunks.push(this.bytes.subarray(start, start + size));
      length += size;
    }
    this.charge(Cost.item);
    const whole = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }

  /** The text whose chunks follow, up to a break. */
  chunkedText(): string {
    let text = "";
    while (!this.breaks(Cost.item)) text += this.text(this.#chunk(TEXT));
    return text;
  }

  /** Reads the head of a chunk, which must have the string's own type and a length; returns the length. */
  #chunk(major: number): number {
    const first = this.bytes[this.at++]!;
    if (first >> 5 !== major || (first & 31) === INDEFINITE) {
      throw this.error("malformed", this.at - 1, "a string of chunks holds something else");
    }
    return this.argument(first & 31);
  }

  /** The text of the next `length` bytes. */
  text(length: number): string {
    const start = this.take(length);
    // Short text is built in less time than it takes to find it in the cache.
    if (length <= SHORT_TEXT_BYTES) {
      const text = shortText(this.bytes, start, length);
      return text ?? this.utf8(decodeText(this.bytes, start, start + length), start);
    }
    return this.utf8(this.#texts.get(this.bytes, start, start + length), start);
  }

  /** A text that was decoded from `start` on, if its bytes are UTF-8. */
  utf8(text: string | undefined, start: number): string {
    if (text === undefined) throw this.error("invalid", start, "a text is not UTF-8");
    return text;
  }

  /** The error of a message that ends inside a value. */
  truncated(): CborError {
    return this.error("truncated", this.at, "the message ends inside a value");
  }

  /** An error at a place in `bytes`, counted from where the message starts. */
  error(code: CborErrorCode, at: number, reason: string): CborError {
    return new CborError(code, at - this.#start, reason);
  }
}
