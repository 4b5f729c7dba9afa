// Parses JSON text, with the extensions that print_value.ts writes, into values without rounding them. Error
// messages show the position.

import { Simple, Tagged } from "../codec/tagged.ts";
import { explainJson } from "./explain_json.ts";
import { isSpecial, printValue, TYPED_ARRAYS } from "./print_value.ts";
import { UsageError } from "./usage_error.ts";

/** Maximum nesting; no codec supports deeper values. */
const MAX_DEPTH = 1_000;
const TOO_DEEP = `values may be nested at most ${MAX_DEPTH} deep`;

/** What a text needs to contain to have a number of 2^53 or more: 16 digits, or an exponent. */
const LARGE_NUMBER = /[0-9]{16}|[0-9][eE]\+?[0-9]/;

/**
 * Parses a value. Whole numbers beyond 2^53 become bigints, which arrive as they were written.
 *
 * @param what What the text is, for the message
 * @throws {UsageError} If it is not JSON, contains an object with an unknown `$` name, or a number that would be
 * rounded
 */
export function parseValue(text: string, what: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    // The most frequent mistake: the shell has removed the quotes.
    const hint = /^\p{L}[\p{L}\p{N} .,!?-]*$/u.test(text)
      ? `\nA JSON string needs its own quotes inside the shell's: '"${text}"'`
      : "";
    throw new UsageError(`${what} is not valid JSON: ${explainJson(text, error as Error)}${hint}`);
  }
  try {
    return fromJson(LARGE_NUMBER.test(text) ? parseExactly(text) : json, 0);
  } catch (error) {
    throw new UsageError(`${what} is invalid: ${(error as Error).message}`);
  }
}

/** Parses valid JSON with large whole numbers as bigints. */
function parseExactly(text: string): unknown {
  try {
    return JSON.parse(text, exact as (key: string, value: unknown) => unknown);
  } catch (error) {
    // JSON.parse with a reviver recurses, unlike without.
    throw error instanceof RangeError ? new Error(TOO_DEEP) : error;
  }
}

/** Reviver of JSON.parse that returns a large whole number as a bigint, and rejects a number it would round. */
function exact(_: string, value: unknown, { source = "" }: { source?: string }): unknown {
  if (typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  if (/^-?[0-9]+$/.test(source)) return BigInt(source);
  if (significant(source) === significant(String(value))) return value;
  throw new Error(`the number ${source} would become ${value}`);
}

/** The digits of a decimal number between its first and its last that are not 0. */
function significant(number: string): string {
  return number.replace(/[eE].*/, "").replace(/[-.]/g, "").replace(/^0+|0+$/g, "");
}

function fromJson(json: unknown, depth: number): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (depth > MAX_DEPTH) throw new Error(TOO_DEEP);
  const inner = (each: unknown) => fromJson(each, depth + 1);
  if (Array.isArray(json)) return json.map(inner);
  if (!isSpecial(json)) return objectFrom(json, inner);
  const [[name, content]] = Object.entries(json) as [[string, unknown]];
  const read = READERS.get(name);
  if (read === undefined) {
    const known = [...READERS.keys()].join(", ");
    throw new Error(
      `unknown form ${name}; for a plain object write {"$object": {"${name}": …}}; known forms: ${known}`,
    );
  }
  return read(content, inner, name);
}

type Inner = (json: unknown) => unknown;

/** Decoders of the `$` forms. */
const READERS: ReadonlyMap<string, (content: unknown, inner: Inner, name: string) => unknown> = new Map([
  ["$bytes", (content) => decoded("$bytes", content, "base64", (text) => Uint8Array.fromBase64(text))],
  ["$hex", (content) => decoded("$hex", content, "hex digits", (text) => Uint8Array.fromHex(text))],
  ["$date", dateFrom],
  ["$bigint", (content) => decoded("$bigint", content, "digits", (text) => bigintFrom(text))],
  ["$number", (content) => numberFrom("$number", content)],
  ["$map", (content, inner) => {
    const entries = listFrom("$map", content).map((entry) => {
      const [key, value, ...more] = listFrom("an entry of $map", entry);
      if (value === undefined || more.length > 0) throw new Error("$map: expected pairs, [[key, value], …]");
      return [inner(key), inner(value)] as const;
    });
    return new Map(entries);
  }],
  ["$set", (content, inner) => new Set(listFrom("$set", content).map(inner))],
  ["$tag", (content, inner) => {
    const [tag, value, ...more] = listFrom("$tag", content);
    if (value === undefined || more.length > 0) throw new Error("$tag: expected a pair, [number, value]");
    return new Tagged(inner(tag) as number, inner(value));
  }],
  ["$simple", (content) => new Simple(content as number)],
  ["$object", (content, inner) => {
    if (typeof content === "object" && content !== null && !Array.isArray(content)) {
      return objectFrom(content, inner);
    }
    throw new Error("$object: expected an object");
  }],
  ...[...TYPED_ARRAYS.keys()].map((name) => [name, typedArrayFrom] as const),
]);

/** Copies all names as own properties, even `__proto__`: the codec decides whether to reject it. */
function objectFrom(json: object, inner: Inner): object {
  return Object.fromEntries(Object.entries(json).map(([key, each]) => [key, inner(each)]));
}

function decoded<T>(name: string, content: unknown, expected: string, decode: (text: string) => T): T {
  try {
    if (typeof content === "string") return decode(content);
  } catch {
    // Same error as for a value that is not a string.
  }
  throw new Error(`${name}: expected a string of ${expected}, got ${printValue(content).slice(0, 60)}`);
}

function dateFrom(content: unknown): Date {
  const date = new Date(typeof content === "string" || typeof content === "number" ? content : NaN);
  if (!Number.isNaN(date.getTime())) return date;
  throw new Error(`$date: expected a time such as "2026-01-31T12:00:00Z", got ${printValue(content)}`);
}

function bigintFrom(text: string): bigint {
  if (!/^-?[0-9]+$/.test(text)) throw new Error("expected digits only");
  return BigInt(text);
}

function numberFrom(name: string, content: unknown): number {
  const text = String(content);
  if (typeof content === "number" || /^(?:NaN|-?Infinity|-0)$/.test(text)) return Number(content);
  const large = typeof content === "bigint" ? `; write ${content} with an exponent, such as 1e20` : "";
  throw new Error(`${name}: expected a number, "NaN", "Infinity", "-Infinity" or "-0"${large}`);
}

function listFrom(name: string, content: unknown): unknown[] {
  if (Array.isArray(content)) return content;
  throw new Error(`${name}: expected a list`);
}

function typedArrayFrom(content: unknown, _: Inner, name: string): unknown {
  const read: (each: unknown) => number | bigint = name.startsWith("$Big")
    ? (each: unknown) => typeof each === "bigint" ? each : decoded(name, each, "digits", bigintFrom)
    : (each: unknown) => numberFrom(name, each);
  const elements = listFrom(name, content).map(read);
  const array = new (TYPED_ARRAYS.get(name)!)(elements.length);
  array.set(elements as never);
  for (const [i, element] of elements.entries()) {
    const stored = array[i]!;
    if (!holds(name, stored, element)) {
      throw new Error(`element ${i} of ${name} would become ${stored} instead of ${element}`);
    }
  }
  return array;
}

/** Whether the array holds the given element. Floats may be rounded, but not to infinity. */
function holds(name: string, stored: number | bigint, element: number | bigint): boolean {
  if (!name.startsWith("$Float")) return stored === element;
  return Number.isFinite(stored) === Number.isFinite(element);
}
