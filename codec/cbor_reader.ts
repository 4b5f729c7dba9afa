// The bytes of one CBOR message, read head by head: integers, floats and strings. Used by CborDecoder, which builds
// values from them. Owns the position, and the budget of items that a message may hold.

import { CborError, type CborErrorCode } from "./cbor_error.ts";
import { KeyCache } from "./key_cache.ts";
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

// A text of so few bytes is built in less time than it takes to find it in a cache.
const BUILT_SOONER = 8;

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
  #start = 0;
  #itemsLeft = 0;

  constructor(maxItems: number) {
    this.#maxItems = maxItems;
  }

  /** Starts a message. */
  begin(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.#start = this.at = start;
    this.end = end;
    this.#itemsLeft = this.#maxItems;
  }

  /** Releases the bytes; an idle connection would otherwise keep its last chunk. */
  release(): void {
    this.bytes = NOTHING;
  }

  /** The argument of a head, rounded if it is beyond 53 bits; `#wide` then returns it exactly. */
  argument(info: number): number {
    if (info < 24) return info;
    const bytes = this.bytes;
    let at = this.at;
    const size = info < 28 ? 1 << (info - 24) : 0;
    if (size === 0) throw this.error("malformed", at - 1, "reserved additional information");
    if (size > this.end - at) throw this.truncated();
    this.at = at + size;
    if (size === 1) return bytes[at]!;
    if (size === 2) return bytes[at]! << 8 | bytes[at + 1]!;
    if (size === 4) {
      return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
    }
    let value = 0;
    for (; at < this.at; at++) value = value * 256 + bytes[at]!;
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
    this.#load(this.take(8));
    return this.#scratch.getFloat64(0);
  }

  /** Charges `count` declared items, each of which takes at least one byte. */
  charge(count: number): void {
    if (count > this.end - this.at) throw this.truncated();
    this.chargeTime(count);
  }

  /** Charges what takes the time of `count` items. */
  chargeTime(count: number): void {
    this.#itemsLeft -= count;
    if (this.#itemsLeft < 0) {
      throw this.error("limit", this.at, `more than ${this.#maxItems} items (maxItems)`);
    }
  }

  /** Whether an item of indefinite length ends here; if not, charges one more item. */
  breaks(): boolean {
    if (this.at < this.end && this.bytes[this.at] === BREAK) {
      this.at++;
      return true;
    }
    this.charge(1);
    return false;
  }

  /** A copy of the byte string after a head. */
  byteString(info: number): Uint8Array<ArrayBuffer> {
    if (info === INDEFINITE) return this.#chunkedBytes();
    const length = this.argument(info);
    const start = this.take(length);
    this.chargeTime(1); // in addition to its own: making a Uint8Array is slow
    return new Uint8Array(this.bytes.subarray(start, start + length));
  }

  #chunkedBytes(): Uint8Array<ArrayBuffer> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    while (!this.breaks()) {
      const size = this.#chunk(BYTES);
      const start = this.take(size);
      chunks.push(this.bytes.subarray(start, start + size));
      length += size;
    }
    if (chunks.length === 0) this.chargeTime(1); // as for a byte string without chunks
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
    while (!this.breaks()) text += this.text(this.#chunk(TEXT));
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
    const text = length > BUILT_SOONER
      ? this.#texts.get(this.bytes, start, start + length)
      : decodeText(this.bytes, start, start + length);
    return this.utf8(text, start);
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
