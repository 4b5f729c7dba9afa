// Messages of the longest frame's size that ask as much work of a decoder as anyone has thought of.

const encoder = new TextEncoder();

/** The size of all of them: a frame of the default `maxFrameBytes`. */
export const SIZE = 4_194_304;
/** As many items as the default `maxItems` lets through. */
const ITEMS = 99_990;

/** A message, and the codec that is told it. */
export interface Shape {
  readonly name: string;
  readonly codec: "cbor" | "json";
  readonly make: () => Uint8Array;
}

/** A head of CBOR with a length of four bytes. */
function head(major: number, n: number): number[] {
  return [major << 5 | 26, n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255];
}

function concat(parts: Iterable<ArrayLike<number>>): Uint8Array {
  const all = [...parts];
  const out = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of all) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** `count` items, or as many as fit, each made from its number; `start` before and `end` behind them. */
function fill(start: (count: number) => number[], count: number, item: (i: number) => ArrayLike<number>) {
  const parts: ArrayLike<number>[] = [];
  let size = 32;
  for (let i = 0; i < count; i++) {
    const part = item(i);
    size += part.length;
    if (size > SIZE) break;
    parts.push(part);
  }
  return concat([start(parts.length), ...parts]);
}

const array = (count: number, item: (i: number) => ArrayLike<number>) => () =>
  fill((n) => head(4, n), count, item);
const map = (count: number, entry: (i: number) => ArrayLike<number>) => () =>
  fill((n) => head(5, n), count, entry);
const set = (count: number, item: (i: number) => ArrayLike<number>) => () =>
  fill((n) => [0xd9, 1, 2, ...head(4, n)], count, item);
const realMap = (count: number, entry: (i: number) => ArrayLike<number>) => () =>
  fill((n) => [0xd9, 1, 3, ...head(5, n)], count, entry);

function text(content: string): Uint8Array {
  const bytes = encoder.encode(content);
  return concat([head(3, bytes.length), bytes]);
}

function longText(character: string): () => Uint8Array {
  return () => text(character.repeat(Math.floor((SIZE - 16) / encoder.encode(character).length)));
}

/** A bignum of `size` bytes whose last eight are always the same: V8 hashes nothing but those. */
function bignum(i: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size).fill(1);
  bytes[0] = 1 + (i >>> 16);
  bytes[1] = i >>> 8;
  bytes[2] = i;
  return concat([[0xc2], size < 24 ? [0x40 | size] : [0x59, size >> 8, size & 255], bytes]);
}

/** How V8 hashes small integers, which has no secret in it. */
function hashOf(n: number): number {
  let hash = n >>> 0;
  hash = ~hash + (hash << 15) >>> 0;
  hash = (hash ^ hash >>> 12) >>> 0;
  hash = hash + (hash << 2) >>> 0;
  hash = (hash ^ hash >>> 4) >>> 0;
  hash = Math.imul(hash, 2_057) >>> 0;
  return hash ^ hash >>> 16;
}

/** Integers that all fall into one bucket of every hash table of up to 2^16 buckets. */
function* colliding(): Generator<Uint8Array> {
  for (let n = 0; n < 2 ** 31; n++) if ((hashOf(n) & 0xffff) === 0) yield Uint8Array.from(head(0, n));
}

function collidingSet(count: number): () => Uint8Array {
  return () => {
    const numbers = colliding().take(count).toArray();
    return set(count, (i) => numbers[i]!)();
  };
}

/** A string of chunks, as many as there may be. */
function chunks(major: number, count: number, chunk: ArrayLike<number>): () => Uint8Array {
  return () => concat([[major << 5 | 31], ...Array.from({ length: count }, () => chunk), [0xff]]);
}

function nested(head: number[], depth: number, copies: number): () => Uint8Array {
  const one = concat([...Array.from({ length: depth }, () => head), [0xf6]]);
  return array(copies, () => one);
}

const fraction = "1".repeat(50);

