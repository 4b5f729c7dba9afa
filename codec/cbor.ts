// The codec for application/cbor, the default of connections: combines encoder and decoder and checks their options.

import { checkOptions, type Names } from "../call/check_options.ts";
import type { ByteBuffer } from "./bytes.ts";
import { CborDecoder } from "./cbor_decode.ts";
import { CborEncoder } from "./cbor_encode.ts";
import type { Codec } from "./codec.ts";
import { limit, MAX_DEPTH, tooManyItems } from "./limit.ts";
import { EncodeError } from "./encode_error.ts";

/**
 * Limits of a {@linkcode CborCodec}. They apply to decoding and to encoding, since a receiver probably has the same ones; but
 * a message of too many items is encoded, with a warning.
 */
export interface CborOptions {
  /**
   * Maximum nesting of arrays, maps and unknown tags, 1 to 1000.
   *
   * @default {64}
   */
  maxDepth?: number;
  /**
   * Maximum number of items in a message, from 1. Each is about 300 bytes of memory, in addition to its text or bytes, or 0.5
   * µs of work, of which most values take less: a number counts as 1/64, a text, an array or a map as 1/4, and a key
   * as 3/64 if two earlier maps, of up to 256 keys, began with the same ones. Any other key counts as two, as do a byte string and an
   * element of a `Set` or a `Map`; a tag and 16 bytes of a bignum, or of a key that is an object, count as one. The default
   * accepts all rows and numbers that fit into a frame of 4 MiB, if a row takes at least 30 bytes.
   *
   * @default {100_000}
   */
  maxItems?: number;
  /**
   * Maximum length of an integer beyond 64 bits, in bytes, from 1.
   *
   * @default {1024}
   */
  maxBignumBytes?: number;
  /**
   * Maximum length of a map key, in bytes, from 1.
   *
   * @default {1024}
   */
  maxKeyBytes?: number;
  /**
   * Maximum number of numeric keys of a `Map` and numeric elements of a `Set` in a message, from 1. A bigint counts as two,
   * a bigint beyond 64 bits as eight; texts do not count. JavaScript's hashes of numbers are predictable: a peer that sends
   * thousands of colliding numbers could keep the process busy for seconds. The same holds for texts that are integers:
   * messages with thousands of colliding ones are rejected regardless of this limit.
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
 * CBOR (RFC 8949), with limits that make it safe to decode messages of untrusted peers.
 *
 * These values are encoded and decoded without loss:
 *
 * | value | encoding |
 * |---|---|
 * | safe integers; other numbers and -0 | integer; float64 |
 * | bigint of up to 64 bits beyond the safe integers; any other | integer; tag 2 or 3 (RFC 8949 §3.4.3) |
 * | text, boolean, null, undefined | the same |
 * | arrays; plain objects with their own enumerable properties of text keys | array; map |
 * | `Uint8Array`; other typed arrays | byte string; RFC 8746 |
 * | `ArrayBuffer` | byte string, which arrives as a `Uint8Array` |
 * | `Date` | tag 1 (RFC 8949 §3.4.2) |
 * | `Map`, `Set` | tags 259 and 258 |
 * | {@linkcode Tagged}, {@linkcode Simple} | the tag or simple value that they represent |
 *
 * Values of another realm, such as a `node:vm` context, are encoded like those of this one.
 *
 * Properties with the value `undefined` are encoded; `toJSON` is never called. Encoding rejects functions, symbols, invalid
 * dates, text with a lone surrogate, a property named `__proto__`, instances of other classes, cycles, a `Map` with keys that
 * are equal once they are encoded, a `Tagged` whose tag is that of another value in the table, and what exceeds the limits.
 *
 * The decoder also accepts the output of other encoders: floats of all widths, strings, arrays and maps of indefinite length,
 * dates as text (tag 0), and maps with keys other than text, which become a `Map`. It rejects malformed input, duplicate
 * keys, the key `__proto__`, invalid UTF-8, and bytes after the value. Decoded values share no memory with the message.
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
  readonly #maxItems: number;

  /**
   * Creates a codec.
   *
   * @param options Limits of the codec
   * @throws {TypeError} If an option is unknown
   * @throws {RangeError} If an option is not a positive safe integer, or `maxDepth` is greater than 1000
   */
  constructor(options: CborOptions = {}) {
    checkOptions("create codec", options, NAMES);
    const limits = {
      maxDepth: limit("maxDepth", options.maxDepth ?? 64, MAX_DEPTH),
      maxItems: limit("maxItems", options.maxItems ?? 100_000),
      maxBignumBytes: limit("maxBignumBytes", options.maxBignumBytes ?? 1024),
      maxKeyBytes: limit("maxKeyBytes", options.maxKeyBytes ?? 1024),
      maxNumericKeys: limit("maxNumericKeys", options.maxNumericKeys ?? 4096),
    };
    this.#maxItems = limits.maxItems;
    this.#encoder = new CborEncoder(limits);
    this.#decoder = new CborDecoder(limits);
  }

  /**
   * Appends the encoding of `value` to `out`.
   *
   * @returns Why a codec with the same limits rejects the encoding, if it has too many items
   * @throws {TypeError} If the value contains something that cannot be encoded; the message names its path
   */
  encode(value: unknown, out: ByteBuffer): string | undefined {
    const start = out.length;
    let fits: boolean | undefined;
    try {
      fits = this.#encoder.encode(value, out);
    } catch (error) {
      this.#encoder.reset();
      throw error instanceof EncodeError ? error.explain("CBOR") : error;
    }
    if (fits === true) return undefined;
    return fits === undefined ? this.#decodingFails(out, start) : tooManyItems(this.#maxItems);
  }

  /** Why the message after `start` is rejected; takes about as long as encoding it. */
  #decodingFails(out: ByteBuffer, start: number): string | undefined {
    try {
      this.#decoder.decode(out.bytes, start, out.length);
      return undefined;
    } catch {
      return tooManyItems(this.#maxItems);
    }
  }

  /**
   * Decodes the single value in `bytes[start]` up to `bytes[end - 1]`.
   *
   * @throws {CborError} If the bytes are not exactly one value within the limits
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown {
    return this.#decoder.decode(bytes, start, end);
  }
}
