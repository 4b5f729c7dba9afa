// The codec of application/cbor, the one that connections use unless told otherwise: joins encoder and decoder
// and checks their options.

import { checkOptions, type Names } from "../call/check_options.ts";
import type { ByteBuffer } from "./bytes.ts";
import { CborDecoder } from "./cbor_decode.ts";
import { CborEncoder } from "./cbor_encode.ts";
import type { Codec } from "./codec.ts";
import { DEEPEST, limit } from "./limit.ts";
import { Refusal } from "./refusal.ts";

/** Limits of a {@linkcode CborCodec}. All but the depth are for decoding only. */
export interface CborOptions {
  /**
   * How many arrays, maps and unknown tags may lie within each other, 1 to 1000; encoding has the same limit.
   *
   * @default {64}
   */
  maxDepth?: number;
  /**
   * How many items a message may hold: elements, keys, values, contents of tags and chunks of strings. A byte string
   * and an element of a `Set` count as two; 16 bytes of a bignum, or of a key that is an object, as one more. An item
   * takes at most about 300 bytes of memory, besides its text or bytes.
   *
   * @default {100_000}
   */
  maxItems?: number;
  /**
   * How many bytes an integer beyond 64 bits may have.
   *
   * @default {1024}
   */
  maxBignumBytes?: number;
  /**
   * How many bytes a key of a map may have.
   *
   * @default {1024}
   */
  maxKeyBytes?: number;
  /**
   * How many keys of a `Map` and elements of a `Set` may be numbers, in one message. A bigint counts as two, one
   * beyond 64 bits as eight; texts do not count. JavaScript hashes numbers in a way that anyone can foresee: a peer that
   * sends thousands which collide would keep the process busy for seconds. The same holds for texts that are whole
   * numbers: whatever this limit is, they are refused when thousands of them collide.
   *
   * @default {4096}
   */
  maxNumericKeys?: number;
}

const NAMES: Names<CborOptions> = {
  maxDepth: true,
  maxItems: true,
  maxBignumBytes: true,
  maxKeyBytes: true,
  maxNumericKeys: true,
};

/**
 * CBOR (RFC 8949) for values from and to anyone.
 *
 * What is carried, and arrives as what it was:
 *
 * | value | as |
 * |---|---|
 * | safe integers; other numbers and -0 | integer; float64 |
 * | bigint of up to 64 bits beyond the safe integers; any other | integer; tag 2 or 3 (RFC 8949 §3.4.3) |
 * | text, boolean, null, undefined | the same |
 * | arrays; plain objects with their own enumerable properties of text keys | array; map |
 * | `Uint8Array`; other typed arrays | byte string; RFC 8746 |
 * | `ArrayBuffer` | byte string, which arrives as a `Uint8Array` |
 * | `Date` | tag 1 (RFC 8949 §3.4.2) |
 * | `Map`, `Set` | tags 259 and 258 |
 * | {@linkcode Tagged}, {@linkcode Simple} | what they stand for |
 *
 * Values of another realm, such as a `node:vm` context, are carried as those of this one.
 *
 * A property that is `undefined` is kept; `toJSON` is never called. Functions, symbols, invalid dates, text with a
 * lone surrogate, a property named `__proto__`, instances of other classes and cycles are refused.
 *
 * What foreign encoders write is taken as well: floats of all widths, strings, arrays and maps of indefinite
 * length, dates as text (tag 0), and maps with other keys than text, which become a `Map`. Refused is what is not
 * well-formed, and duplicate keys, the key `__proto__`, invalid UTF-8 and bytes behind the value. Nothing that is
 * decoded shares memory with the message.
 *
 * @example
 * ```ts
 * import { CborCodec, decode, encode } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * const codec = new CborCodec();
 * const order = { id: 7n, at: new Date(0), lines: new Map([["egg", 2]]), photo: Uint8Array.of(1, 2) };
 * assertEquals(decode(codec, encode(codec, order)), order);
 * ```
 */
export class CborCodec implements Codec {
  /** Always `application/cbor`. */
  readonly name = "application/cbor";
  readonly #encoder: CborEncoder;
  readonly #decoder: CborDecoder;

  /**
   * Makes a codec with these limits.
   *
   * @param options Limits
   * @throws {TypeError} If an option is unknown
   * @throws {RangeError} If an option is not a positive safe integer, or `maxDepth` is over 1000
   */
  constructor(options: CborOptions = {}) {
    checkOptions("create codec", options, NAMES);
    const limits = {
      maxDepth: limit("maxDepth", options.maxDepth ?? 64, DEEPEST),
      maxItems: limit("maxItems", options.maxItems ?? 100_000),
      maxBignumBytes: limit("maxBignumBytes", options.maxBignumBytes ?? 1024),
      maxKeyBytes: limit("maxKeyBytes", options.maxKeyBytes ?? 1024),
      maxNumericKeys: limit("maxNumericKeys", options.maxNumericKeys ?? 4096),
    };
    this.#encoder = new CborEncoder(limits.maxDepth);
    this.#decoder = new CborDecoder(limits);
  }

  /**
   * Appends the encoding of `value` to `out`.
   *
   * @throws {TypeError} If the value holds what cannot be carried; the message names where
   */
  encode(value: unknown, out: ByteBuffer): void {
    try {
      this.#encoder.encode(value, out);
    } catch (error) {
      throw error instanceof Refusal ? error.explain("CBOR") : error;
    }
  }

  /**
   * Decodes the one value in `bytes[start]` up to `bytes[end - 1]`.
   *
   * @throws {CborError} If that is not one value within the limits
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown {
    return this.#decoder.decode(bytes, start, end);
  }
}
