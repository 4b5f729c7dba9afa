// The codec of application/json, for clients that have no CBOR. JSON.stringify and JSON.parse do the work; what
// they would change silently is refused, and what a peer may nest and repeat is bounded.

import { checkOptions } from "../call/check_options.ts";
import { isPlainObject } from "../call/realm.ts";
import type { ByteBuffer } from "./bytes.ts";
import type { Codec } from "./codec.ts";
import { scanJson } from "./json_scan.ts";
import { DEEPEST, limit } from "./limit.ts";
import { decodeText } from "./text.ts";
import { Refusal, unknownClass } from "./refusal.ts";

const encoder = new TextEncoder();

/** Limits of a {@linkcode JsonCodec}. */
export interface JsonOptions {
  /**
   * How many arrays and objects may lie within each other, 1 to 1000; encoding has the same limit.
   *
   * @default {64}
   */
  maxDepth?: number;
  /**
   * How many items a text to decode may hold: arrays and objects, their elements, names and values.
   *
   * @default {100_000}
   */
  maxItems?: number;
}

/**
 * JSON (RFC 8259) that carries a value as it is or refuses it.
 *
 * Carried are null, booleans, text, finite numbers, arrays, and plain objects with their own enumerable properties
 * of text keys, those of another realm included, of which those that are `undefined` are left out, as JSON does. -0 arrives as 0.
 *
 * Refused are `undefined` elsewhere, NaN and the infinities, bigint, functions, symbols, a property named
 * `__proto__`, cycles, and all instances of classes: a `Date` too, since it would arrive as text.
 *
 * Decoding takes strict UTF-8 without a byte order mark and refuses the name `__proto__`. Of members with the same
 * name the last one counts, as with `JSON.parse`.
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
   * Makes a codec with these limits.
   *
   * @param options Limits
   * @throws {TypeError} If an option is unknown
   * @throws {RangeError} If an option is not a positive safe integer, or `maxDepth` is over 1000
   */
  constructor(options: JsonOptions = {}) {
    checkOptions<JsonOptions>("create codec", options, { maxDepth: true, maxItems: true });
    this.#maxDepth = limit("maxDepth", options.maxDepth ?? 64, DEEPEST);
    this.#maxItems = limit("maxItems", options.maxItems ?? 100_000);
  }

  /**
   * Appends `value` as JSON text.
   *
   * @throws {TypeError} If the value holds what JSON cannot carry; the message names where
   */
  encode(value: unknown, out: ByteBuffer): void {
    try {
      check(value, this.#maxDepth);
    } catch (error) {
      throw error instanceof Refusal ? error.explain("JSON") : error;
    }
    const text = JSON.stringify(value);
    out.reserve(text.length);
    const { read, written } = encoder.encodeInto(text, out.bytes.subarray(out.length));
    out.length += written;
    if (read < text.length) out.append(encoder.encode(text.slice(read)));
  }

  /**
   * Decodes the JSON text in `bytes[start]` up to `bytes[end - 1]`.
   *
   * @throws {SyntaxError} If that is not one JSON text within the limits
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown {
    scanJson(bytes, start, end, this.#maxDepth, this.#maxItems);
    const text = decodeText(bytes, start, end);
    if (text === undefined) throw new SyntaxError("Cannot decode JSON: it is not UTF-8");
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new SyntaxError(`Cannot decode JSON: ${(error as Error).message}`);
    }
  }
}

/** Throws a refusal if JSON.stringify would leave out or change something in `value`. */
function check(value: unknown, depthLeft: number): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return;
    throw new Refusal(`${value} cannot be carried`);
  }
  if (value === undefined) throw new Refusal("undefined cannot be carried");
  if (typeof value !== "object") throw new Refusal(`${typeof value}s cannot be carried`);
  if (depthLeft === 0) throw new Refusal("values nested this deeply cannot be carried; is it a cycle?");
  if (Array.isArray(value)) return checkElements(value, depthLeft - 1);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !isPlainObject(value)) {
    throw unknownClass(value);
  }
  checkProperties(value, depthLeft - 1);
}

function checkElements(array: readonly unknown[], depthLeft: number): void {
  let i = 0;
  try {
    for (; i < array.length; i++) check(array[i], depthLeft);
  } catch (error) {
    throw Refusal.under(i, error);
  }
}

function checkProperties(object: object, depthLeft: number): void {
  let key = "";
  try {
    for (key of Object.keys(object)) {
      if (key === "__proto__") throw new Refusal("a property of this name cannot be carried");
      const value = (object as Record<string, unknown>)[key];
      if (value !== undefined) check(value, depthLeft);
    }
  } catch (error) {
    throw Refusal.under(key, error);
  }
}