const CBOR: Record<string, () => Uint8Array> = {
  "arrays within each other, without end": () => new Uint8Array(SIZE).fill(0x81),
  "tags within each other, without end": () => new Uint8Array(SIZE).fill(0xc6),
  "many items declared": () => concat([head(4, 2 ** 32 - 1), new Uint8Array(SIZE - 5)]),
  "integers": array(ITEMS, (i) => head(0, i * 40_000)),
  "64-bit integers": array(ITEMS, () => [0x1b, 255, 255, 255, 255, 255, 255, 255, 255]),
  "doubles": array(ITEMS, () => [0xfb, 1, 2, 3, 4, 5, 6, 7, 8]),
  "half floats": array(ITEMS, () => [0xf9, 1, 2]),
  "simple values": array(ITEMS, () => [0xf8, 0xff]),
  "empty maps": array(ITEMS, () => [0xa0]),
  "arrays 60 deep": nested([0x81], 60, ITEMS / 62),
  "maps 60 deep": nested([0xa1, 0x61, 0x61], 60, ITEMS / 122),
  "tags 60 deep": nested([0xc6], 60, ITEMS / 62),
  "short texts": array(ITEMS, (i) => text(`text ${i}`)),
  "texts of 30 bytes": array(ITEMS, (i) => text(`a text of thirty bytes ${i}`.padEnd(30))),
  "texts of Chinese": array(ITEMS, () => text("十二個字的文本十二個字")),
  "empty byte strings": array(ITEMS, () => [0x40]),
  "byte strings of 36": array(ITEMS, () => concat([[0x58, 36], new Uint8Array(36)])),
  "one byte string": () => concat([head(2, SIZE - 5), new Uint8Array(SIZE - 5)]),
  "a text of ASCII": longText("a"),
  "a text of two-byte characters": longText("é"),
  "a text of four-byte characters": longText("😀"),
  "a text of U+FFFD": longText("\ufffd"),
  "a text that is invalid at its end": () => {
    const bytes = longText("é")();
    bytes[bytes.length - 1] = 0xff;
    return bytes;
  },
  "chunks of no text": chunks(3, ITEMS, [0x60]),
  "chunks of text": chunks(3, ITEMS, text("x".repeat(30))),
  "chunks of no bytes": chunks(2, ITEMS, [0x40]),
  "chunks of bytes": chunks(2, ITEMS, [0x58, 36, ...new Uint8Array(36)]),
  "a map of short keys": map(ITEMS / 2, (i) => concat([text(`k${i}`), [1]])),
  "a map of long keys": map(ITEMS / 2, (i) => concat([text(`${i}`.padEnd(70)), [1]])),
  "a map of the same key": map(ITEMS / 2, () => concat([text("key"), [1]])),
  "a map of keys like indices": map(ITEMS / 2, (i) => concat([text(String(i * 65_536)), [1]])),
  "a map whose last key is no text": () =>
    fill((n) => head(5, n), ITEMS / 2, (i) => i < ITEMS / 2 - 1 ? concat([text(`k${i}`), [1]]) : [1, 1]),
  "maps that all look different": array(
    ITEMS / 8,
    (i) => concat([[0xa3], ...[1, 2, 3].flatMap((k) => [text(`k${i}.${k}`), [1]])]),
  ),
  "a map of numbers": realMap(ITEMS / 2, (i) => [...head(0, i), 1]),
  "a map of lists": realMap(ITEMS / 5, (i) => [0x82, ...head(0, i), 1, 1]),
  "a map of long byte strings": realMap(
    ITEMS / 3,
    (i) => concat([[0x59, 3, 0xf8], [i >> 8, i & 255], new Uint8Array(0x3f6), [1]]),
  ),
  "a map of texts": realMap(ITEMS / 2, (i) => concat([text(`key ${i}`), [1]])),
  "a map of big integers": realMap(ITEMS / 3, (i) => concat([bignum(i, 12), [1]])),
  "a set of texts": set(ITEMS, (i) => text(`element ${i}`)),
  "a set of big integers": set(ITEMS / 2, (i) => bignum(i, 12)),
  "a set of colliding integers": collidingSet(20_000),
  "a set of as many colliding integers as are let through": collidingSet(4_096),
  "a set of as many big integers as are let through": set(2_048, (i) => bignum(i, 12)),
  "a map of as many big integers as are let through": realMap(2_048, (i) => concat([bignum(i, 1_000), [1]])),
  "integers of 1 KiB": array(ITEMS / 2, (i) => bignum(i, 1_024)),
  "integers of 70 bytes": array(ITEMS / 2, (i) => bignum(i, 70)),
  "dates": array(ITEMS / 2, () => [0xc1, ...head(0, 1_700_000_000)]),
  "dates as text": array(ITEMS / 2, () => concat([[0xc0], text(`2024-02-29T12:00:00.${fraction}Z`)])),
  "a date with many digits": () => concat([[0xc0], text(`2024-02-29T12:00:00.${"1".repeat(SIZE - 40)}Z`)]),
  "a date that is none": () => concat([[0xc0], text(`2024-02-29T12:00:00.${"1".repeat(SIZE - 40)}?`)]),
  "big-endian doubles": () => concat([[0xd8, 82], head(2, SIZE - 16), new Uint8Array(SIZE - 16)]),
  "half floats in one array": () => concat([[0xd8, 84], head(2, SIZE - 16), new Uint8Array(SIZE - 16)]),
  "empty typed arrays": array(ITEMS / 2, () => [0xd8, 86, 0x40]),
};

