// Matches a received frame, or the outcome of a call, with the expected one, and binds the variables of the conversation.

import { decode, type Json, notation, plain } from "./cbor.ts";
import { type Field, type Frame, sizeOf } from "./header.ts";
import { type Pattern, same, type Settlement, substituted, type Variables } from "./script.ts";

/** Returns the variables including those bound by `frame`, or the reason why it does not match. */
export function match(
  frame: Frame,
  pattern: Pattern,
  variables: Variables,
  codec: string,
): Variables | string {
  const bound = new Map(variables);
  const expected = pattern.header;
  const fields = [...frame.header];
  const metadata = fields.at(-1) instanceof Map
    ? fields.pop() as Map<string, string | Uint8Array>
    : new Map();
  const last = expected.at(-1);
  const expectedMetadata = isMetadata(last) ? last : {};
  const plainFields = isMetadata(last) ? expected.slice(0, -1) : expected;
  if (fields.length !== plainFields.length) return "a header with another number of fields";
  for (const [i, expectedField] of plainFields.entries()) {
    if (!fieldMatches(fields[i]!, expectedField, bound)) {
      return `${JSON.stringify(fields[i])} instead of ${JSON.stringify(expectedField)}`;
    }
  }
  for (
    const [name, expectedField] of Object.entries(
      substituted(expectedMetadata, bound) as Record<string, Json>,
    )
  ) {
    if (expectedField !== null && !same(metadataToJson(metadata.get(name)), expectedField)) {
      return `missing metadata "${name}": ${JSON.stringify(expectedField)}`;
    }
  }
  if (metadata.has("not-started") && !Object.hasOwn(expectedMetadata, "not-started")) {
    return "unexpected metadata not-started";
  }
  return bodyMismatch(frame, pattern, bound, codec) ?? bound;
}

function isMetadata(field: Json | undefined): field is Record<string, Json> {
  return typeof field === "object" && field !== null && !Array.isArray(field) && !("from" in field) &&
    !("maxBytes" in field) && !("without" in field);
}

function metadataToJson(value: string | Uint8Array | undefined): Json | undefined {
  return value instanceof Uint8Array ? { bytes: value.toHex() } : value;
}

function fieldMatches(field: Field, expectedField: Json, bound: Map<string, Json>): boolean {
  if (expectedField === null) return true;
  if (typeof expectedField === "string" && expectedField.startsWith("$") && !bound.has(expectedField)) {
    bound.set(expectedField, field as Json);
    return true;
  }
  const exact = substituted(expectedField, bound);
  if (typeof exact !== "object" || exact === null || Array.isArray(exact)) return field === exact;
  if (typeof exact.without === "string") return typeof field === "string" && !field.includes(exact.without);
  if (typeof field === "string") return sizeOf(field) <= Number(exact.maxBytes);
  return typeof field === "number" && field >= Number(exact.from) && field <= Number(exact.to);
}

/**
 * Compares the body, and returns the mismatch. Details of an Error are compared only if the pattern gives
 * them.
 */
function bodyMismatch(
  { header, body }: Frame,
  pattern: Pattern,
  bound: Variables,
  codec: string,
): string | undefined {
  const { value, notation: expected, anyBody } = pattern;
  if (anyBody) return undefined;
  if (value === undefined && expected === undefined) {
    return body.length > 0 && header[0] !== 3 ? "an unexpected body" : undefined;
  }
  if (body.length === 0) return "no body";
  try {
    if (expected !== undefined) {
      const got = notation(decode(body));
      return same(got, expected)
        ? undefined
        : `${JSON.stringify(got)} instead of ${JSON.stringify(expected)}`;
    }
    const got = codec === "application/json" ? parsed(body) : plain(decode(body));
    const expectedValue = substituted(value!, bound);
    if (typeof expectedValue === "string" && expectedValue.startsWith("$")) {
      (bound as Map<string, Json>).set(expectedValue, got);
      return undefined;
    }
    return same(got, expectedValue)
      ? undefined
      : `the value ${JSON.stringify(got)} instead of ${JSON.stringify(expectedValue)}`;
  } catch (error) {
    return `an invalid body: ${(error as Error).message}`;
  }
}

function parsed(body: Uint8Array): Json {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
}

/** Compares the outcome of a call, and returns the mismatch; undefined if it is as expected. */
export function settlementMismatch(
  got: Settlement,
  { result, items, error }: Settlement,
): string | undefined {
  if (items !== undefined && !same(got.items as Json, items as Json)) {
    return `the items ${JSON.stringify(items)}`;
  }
  if (error === undefined) {
    if (got.error !== undefined) return "no error";
    return result === undefined || same(got.result, result)
      ? undefined
      : `the result ${JSON.stringify(result)}`;
  }
  const { code = [], message, details, notStarted } = error;
  const codes = [code].flat();
  if (got.error === undefined || codes.length > 0 && !codes.includes(String(got.error.code))) {
    return `an error ${codes.join(" or ")}`;
  }
  if (message !== undefined && got.error.message !== message) return `the message "${message}"`;
  if (details !== undefined && !same(got.error.details, details)) {
    return `the details ${JSON.stringify(details)}`;
  }
  if (notStarted !== undefined && got.error.notStarted !== notStarted) return `notStarted ${notStarted}`;
  return undefined;
}
