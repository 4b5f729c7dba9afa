// Encodes values as CBOR (RFC 8949) into a caller's buffer. Called by CborCodec. A getter or proxy in the value may encode with
// the same codec: only the limits of the whole message are then counted for each value alone.

import { isArrayBuffer, toThisRealm } from "../call/cross_realm.ts";
import type { ByteBuffer } from "./bytes.ts";
import { budget, Cost } from "./cbor_cost.ts";
import type { CborLimits } from "./cbor_decode.ts";
import { secondsOf } from "./date_time.ts";
import { fromHex, toHex } from "./hex.ts";
import { EncodeError, unknownClass } from "./encode_error.ts";
import { NumericKeys } from "./numeric_keys.ts";
import { MAX_PREDICTED, propertyCount } from "./shapes.ts";
import { tooLongInteger, tooLongKey } from "./limit.ts";
import { isKnownTag, Simple, Tagged } from "./tagged.ts";
import { encodeText, SHORT_BYTES } from "./text.ts";
import { typedArrayTag } from "./typed_array.ts";

const UNSIGNED = 0x00;
const NEGATIVE = 0x20;
const BYTES = 0x40;
const ARRAY = 0x80;
const MAP = 0xa0;
const TAG = 0xc0;

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_64_BIT = 2n ** 64n - 1n;

/** Encodes values that a decoder with the same limits accepts, unless they have too many items. */
export class CborEncoder {
  readonly #limits: CborLimits;
  readonly #budget: number;
  readonly #maxDepth: number;
  readonly #checksShortKeys: boolean;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  #checkOwn = false;
  /** Containers that end before this position are so few that they are not charged. */
  #chargeFrom = 0;
  /** What a decoder charges for the rest of the message at least. */
  #cost = 0;
  /** What it charges in addition if all values are texts, and all keys that differ from those before are new to it. */
  #maybeCost = 0;
  /** The last key of the latest object at each depth: the next one with it probably has the same keys. */
  readonly #lastKeys: string[] = [];
  /** Of the current message; undefined until it has a Map or a Set. */
  #numericKeys: NumericKeys | undefined;

  constructor(limits: CborLimits) {
    this.#limits = limits;
    this.#maxDepth = limits.maxDepth;
    this.#budget = budget(limits.maxItems);
    this.#checksShortKeys = limits.maxKeyBytes < SHORT_BYTES;
  }

  /**
   * Appends `value`.
   *
   * @returns Whether a decoder with the same limits accepts so many items; undefined if only decoding shows that
   * @throws {EncodeError} If it cannot be encoded, or goes beyond any other limit
   */
  encode(value: unknown, out: ByteBuffer): boolean | undefined {
    // `for in` is the fastest way to list own properties, unless the program added enumerable ones to Object.prototype.
    this.#checkOwn = propertyCount(Object.prototype) > 0;
    this.#chargeFrom = out.length + (this.#limits.maxItems >> 3);
    this.#write(out, value, 0);
    if (this.#cost === 0) return true;
    const left = this.#budget - this.#cost;
    const fits = left >= this.#maybeCost ? true : left >= 0 ? undefined : false;
    this.reset();
    return fits;
  }

  /** Forgets what was counted of a message. Called after an error. */
  reset(): void {
    this.#cost = this.#maybeCost = 0;
    this.#numericKeys = undefined;
  }

  #write(out: ByteBuffer, value: unknown, depth: number): void {
    if (typeof value === "string") return void encodeText(out, value);
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
    if (argument > MAX_64_BIT) return this.#bignum(out, negative, argument);
    // A receiver decodes integers in the safe range as numbers, and others as bigints.
    if (value > MAX_SAFE || value < -MAX_SAFE) {
      return this.#wideHead(out, negative ? NEGATIVE : UNSIGNED, argument);
    }
    byte(out, negative ? TAG | 3 : TAG | 2);
    this.#scratch.setBigUint64(0, argument);
    let size = 8;
    while (size > 1 && this.#scratch.getUint8(8 - size) === 0) size--;
    this.#chargeBignum(size);
    byte(out, BYTES | size);
    for (; size > 0; size--) byte(out, this.#scratch.getUint8(8 - size));
  }

  /** Appends an integer beyond 64 bits. Converts through hex, since shifting out single bytes takes quadratic time. */
  #bignum(out: ByteBuffer, negative: boolean, argument: bigint): void {
    const hex = argument.toString(16);
    const size = hex.length + 1 >> 1;
    this.#chargeBignum(size);
    byte(out, negative ? TAG | 3 : TAG | 2);
    byteString(out, fromHex(hex.length % 2 === 0 ? hex : `0${hex}`));
  }

  #chargeBignum(size: number): void {
    const { maxBignumBytes } = this.#limits;
    if (size > maxBignumBytes) throw new EncodeError(tooLongInteger(maxBignumBytes));
    this.#cost += Cost.item + (size < 7 ? 0 : Cost.item + (size >> 4) * Cost.item);
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
    if (value instanceof Uint8Array && typedArrayTag(value) === 64) return this.#bytes(out, value);
    if (ArrayBuffer.isView(value)) return this.#typedArray(out, value);
    if (value instanceof Date) return this.#date(out, value);
    if (value instanceof Map) return this.#map(out, value, depth);
    if (value instanceof Set) return this.#set(out, value, depth);
    if (value instanceof Tagged) return this.#tagged(out, value, depth);
    if (value instanceof Simple) return this.#simple(out, value.number);
    if (isArrayBuffer(value)) return this.#bytes(out, new Uint8Array(value));
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
    if (out.length < this.#chargeFrom) return;
    this.#cost += Cost.array + length;
    if (typeof array[0] === "string") this.#maybeCost += length * Cost.text;
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
        const at = out.length;
        if (encodeText(out, key) || this.#checksShortKeys) this.#checkTextKey(out, at);
        this.#write(out, (object as Record<string, unknown>)[key], depth + 1);
        count++;
      }
    } catch (error) {
      throw EncodeError.under(key, error);
    }
    finish(out, start, MAP, count);
    if (out.length >= this.#chargeFrom) this.#chargeProperties(key, count, depth);
  }

  #chargeProperties(lastKey: string, count: number, depth: number): void {
    this.#cost += Cost.map + count * (1 + Cost.key);
    if (count === 0) return;
    this.#maybeCost += count * Cost.text;
    if (count > MAX_PREDICTED) {
      this.#cost += Cost.newMap + count * Cost.newKey;
    } else if (lastKey !== this.#lastKeys[depth]) {
      this.#lastKeys[depth] = lastKey;
      this.#maybeCost += Cost.newMap + count * Cost.newKey;
    }
  }

