// JSON messages of maximum size that cause as much decoding work as we could find.

import { ITEMS, SIZE } from "./worst_cbor.ts";

const encoder = new TextEncoder();

/** A message with this text. */
function json(content: string): () => Uint8Array {
  return () => encoder.encode(content);
}

function list(count: number, item: (i: number) => string): () => Uint8Array {
  return () => encoder.encode(`[${Array.from({ length: count }, (_, i) => item(i)).join(",")}]`);
}

function object(count: number, key: (i: number) => string): () => Uint8Array {
  return () => encoder.encode(`{${Array.from({ length: count }, (_, i) => `"${key(i)}":1`).join(",")}}`);
}

/** Objects of `count` names each, all different between the objects. */
function objects(count: number): () => Uint8Array {
  const names = (i: number) => Array.from({ length: count }, (_, k) => `"k${i}.${k}":1`).join(",");
  return list(ITEMS / (1 + 3 * count), (i) => `{${names(i)}}`);
}

/** The text with every character escaped. */
function escaped(text: string): string {
  return text.replace(/./g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

/** The shapes, by description. */
export const JSON_SHAPES: Record<string, () => Uint8Array> = {
  "endlessly nested arrays": json("[".repeat(SIZE)),
  "spaces": json(`${" ".repeat(SIZE - 1)}1`),
  "integers": list(ITEMS - 2, (i) => String(i * 40_000)),
  "numbers of 38 digits": list(ITEMS - 2, () => `0.${"123456789".repeat(4)}`),
  "one number": json("1".repeat(SIZE)),
  "numbers of 400 digits": list(10_000, () => "1".repeat(400)),
  "numbers between two doubles": list(ITEMS - 2, () => `9007199254740993.${"0".repeat(18)}`),
  "the smallest numbers": list(ITEMS - 2, () => "2.22507385850720113605740979670913e-308"),
  "the largest numbers": list(ITEMS - 2, () => "1.79769313486231580793728971405301e308"),
  "empty objects": list(ITEMS / 2 - 1, () => "{}"),
  "texts": list(ITEMS - 2, (i) => `"a text of thirty bytes ${i}"`),
  "short texts": list(ITEMS - 2, (i) => `"k${i}"`),
  "short texts that are not ASCII": list(ITEMS - 2, (i) => `"é${i}"`),
  "the maximum of numeric texts": list(65_000, (i) => `"${i}"`),
  "the maximum of numeric texts, spread out": list(
    65_000,
    (i) => `"${i * 65_537 % 4_294_967_295}"`,
  ),
  "colliding runs of numeric texts": list(
    60_000,
    (i) => `"${i % 2_000 + Math.floor(i / 2_000) * 131_072}"`,
  ),
  "a run of numeric texts for each bucket": list(60_000, (i) => `"${(i & 31) * 131_072 + (i >> 5)}"`),
  "the maximum of colliding texts": list(2_400, (i) => `"${i * 65_536}"`),
  "more colliding texts": list(4_800, (i) => `"${i * 65_536}"`),
  "colliding texts with escapes": list(2_400, (i) => `"\\u0031${i * 65_536}"`),
  "texts with short escapes": list(ITEMS - 2, () => `"${"\\n".repeat(18)}"`),
  "texts with escapes": list(ITEMS - 2, () => `"${"\\u00e9".repeat(6)}"`),
  "a text of escapes": json(`"${"\\u00e9".repeat(Math.floor(SIZE / 6) - 1)}"`),
  "a text of short escapes": json(`"${"\\n".repeat(SIZE / 2 - 1)}"`),
  "a text of characters and escapes": json(`"${"a\\u4e00".repeat(Math.floor(SIZE / 7) - 1)}"`),
  "a text of U+FFFD": json(`"${"\ufffd".repeat(Math.floor(SIZE / 3) - 1)}"`),
  "a text of ASCII": json(`"${"a".repeat(SIZE - 2)}"`),
  "a text of four-byte characters": json(`"${"😀".repeat(SIZE / 4 - 1)}"`),
  "an object of long names": object(ITEMS / 2 - 1, (i) => `${i}`.padEnd(70)),
  "an object of names with escapes": object(ITEMS / 2 - 1, (i) => `\\u0061${i}`),
  "an object of long names with escapes": object(ITEMS / 2 - 1, (i) => `\\u0061${`${i}`.padEnd(70)}`),
  "an object of names of escapes": object(ITEMS / 2 - 1, (i) => escaped(String(i).padStart(10, "x"))),
  "an object of names almost like __proto__": object(ITEMS / 2 - 1, (i) => `${escaped("__proto_")}${i}`),
  "an object of names that are not ASCII": object(ITEMS / 2 - 1, (i) => `é${i}`),
  "an object of names like indices": object(12_000, (i) => String(i * 41)),
  ...Object.fromEntries(
    [1, 2, 3, 4, 8, 16, 64, 256].map((n) => [`objects of ${n} names with distinct shapes`, objects(n)]),
  ),
  "lists of one element": list(ITEMS / 2 - 1, () => "[1]"),
  "objects 60 deep": list(ITEMS / 123, () => `${'{"a":'.repeat(60)}1${"}".repeat(60)}`),
  "quotes that never close": json('"'.repeat(SIZE - 1)),
};