function json(content: string): () => Uint8Array {
  return () => encoder.encode(content);
}

function list(count: number, item: (i: number) => string): () => Uint8Array {
  return () => encoder.encode(`[${Array.from({ length: count }, (_, i) => item(i)).join(",")}]`);
}

function object(count: number, key: (i: number) => string): () => Uint8Array {
  return () => encoder.encode(`{${Array.from({ length: count }, (_, i) => `"${key(i)}":1`).join(",")}}`);
}

const JSON_SHAPES: Record<string, () => Uint8Array> = {
  "arrays within each other, without end": json("[".repeat(SIZE)),
  "spaces": json(`${" ".repeat(SIZE - 1)}1`),
  "integers": list(ITEMS - 2, (i) => String(i * 40_000)),
  "numbers of 38 digits": list(ITEMS - 2, () => `0.${"123456789".repeat(4)}`),
  "one number": json("1".repeat(SIZE)),
  "numbers of 400 digits": list(10_000, () => "1".repeat(400)),
  "empty objects": list(ITEMS / 2 - 1, () => "{}"),
  "texts": list(ITEMS - 2, (i) => `"a text of thirty bytes ${i}"`),
  "texts with escapes": list(ITEMS - 2, () => `"${"\\u00e9".repeat(6)}"`),
  "a text of escapes": json(`"${"\\u00e9".repeat(Math.floor(SIZE / 6) - 1)}"`),
  "a text of ASCII": json(`"${"a".repeat(SIZE - 2)}"`),
  "a text of four-byte characters": json(`"${"😀".repeat(SIZE / 4 - 1)}"`),
  "an object of long names": object(ITEMS / 2 - 1, (i) => `${i}`.padEnd(70)),
  "an object of names with escapes": object(ITEMS / 2 - 1, (i) => `\\u0061${i}`),
  "an object of names like indices": object(ITEMS / 2 - 1, (i) => String(i * 65_536)),
  "objects that all look different": list(ITEMS / 8, (i) => `{"a${i}":1,"b${i}":1}`),
  "objects 60 deep": list(ITEMS / 123, () => `${'{"a":'.repeat(60)}1${"}".repeat(60)}`),
  "quotes that never close": json('"'.repeat(SIZE - 1)),
};

/** Everything that is tried. */
export const SHAPES: readonly Shape[] = [
  ...Object.entries(CBOR).map(([name, make]) => ({ name, codec: "cbor" as const, make })),
  ...Object.entries(JSON_SHAPES).map(([name, make]) => ({ name, codec: "json" as const, make })),
];
