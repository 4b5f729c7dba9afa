// Encodes values as CBOR (RFC 8949) into a caller's buffer. Called by CborCodec. It keeps no state of a call, so a getter or
// proxy in the value may encode with the same codec.

import { isArrayBuffer, toThisRealm } from "../call/cross_realm.ts";
import type { ByteBuffer } from "./bytes.ts";
import { fromHex } from "./hex.ts";
import { EncodeError, unknownClass } from "./encode_error.ts";
import { Simple, Tagged } from "./tagged.ts";
import { encodeText } from "./text.ts";
import { typedArrayTag } from "./typed_array.ts";

const UNSIGNED = 0x00;
const NEGATIVE = 0x20;
const BYTES = 0x40;
const ARRAY = 0x80;
const MAP = 0xa0;
const TAG = 0xc0;

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_64_BIT = 2n ** 64n - 1n;

/** Encodes values of at most `maxDepth` levels. */
export class CborEncoder {
  readonly #maxDepth: number;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  #checkOwn = false;

  constructor(maxDepth: number) {
    this.#maxDepth = maxDepth;
  }

  /**
   * Appends `value`.
   *
   * @throws {EncodeError} If it cannot be encoded
   */
  encode(value: unknown, out: ByteBuffer): void {
    // `for in` is the fastest way to list own properties, unless the program added enumerable ones to Object.prototype.
    this.#checkOwn = hasEnumerable(Object.prototype);
    this.#write(out, value, 0);
  }

  #write(out: ByteBuffer, value: unknown, depth: number): void {
    if (typeof value === "string") return encodeText(out, value);
    if (typeof value === "number") return this.#number(out, value);
    if (typeof value === "object") return value === null ? byte(out, 0xf6) : this.#object(out, value, depth);
    if (typeof value === "boolean") return byte(out, value ? 0xf5 : 0xf4);
    if (value === undefined) return byte(out, 0xf7);
    if (typeof value === "bigint") return this.#bigint(out, value);
    throw new EncodeError(`${typeof value}s are not supported`);
  }

  #number(out: ByteBuffer, value: number): void {
    if (Number.isSafeInteger(value) && (value !== 0 || 1 / value > 0)) {
      return value < 0 ? head(out, NEGATIVE, -1 - value) : head(out, UNSIGNED, value);
    }
    this.#scratch.setFloat64(0, value);
    this.#eightBytes(out, 0xfb);
  }

  #bigint(out: ByteBuffer, value: bigint): void {
    const negative = value < 0n;
    const argument = negative ? -1n - value : value;
    if (argument > MAX_64_BIT) return bignum(out, negative, argument);
    // A receiver decodes integers in the safe range as numbers, and others as bigints.
    if (value > MAX_SAFE || value < -MAX_SAFE) {
      return this.#wideHead(out, negative ? NEGATIVE : UNSIGNED, argument);
    }
    byte(out, negative ? TAG | 3 : TAG | 2);
    this.#scratch.setBigUint64(0, argument);
    let size = 8;
    while (size > 1 && this.#scratch.getUint8(8 - size) === 0) size--;
    byte(out, BYTES | size);
    for (; size > 0; size--) byte(out, this.#scratch.getUint8(8 - size));
  }

  /** Appends a head with a 64-bit integer. */
  #wideHead(out: ByteBuffer, major: number, argument: bigint): void {
    if (argument <= MAX_SAFE) return head(out, major, Number(argument));
    this.#scratch.setBigUint64(0, argument);
    this.#eightBytes(out, major | 27);
  }

  /** Appends `first` and the eight bytes of the scratch buffer. */
  #eightBytes(out: ByteBuffer, first: number): void {
    const high = this.#scratch.getUint32(0);
    const low = this.#scratch.getUint32(4);
    out.reserve(9);
    const { bytes } = out;
    let at = out.length;
    bytes[at++] = first;
    bytes[at++] = high >>> 24;
    bytes[at++] = high >> 16;
    bytes[at++] = high >> 8;
    bytes[at++] = high;
    bytes[at++] = low >>> 24;
    bytes[at++] = low >> 16;
    bytes[at++] = low >> 8;
    bytes[at++] = low;
    out.length = at;
  }

  #object(out: ByteBuffer, value: object, depth: number): void {
    if (Array.isArray(value)) return this.#array(out, value, depth);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#properties(out, value, depth);
    if (value instanceof Uint8Array && typedArrayTag(value) === 64) return byteString(out, value);
    if (ArrayBuffer.isView(value)) return typedArray(out, value);
    if (value instanceof Date) return this.#date(out, value);
    if (value instanceof Map) return this.#map(out, value, depth);
    if (value instanceof Set) return this.#set(out, value, depth);
    if (value instanceof Tagged) return this.#tagged(out, value, depth);
    if (value instanceof Simple) return simple(out, value.number);
    if (isArrayBuffer(value)) return byteString(out, new Uint8Array(value));
    const own = toThisRealm(value);
    if (own === undefined) throw unknownClass(value);
    return this.#object(out, own, depth);
  }

  #array(out: ByteBuffer, array: readonly unknown[], depth: number): void {
    this.#enter(depth);
    const length = array.length >>> 0; // a proxy may return any value
    head(out, ARRAY, length);
    let i = 0;
    try {
      for (; i < length; i++) this.#write(out, array[i], depth + 1);
    } catch (error) {
      throw EncodeError.under(i, error);
    }
  }

  #properties(out: ByteBuffer, object: object, depth: number): void {
    this.#enter(depth);
    out.reserve(1);
    const start = out.length++;
    let count = 0;
    let key = "";
    try {
      for (key in object) {
        if (this.#checkOwn && !Object.hasOwn(object, key)) continue;
        if (key === "__proto__") throw new EncodeError("a property of this name is not allowed");
        encodeText(out, key);
        this.#write(out, (object as Record<string, unknown>)[key], depth + 1);
        count++;
      }
    } catch (error) {
      throw EncodeError.under(key, error);
    }
    finish(out, start, MAP, count);
  }

  #map(out: ByteBuffer, map: ReadonlyMap<unknown, unknown>, depth: number): void {
    this.#enter(depth);
    head(out, TAG, 259);
    out.reserve(1);
    const start = out.length++;
    let count = 0;
    let step: string | number = 0;
    try {
      for (const [key, value] of map) {
        step = typeof key === "string" ? key : count;
        this.#write(out, key, depth + 1);
        this.#write(out, value, depth + 1);
        count++;
      }
    } catch (error) {
      throw EncodeError.under(step, error);
    }
    finish(out, start, MAP, count);
  }

  #set(out: ByteBuffer, set: ReadonlySet<unknown>, depth: number): void {
    this.#enter(depth);
    head(out, TAG, 258);
    out.reserve(1);
    const start = out.length++;
    let count = 0;
    try {
      for (const value of set) {
        this.#write(out, value, depth + 1);
        count++;
      }
    } catch (error) {
      throw EncodeError.under(count, error);
    }
    finish(out, start, ARRAY, count);
  }

  #tagged(out: ByteBuffer, tagged: Tagged, depth: number): void {
    this.#enter(depth);
    if (typeof tagged.tag === "number") head(out, TAG, tagged.tag);
    else this.#wideHead(out, TAG, tagged.tag);
    try {
      this.#write(out, tagged.value, depth + 1);
    } catch (error) {
      throw EncodeError.under("value", error);
    }
  }

  #date(out: ByteBuffer, date: Date): void {
    const time = date.getTime();
    if (Number.isNaN(time)) throw new EncodeError("invalid dates are not supported");
    const seconds = time / 1000;
    if (Math.round(seconds * 1000) !== time) {
      throw new EncodeError("this date is too far from 1970 to be encoded to the millisecond");
    }
    byte(out, TAG | 1);
    this.#number(out, seconds);
  }

  #enter(depth: number): void {
    if (depth >= this.#maxDepth) {
      throw new EncodeError(
        `more than ${this.#maxDepth} levels of nesting (maxDepth); is the value cyclic?`,
      );
    }
  }
}

