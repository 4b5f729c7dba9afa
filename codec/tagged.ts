// CBOR values without a JavaScript equivalent, kept so that they can be inspected and encoded again.

import { isTypedArrayTag } from "./typed_array.ts";

const MAX_TAG = 2n ** 64n - 1n;
/** Dates, bignums, Set, Map, and the mark of CBOR itself. */
const KNOWN_TAGS: ReadonlySet<number> = new Set([0, 1, 2, 3, 258, 259, 55_799]);

/** Whether the codec has another value for a tag than a {@linkcode Tagged}. */
export function isKnownTag(tag: number | bigint): boolean {
  return KNOWN_TAGS.has(Number(tag)) || isTypedArrayTag(Number(tag));
}

/**
 * A value with a tag that the codec does not know (RFC 8949 §3.4). The codec does not interpret it; it encodes to the same
 * bytes again. A tag that the codec knows is not encoded: use the value that it stands for, such as a `Date`.
 *
 * @example
 * ```ts
 * import { CborCodec, decode, encode, Tagged } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * const codec = new CborCodec();
 * const address = new Tagged(32, "http://www.example.com");
 * assertEquals(decode(codec, encode(codec, address)), address);
 * ```
 */
export class Tagged {
  /** The tag's number; a bigint if it is greater than `Number.MAX_SAFE_INTEGER`. */
  readonly tag: number | bigint;
  /** The tag's content. */
  readonly value: unknown;

  /**
   * Creates a tagged value.
   *
   * @param tag The tag's number, 0 to 2⁶⁴ - 1
   * @param value The tag's content
   * @throws {RangeError} If the number is not an integer in this range
   */
  constructor(tag: number | bigint, value: unknown) {
    const fits = typeof tag === "bigint"
      ? tag >= 0n && tag <= MAX_TAG
      : Number.isSafeInteger(tag) && tag >= 0;
    if (!fits) {
      throw new RangeError(`Cannot create a tagged value: the tag must be 0 to 2^64 - 1, not ${tag}`);
    }
    this.tag = tag;
    this.value = value;
  }
}

/**
 * A simple value without an assigned meaning (RFC 8949 §3.3). It encodes to the same bytes again.
 *
 * @example
 * ```ts
 * import { CborCodec, decode, Simple } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(decode(new CborCodec(), Uint8Array.of(0xf0)), new Simple(16));
 * ```
 */
export class Simple {
  /** The number of the simple value. */
  readonly number: number;

  /**
   * Creates a simple value.
   *
   * @param number 0 to 19 or 32 to 255; the numbers in between have a meaning or are reserved
   * @throws {RangeError} If the number is not an integer in these ranges
   */
  constructor(number: number) {
    if (!Number.isInteger(number) || number < 0 || number > 255 || (number > 19 && number < 32)) {
      throw new RangeError(`Cannot create a simple value: the number must be 0-19 or 32-255, not ${number}`);
    }
    this.number = number;
  }
}
