// Random values there and back, alone and against cbor2, a library that passes all vectors.

import { assertEquals } from "@std/assert";
import { decode as cbor2Decode, encode as cbor2Encode, Simple as Cbor2Simple, Tag } from "npm:cbor2@2.3.0";
import { CborCodec, decode, encode, Simple, Tagged } from "../../codec/mod.ts";
import { Random, randomValue } from "../support/cbor_random.ts";

const codec = new CborCodec();

Deno.test("CBOR: 60 000 random values are decoded as they were encoded", () => {
  const random = new Random(42);
  for (let i = 0; i < 60_000; i++) {
    const value = randomValue(random, 2);
    const bytes = encode(codec, value);
    const back = decode(codec, bytes);
    // Encoding again shows a difference much sooner than a deep comparison, which some get as well.
    assertEquals(encode(codec, back).toHex(), bytes.toHex());
    if (i % 30 === 0) assertEquals(back, value);
  }
});

Deno.test("CBOR: dates keep their millisecond, at both ends of the range", () => {
  const random = new Random(7);
  const times = [8.64e15, -8.64e15, 8.64e15 - 1, -1, 1];
  for (let i = 0; i < 20_000; i++) {
    times.push((random.below(2 ** 32) - 2 ** 31) * random.pick([1, 997, 2_011_657]));
  }
  for (const time of times) {
    assertEquals((decode(codec, encode(codec, new Date(time))) as Date).getTime(), time);
  }
});

Deno.test("CBOR: cbor2 reads this codec's output, and this codec reads cbor2's", () => {
  const random = new Random(43);
  for (let i = 0; i < 4_000; i++) {
    const value = randomValue(random, 2);
    const expected = describe(value);
    const bytes = encode(codec, value);
    assertEquals(describe(cbor2Decode(bytes)), expected, bytes.toHex());
    const foreign = cbor2Encode(toCbor2(value));
    assertEquals(describe(decode(codec, foreign)), expected, foreign.toHex());
  }
});

/** Describes a value in words that do not tell apart what only one of the two libraries does. */
function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Date) return `date ${value.getTime()}`;
  if (value instanceof Simple) return `simple ${value.number}`;
  if (value instanceof Cbor2Simple) return `simple ${value.value}`;
  if (value instanceof Tagged) return `tag ${value.tag} ${describe(value.value)}`;
  if (value instanceof Tag && Number(value.tag) === 259) return describe(value.contents);
  if (value instanceof Tag) return `tag ${value.tag} ${describe(value.contents)}`;
  if (Array.isArray(value)) return `[${value.map(describe)}]`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} ${value}`;
  if (value instanceof Set) return `set [${[...value].map(describe)}]`;
  const entries: [unknown, unknown][] = value instanceof Map ? [...value] : Object.entries(value);
  return `{${entries.map(([key, item]) => `${describe(key)}: ${describe(item)}`).sort()}}`;
}

/** The same value with cbor2's classes for what JavaScript has none for. */
function toCbor2(value: unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (value instanceof Simple) return new Cbor2Simple(value.number);
  if (value instanceof Tagged) return new Tag(value.tag, toCbor2(value.value));
  if (Array.isArray(value)) return value.map(toCbor2);
  if (value instanceof Date || value instanceof Set) return value;
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, toCbor2(item)]));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toCbor2(item)]));
}
