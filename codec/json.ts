// The codec for application/json, for clients without CBOR. Uses JSON.stringify and JSON.parse, rejects what they would change
// silently, and limits the nesting and size of received texts.

import { checkOptions } from "../call/check_options.ts";
import { isPlainObject } from "../call/cross_realm.ts";
import type { ByteBuffer } from "./bytes.ts";
import type { Codec } from "./codec.ts";
import { scanJson } from "./json_scan.ts";
import { limit, MAX_DEPTH, tooManyItems } from "./limit.ts";
import { EncodeError, unknownClass } from "./encode_error.ts";
import { decodeText } from "./text.ts";

const encoder = new TextEncoder();

/** Limits of a {@linkcode JsonCodec}. */
export interface JsonOptions {
  /**
   * Maximum nesting of arrays and objects, 1 to 1000. Also applies to encoding.
   *
   * @default {64}
   */
  maxDepth?: number;
  /**
   * Maximum number of items in a text to decode, from 1: arrays and objects, their elements, names and values. A text with more
   * is encoded, with a warning.
   *
   * @default {100_000}
   */
  maxItems?: number;
}

/**
 * JSON (RFC 8259). Encodes values without loss, or rejects them.
 *
 * Supported are null, booleans, text, finite numbers, arrays, and plain objects with their own enumerable properties of text
 * keys, including those of another realm. As in JSON.stringify, properties with the value `undefined` are omitted. -0 becomes
 * 0.
 *
 * Rejected are `undefined` elsewhere, NaN and the infinities, bigint, functions, symbols, a property named `__proto__`, cycles,
 * and all instances of classes, including `Date`, which would arrive as text.
 *
 * Decoding requires valid UTF-8 without a byte order mark and rejects the name `__proto__`. If a name occurs several times in
 * an object the last one counts, as with `JSON.parse`.
 *
 * @example
 * ```ts
 * import { decode, encode, JsonCodec } from "@troodon/rpc/codec";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const codec = new JsonCodec();
 * assertEquals(decode(codec, encode(codec, { a: [1, null] })), { a: [1, null] });
 * assertThrows(() => encode(codec, { a: [1, NaN] }), TypeError, "at .a[1]");
 * ```
 */
export class JsonCodec implements Codec {
  /** Always `application/json`. */
  readonly name = "application/json";
  readonly #maxDepth: number;
  readonly #maxItems: number;

  /**
   * Creates a codec.
   *
   * @param options Limits of the codec
   * @throws {TypeError} If an option is unknown
   * @throws {RangeError} If an option is not a positive safe integer, or `maxDepth` is greater than 1000
   */
  constructor(options: JsonOptions = {}) {
    checkOptions<JsonOptions>("create codec", options, { maxDepth: true, maxItems: true });
    this.#maxDepth = limit("maxDepth", options.maxDepth ?? 64, MAX_DEPTH);
    this.#maxItems = limit("maxItems", options.maxItems ?? 100_000);
  }

  /**
   * Appends `value` as JSON text.
   *
   * @returns Why a codec with the same limits rejects the text, if it has too many items
   * @throws {TypeError} If the value contains something that JSON cannot represent; the message names its path
   */
  encode(value: unknown, out: ByteBuffer): string | undefined {
    let items: number;
    try {
      items = check(value, this.#maxDepth);
    } catch (error) {
      throw error instanceof EncodeError ? error.explain("JSON") : error;
    }
    const text = JSON.stringify(value);
    out.reserve(text.length);
    const { read, written } = encoder.encodeInto(text, out.bytes.subarray(out.length));
    out.length += written;
    if (read < text.length) out.append(encoder.encode(text.slice(read)));
    return items > this.#maxItems ? tooManyItems(this.#maxItems) : undefined;
  }

  /**
   * Decodes the JSON text in `bytes[start]` up to `bytes[end - 1]`.
   *
   * @throws {SyntaxError} If the bytes are not exactly one JSON text within the limits
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown {
    scanJson(bytes, start, end, this.#maxDepth, this.#maxItems);
    const text = decodeText(bytes, start, end);
    if (text === undefined) throw new SyntaxError("Cannot decode JSON: it is not valid UTF-8");
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new SyntaxError(`Cannot decode JSON: ${(error as SyntaxError).message}`);
    }
  }
}

/** Throws an EncodeError if JSON.stringify would omit or change something in `value`; returns the number of items in it. */
function check(value: unknown, depthLeft: number): number {
  if (value === null || typeof value === "string" || typeof value === "boolean") return 0;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return 0;
    throw new EncodeError(`${value} is not supported`);
  }
  if (value === undefined) throw new EncodeError("undefined is not supported");
  if (typeof value !== "object") throw new EncodeError(`${typeof value}s are not supported`);
  if (depthLeft === 0) throw new EncodeError("too many levels of nesting (maxDepth); is the value cyclic?");
  if (Array.isArray(value)) return checkElements(value, depthLeft - 1);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !isPlainObject(value)) {
    throw unknownClass(value);
  }
  return checkProperties(value, depthLeft - 1);
}

function checkElements(array: readonly unknown[], depthLeft: number): number {
  let i = 0;
  let items = 0;
  try {
    for (; i < array.length; i++) items += check(array[i], depthLeft);
  } catch (error) {
    throw EncodeError.under(i, error);
  }
  return items + Math.max(1, i);
}

function checkProperties(object: object, depthLeft: number): number {
  let key = "";
  let count = 0;
  let items = 0;
  try {
    for (key of Object.keys(object)) {
      if (key === "__proto__") throw new EncodeError("a property of this name is not allowed");
      const value = (object as Record<string, unknown>)[key];
      if (value === undefined) continue;
      items += check(value, depthLeft);
      count++;
    }
  } catch (error) {
    throw EncodeError.under(key, error);
  }
  return items + Math.max(1, 2 * count);
}
