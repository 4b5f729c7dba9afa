// The examples of RFC 8949, appendix A, and further values that every decoder takes, from docs/vectors/cbor.json: what a
// message means here. Not among them is `f818`, which RFC 7049 had as an example and RFC 8949 calls malformed (erratum
// 5917).

import vectors from "../../docs/vectors/cbor.json" with { type: "json" };
import { Simple, Tagged } from "../../codec/tagged.ts";

/** A value in the notation of docs/vectors/README.md. */
type Notation = null | boolean | number | string | Notation[] | { [name: string]: Notation };

/** The value that is written so. */
function valueOf(notation: Notation): unknown {
  if (Array.isArray(notation)) return notation.map(valueOf);
  if (typeof notation !== "object" || notation === null) return notation;
  const { number, bytes, simple, tag, value, map } = notation;
  if (number !== undefined) return /\d{2}/.test(String(number)) ? BigInt(String(number)) : Number(number);
  if (bytes !== undefined) return Uint8Array.fromHex(String(bytes));
  if (simple !== undefined) return simple === 23 ? undefined : new Simple(Number(simple));
  if (tag !== undefined) return taggedOf(Number(tag), valueOf(value!));
  const entries = (map as [Notation, Notation][]).map(([key, value]) =>
    [valueOf(key), valueOf(value)] as const
  );
  return entries.every(([key]) => typeof key === "string") ? Object.fromEntries(entries) : new Map(entries);
}

/** What the tags of appendix A mean. */
function taggedOf(tag: number, value: unknown): unknown {
  if (tag === 0) return new Date(String(value));
  if (tag === 1) return new Date(Number(value) * 1_000);
  if (tag !== 2 && tag !== 3) return new Tagged(tag, value);
  const n = BigInt(`0x${(value as Uint8Array).toHex() || "0"}`);
  return tag === 2 ? n : -1n - n;
}

/** Hex of the message and what it decodes to. */
export const APPENDIX_A: readonly (readonly [string, unknown])[] = vectors.values.slice(0, 81).map((
  { hex, value },
) => [hex, valueOf(value as Notation)]);

/** The one example that is malformed since RFC 8949. */
export const NO_LONGER_WELL_FORMED = "f818";
