// Whether a frame, or the outcome of a call, is what a conversation expects, and what its variables then stand for.

import { decode, type Json, notation, plain } from "./cbor.ts";
import { type Field, type Frame, sizeOf } from "./header.ts";
import { filled, type Pattern, same, type Settlement, type Variables } from "./script.ts";

/** Variables with those that `frame` has settled, or why it is not what was expected. */
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
  const wanted = isMetadata(last) ? last : {};
  const plainFields = isMetadata(last) ? expected.slice(0, -1) : expected;
  if (fields.length !== plainFields.length) return "another header";
  for (const [i, want] of plainFields.entries()) {
    if (!fits(fields[i]!, want, bound)) {
      return `${JSON.stringify(fields[i])} in place of ${JSON.stringify(want)}`;
    }
  }
  for (const [name, want] of Object.entries(filled(wanted, bound) as Record<string, Json>)) {
    if (want !== null && !same(shown(metadata.get(name)), want)) {
      return `without metadata "${name}": ${JSON.stringify(want)}`;
    }
  }
  if (metadata.has("not-started") && !Object.hasOwn(wanted, "not-started")) {
    return "with metadata not-started";
  }
  return wrongBody(frame, pattern, bound, codec) ?? bound;
}

function isMetadata(field: Json | undefined): field is Record<string, Json> {
  return typeof field === "object" && field !== null && !Array.isArray(field) && !("from" in field) &&
    !("maxBytes" in field) && !("without" in field);
}

function shown(value: string | Uint8Array | undefined): Json | undefined {
  return value instanceof Uint8Array ? { bytes: value.toHex() } : value;
}

function fits(field: Field, want: Json, bound: Map<string, Json>): boolean {
  if (want === null) return true;
  if (typeof want === "string" && want.startsWith("$") && !bound.has(want)) {
    bound.set(want, field as Json);
    return true;
  }
  const exact = filled(want, bound);
  if (typeof exact !== "object" || exact === null || Array.isArray(exact)) return field === exact;
  if (typeof exact.without === "string") return typeof field === "string" && !field.includes(exact.without);
  if (typeof field === "string") return sizeOf(field) <= Number(exact.maxBytes);
  return typeof field === "number" && field >= Number(exact.from) && field <= Number(exact.to);
}

/** What is wrong with a frame's body. Details of an Error are looked at only where something is said of them. */
function wrongBody(
  { header, body }: Frame,
  pattern: Pattern,
  bound: Variables,
  codec: string,
): string | undefined {
  const { value, notation: wanted, anyBody } = pattern;
  if (anyBody) return undefined;
  if (value === undefined && wanted === undefined) {
    return body.length > 0 && header[0] !== 3 ? "a body where none belongs" : undefined;
  }
  if (body.length === 0) return "no body";
  try {
    if (wanted !== undefined) {
      const got = notation(decode(body));
      return same(got, wanted) ? undefined : `${JSON.stringify(got)} in place of ${JSON.stringify(wanted)}`;
    }
    const got = codec === "application/json" ? parsed(body) : plain(decode(body));
    const want = filled(value!, bound);
    if (typeof want === "string" && want.startsWith("$")) {
      (bound as Map<string, Json>).set(want, got);
      return undefined;
    }
    return same(got, want)
      ? undefined
      : `the value ${JSON.stringify(got)} in place of ${JSON.stringify(want)}`;
  } catch (error) {
    return `a body that is no value: ${(error as Error).message}`;
  }
}

function parsed(body: Uint8Array): Json {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
}

/** What a settlement lacks of the one that is wanted; undefined if it is as wanted. */
export function wrongSettlement(got: Settlement, { result, items, error }: Settlement): string | undefined {
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