function hasEnumerable(object: object): boolean {
  for (const _ in object) return true;
  return false;
}

function byte(out: ByteBuffer, value: number): void {
  out.reserve(1);
  out.bytes[out.length++] = value;
}

/** Appends the head of an item: its major type and an integer of up to 53 bits. */
function head(out: ByteBuffer, major: number, argument: number): void {
  out.reserve(9);
  const { bytes } = out;
  let at = out.length;
  if (argument < 24) {
    bytes[at++] = major | argument;
  } else if (argument < 0x100) {
    bytes[at++] = major | 24;
    bytes[at++] = argument;
  } else if (argument < 0x10000) {
    bytes[at++] = major | 25;
    bytes[at++] = argument >> 8;
    bytes[at++] = argument;
  } else {
    if (argument < 0x100000000) {
      bytes[at++] = major | 26;
    } else {
      const high = Math.floor(argument / 0x100000000);
      bytes[at++] = major | 27;
      bytes[at++] = high >>> 24;
      bytes[at++] = high >> 16;
      bytes[at++] = high >> 8;
      bytes[at++] = high;
    }
    const low = argument >>> 0;
    bytes[at++] = low >>> 24;
    bytes[at++] = low >> 16;
    bytes[at++] = low >> 8;
    bytes[at++] = low;
  }
  out.length = at;
}

/** Writes the head of an array or map whose size was unknown when a byte was reserved for it at `start`. */
function finish(out: ByteBuffer, start: number, major: number, count: number): void {
  if (count < 24) {
    out.bytes[start] = major | count;
    return;
  }
  const more = count < 0x100 ? 1 : count < 0x10000 ? 2 : 4;
  out.reserve(more);
  const end = out.length;
  out.bytes.copyWithin(start + 1 + more, start + 1, end);
  out.length = start;
  head(out, major, count);
  out.length = end + more;
}

/** Appends an integer beyond 64 bits. Converts through hex, since shifting out single bytes takes quadratic time. */
function bignum(out: ByteBuffer, negative: boolean, argument: bigint): void {
  byte(out, negative ? TAG | 3 : TAG | 2);
  const hex = argument.toString(16);
  byteString(out, fromHex(hex.length % 2 === 0 ? hex : `0${hex}`));
}

function byteString(out: ByteBuffer, value: Uint8Array): void {
  head(out, BYTES, value.length);
  out.append(value);
}

function typedArray(out: ByteBuffer, view: ArrayBufferView): void {
  const tag = typedArrayTag(view);
  if (tag === undefined) throw unknownClass(view);
  // A Uint8Array of another realm is a byte string like those of this realm.
  if (tag !== 64) head(out, TAG, tag);
  byteString(out, new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
}

function simple(out: ByteBuffer, number: number): void {
  if (number > 23) byte(out, 0xf8);
  byte(out, number > 23 ? number : 0xe0 | number);
}
