// Prints values as JSON text. Values that JSON does not have are written as an object with one name that
// begins with `$`; docs/CLI.md has the table. parse_value.ts reads the output back into an equal value.

import { Simple, Tagged } from "../codec/tagged.ts";
import { escaped } from "./format.ts";

/** Typed arrays written as lists of elements, by name. Uint8Array has its own form, `$bytes`. */
export const TYPED_ARRAYS: ReadonlyMap<string, TypedArrayClass> = new Map<string, TypedArrayClass>([
  ["$Int8Array", Int8Array],
  ["$Int16Array", Int16Array],
  ["$Int32Array", Int32Array],
  ["$BigInt64Array", BigInt64Array],
  ["$Uint8ClampedArray", Uint8ClampedArray],
  ["$Uint16Array", Uint16Array],
  ["$Uint32Array", Uint32Array],
  ["$BigUint64Array", BigUint64Array],
  ["$Float16Array", Float16Array],
  ["$Float32Array", Float32Array],
  ["$Float64Array", Float64Array],
]);

/** The part of a typed array's constructor used here. */
interface TypedArrayClass {
  new (length: number): ArrayLike<number | bigint> & { set(elements: never): void };
}

/**
 * Prints a value as JSON text.
 *
 * @param indent Whether to use several lines rather than one
 */
export function printValue(value: unknown, indent = false): string {
  const text = JSON.stringify(toJson(value), null, indent ? 2 : 0);
  // JSON escapes the control characters inside strings, so the remaining newlines separate lines.
  return escaped(text, (character) => character === "\n" ? character : jsonEscape(character));
}

/** Escapes a character as in JSON: a surrogate pair outside the basic plane. */
function jsonEscape(character: string): string {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** Whether an object of JSON has the form of an extension. */
export function isSpecial(object: object): boolean {
  const keys = Object.keys(object);
  return keys.length === 1 && keys[0]!.startsWith("$");
}

/** Converts a value to the input of JSON.stringify. */
function toJson(value: unknown): unknown {
  switch (typeof value) {
    case "undefined":
      return null;
    case "bigint":
      return { $bigint: String(value) };
    case "number":
      return isPlainNumber(value) ? plainNumber(value) : { $number: numberText(value) };
    case "object":
      return value === null ? null : objectToJson(value);
    default:
      return value;
  }
}

function objectToJson(value: object): unknown {
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Uint8Array) return { $bytes: value.toBase64() };
  if (value instanceof Date) return { $date: value.toISOString() };
  if (value instanceof Map) return { $map: [...value].map((entry) => entry.map(toJson)) };
  if (value instanceof Set) return { $set: [...value].map(toJson) };
  if (value instanceof Tagged) return { $tag: [toJson(value.tag), toJson(value.value)] };
  if (value instanceof Simple) return { $simple: value.number };
  for (const [name, array] of TYPED_ARRAYS) {
    if (value instanceof array) return { [name]: Array.from(value, elementToJson) };
  }
  // JSON.stringify also omits undefined properties.
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  const object = Object.fromEntries(entries.map(([key, each]) => [key, toJson(each)]));
  return isSpecial(object) ? { $object: object } : object;
}

function elementToJson(element: number | bigint): unknown {
  if (typeof element === "bigint") return String(element);
  return isPlainNumber(element) ? plainNumber(element) : numberText(element);
}

/** Adds an exponent to a large number, since parse_value.ts reads digits alone as a bigint. */
function plainNumber(value: number): unknown {
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value.toExponential());
}

function isPlainNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0);
}

function numberText(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}
