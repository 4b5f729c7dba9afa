// Values as JSON, in the forms that proto3 JSON has: whole numbers beyond 2^53 as text, bytes as base64, dates as RFC 3339.
// Used for every answer over HTTP; what JSON cannot carry is refused, naming where it is.

import { isPlainObject, toThisRealm, typedArrayName } from "../call/cross_realm.ts";
import { EncodeError, unknownClass } from "../codec/encode_error.ts";

/** How many arrays and objects may lie within each other. */
const MAX_DEPTH = 64;

/**
 * Writes a value as JSON text.
 *
 * @throws {TypeError} If the value holds what JSON cannot carry; the message names the path
 */
export function toJson(value: unknown): string {
  return JSON.stringify(jsonValue(value));
}

/**
 * The value as `JSON.stringify` can write it; the same one if there is nothing to convert.
 *
 * @throws {TypeError} If the value holds what JSON cannot carry; the message names the path
 */
export function jsonValue(value: unknown): unknown {
  if (value === undefined) return {};
  try {
    return converted(value, MAX_DEPTH);
  } catch (error) {
    throw error instanceof EncodeError ? error.explain("JSON") : error;
  }
}

function converted(value: unknown, depthLeft: number): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return value;
    throw new EncodeError(`${value} cannot be carried`);
  }
  if (typeof value === "bigint") return String(value);
  if (value === undefined) throw new EncodeError("undefined cannot be carried");
  if (typeof value !== "object") throw new EncodeError(`${typeof value}s cannot be carried`);
  if (depthLeft === 0) throw new EncodeError("values nested this deeply cannot be carried; is it a cycle?");
  if (Array.isArray(value)) return convertedArray(value, depthLeft - 1);
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return convertedObject(value, depthLeft - 1);
  return convertedInstance(value, depthLeft);
}

function convertedArray(array: readonly unknown[], depthLeft: number): readonly unknown[] {
  let copy: unknown[] | undefined;
  let i = 0;
  try {
    for (; i < array.length; i++) {
      const item = array[i];
      const json = converted(item, depthLeft);
      if (json !== item) (copy ??= [...array])[i] = json;
    }
  } catch (error) {
    throw EncodeError.under(i, error);
  }
  return copy ?? array;
}

function convertedObject(object: object, depthLeft: number): object {
  let copy: Record<string, unknown> | undefined;
  let key = "";
  try {
    for (key of Object.keys(object)) {
      if (key === "__proto__") throw new EncodeError("a property of this name cannot be carried");
      const item = (object as Record<string, unknown>)[key];
      if (item === undefined) continue;
      const json = converted(item, depthLeft);
      if (json !== item) (copy ??= { ...object })[key] = json;
    }
  } catch (error) {
    throw EncodeError.under(key, error);
  }
  return copy ?? object;
}

function convertedInstance(value: object, depthLeft: number): unknown {
  if (typedArrayName(value) === "Uint8Array") return (value as Uint8Array).toBase64();
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new EncodeError("an invalid Date cannot be carried");
    return value.toISOString();
  }
  if (isPlainObject(value)) return convertedObject(value, depthLeft - 1);
  const here = toThisRealm(value);
  if (here instanceof Date && !(value instanceof Date)) return convertedInstance(here, depthLeft);
  throw unknownClass(value);
}