  /** Checks the length of a text that was appended at `at` as a key. */
  #checkTextKey(out: ByteBuffer, at: number): void {
    const info = out.bytes[at]! & 31;
    this.#checkKeySize(out.length - at - (info < 24 ? 1 : 1 + (1 << info - 24)));
  }

  #checkKeySize(size: number): void {
    if (size > this.#limits.maxKeyBytes) throw new EncodeError(tooLongKey(this.#limits.maxKeyBytes));
  }

  #map(out: ByteBuffer, map: ReadonlyMap<unknown, unknown>, depth: number): void {
    this.#enter(depth);
    head(out, TAG, 259);
    out.reserve(1);
    const start = out.length++;
    const encodings = new Set<string>();
    let count = 0;
    let step: string | number = 0;
    try {
      for (const [key, value] of map) {
        step = typeof key === "string" ? key : count;
        this.#key(out, key, encodings, depth);
        this.#write(out, value, depth + 1);
        count++;
      }
    } catch (error) {
      throw EncodeError.under(step, error);
    }
    finish(out, start, MAP, count);
    this.#cost += Cost.item + Cost.object + count * Cost.entry;
  }

  /** Appends a key of a Map. Those that are objects must differ in their `encodings`. */
  #key(out: ByteBuffer, key: unknown, encodings: Set<string>, depth: number): void {
    const at = out.length;
    if (typeof key === "string") {
      encodeText(out, key);
      this.#checkTextKey(out, at);
      return this.#chargeKey(key);
    }
    this.#write(out, key, depth + 1);
    const size = out.length - at;
    this.#checkKeySize(size);
    if (typeof key !== "object" || key === null) return this.#chargeKey(key);
    this.#cost += (size >> 4) * Cost.item;
    const encoding = toHex(out.bytes.subarray(at, out.length));
    if (encodings.has(encoding)) throw new EncodeError("two keys of the map are equal once they are encoded");
    encodings.add(encoding);
  }

  #chargeKey(key: unknown): void {
    const numericKeys = this.#numericKeys ??= new NumericKeys(this.#limits.maxNumericKeys);
    const reason = numericKeys.charge(key);
    if (reason !== undefined) throw new EncodeError(reason);
  }

  #set(out: ByteBuffer, set: ReadonlySet<unknown>, depth: number): void {
    this.#enter(depth);
    head(out, TAG, 258);
    out.reserve(1);
    const start = out.length++;
    let count = 0;
    try {
      for (const value of set) {
        this.#chargeKey(value);
        this.#write(out, value, depth + 1);
        count++;
      }
    } catch (error) {
      throw EncodeError.under(count, error);
    }
    finish(out, start, ARRAY, count);
    this.#cost += Cost.item + Cost.array + count + Math.max(Cost.object, count * Cost.entry);
  }

  #tagged(out: ByteBuffer, tagged: Tagged, depth: number): void {
    this.#enter(depth);
    const { tag, value } = tagged;
    if (isKnownTag(tag)) throw new EncodeError(`tag ${tag} is for another class of values than Tagged`);
    this.#cost += Cost.item;
    this.#wideHead(out, TAG, BigInt(tag));
    try {
      this.#write(out, value, depth + 1);
    } catch (error) {
      throw EncodeError.under("value", error);
    }
  }

  #date(out: ByteBuffer, date: Date): void {
    this.#cost += Cost.item + Cost.object;
    byte(out, TAG | 1);
    this.#number(out, secondsOf(date));
  }

  #bytes(out: ByteBuffer, value: Uint8Array): void {
    this.#cost += Cost.bytes + Cost.item;
    byteString(out, value);
  }

  #typedArray(out: ByteBuffer, view: ArrayBufferView): void {
    const tag = typedArrayTag(view);
    if (tag === undefined) throw unknownClass(view);
    // A Uint8Array of another realm is a byte string like those of this realm.
    if (tag !== 64) head(out, TAG, tag);
    this.#cost += Cost.item;
    this.#bytes(out, new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  }

  #simple(out: ByteBuffer, number: number): void {
    this.#cost += Cost.object;
    if (number > 23) byte(out, 0xf8);
    byte(out, number > 23 ? number : 0xe0 | number);
  }

  #enter(depth: number): void {
    if (depth < this.#maxDepth) return;
    throw new EncodeError(`more than ${this.#maxDepth} levels of nesting (maxDepth); is the value cyclic?`);
  }
}

/** Appends one byte. */
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

/** Appends a byte string with its head. */
function byteString(out: ByteBuffer, value: Uint8Array): void {
  head(out, BYTES, value.length);
  out.append(value);
}
