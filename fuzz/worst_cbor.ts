// CBOR messages of maximum size that cause as much decoding work as we could find.

const encoder = new TextEncoder();

/** Size of each message, in bytes: a frame of the default `maxFrameBytes`. */
export const SIZE = 4_194_304;
/** Number of whole items that the default `maxItems` accepts. Numbers count as 1/64, texts, lists and maps as 1/4. */
export const ITEMS = 99_990;

/** A CBOR head with a four-byte argument. */
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

/** A message of `count` items, or as many as fit, each created from its index, after the bytes of `start`. */
function fill(start: (count: number) => number[], count: number, item: (i: number) => ArrayLike<number>) {
  const parts: ArrayLike<number>[] = [];
  let size = 32;
  for (let i = 0; i < Math.floor(count); i++) {
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

function string(major: number, bytes: ArrayLike<number>): Uint8Array {
  const { length } = bytes;
  const short = length < 24 ? [major << 5 | length] : [major << 5 | 24, length];
  return concat([length < 256 ? short : head(major, length), bytes]);
}

const text = (content: string) => string(3, encoder.encode(content));
const bytes = (length: number) => string(2, new Uint8Array(length));

function longText(character: string): () => Uint8Array {
  return () => text(character.repeat(Math.floor((SIZE - 16) / encoder.encode(character).length)));
}

/** A bignum of `size` bytes whose last eight are always the same: V8 hashes only those. */
function bignum(i: number, size: number): Uint8Array {
  const digits = new Uint8Array(size).fill(1);
  digits[0] = 1 + (i >>> 16);
  digits[1] = i >>> 8;
  digits[2] = i;
  return concat([[0xc2], string(2, digits)]);
}

/** A typed array with as many zeros as fit. */
function typedArray(tag: number): () => Uint8Array {
  return () => concat([[0xd8, tag], head(2, SIZE - 16), new Uint8Array(SIZE - 16)]);
}

/** Maps of `count` keys each, all different between the maps, after `common` keys shared by all. */
function maps(count: number, common = 0): () => Uint8Array {
  const size = count + common;
  const keys = (i: number) =>
    Array.from({ length: size }, (_, k) => concat([text(k < common ? `k${k}` : `k${i}.${k}`), [1]]));
  return array(ITEMS / (1 + 2 * size), (i) => concat([[0xb9, size >> 8, size & 255], ...keys(i)]));
}

/** A Map whose keys are maps whose keys are maps, and so on; the keys differ only in their bytes. */
function nestedKeys(): Uint8Array {
  const DEPTH = 61;
  const one = concat([new Uint8Array(DEPTH).fill(0xa1), bytes(800), new Uint8Array(DEPTH)]);
  const numbered = (i: number) => {
    const key = one.slice();
    key[DEPTH + 10] = i >> 8;
    key[DEPTH + 11] = i;
    return concat([key, [0]]);
  };
  return realMap(ITEMS / 3_600, numbered)();
}

/** The number of colliding numeric strings that are accepted; twice as many are rejected. */
const NUMERALS = 2_400;
const numeral = (i: number) => text(String(i * 65_536));

/** V8's hash of small integers, which has no secret seed. */
function hashOf(n: number): number {
  let hash = n >>> 0;
  hash = ~hash + (hash << 15) >>> 0;
  hash = (hash ^ hash >>> 12) >>> 0;
  hash = hash + (hash << 2) >>> 0;
  hash = (hash ^ hash >>> 4) >>> 0;
  hash = Math.imul(hash, 2_057) >>> 0;
  return hash ^ hash >>> 16;
}

/** Integers that fall into the same bucket of every hash table of up to 2^16 buckets. */
function* colliding(): Generator<Uint8Array> {
  for (let n = 0; n < 2 ** 31; n++) if ((hashOf(n) & 0xffff) === 0) yield Uint8Array.from(head(0, n));
}

function collidingSet(count: number): () => Uint8Array {
  return () => {
    const numbers = colliding().take(count).toArray();
    return set(count, (i) => numbers[i]!)();
  };
}

/** A string of `count` chunks. */
function chunks(major: number, count: number, chunk: ArrayLike<number>): () => Uint8Array {
  return () => concat([[major << 5 | 31], ...Array.from({ length: count }, () => chunk), [0xff]]);
}

function nested(head: number[], depth: number, copies: number): () => Uint8Array {
  const one = concat([...Array.from({ length: depth }, () => head), [0xf6]]);
  return array(copies, () => one);
}

const fraction = "1".repeat(50);

/** The shapes, by description. */
export const CBOR_SHAPES: Record<string, () => Uint8Array> = {
  "endlessly nested arrays": () => new Uint8Array(SIZE).fill(0x81),
  "endlessly nested tags": () => new Uint8Array(SIZE).fill(0xc6),
  "many items declared": () => concat([head(4, 2 ** 32 - 1), new Uint8Array(SIZE - 5)]),
  "integers": array(ITEMS * 60, (i) => head(0, i * 40_000)),
  "64-bit integers": array(ITEMS * 60, () => [0x1b, 255, 255, 255, 255, 255, 255, 255, 255]),
  "negative 64-bit integers": array(ITEMS * 60, () => [0x3b, 255, 255, 255, 255, 255, 255, 255, 255]),
  "doubles": array(ITEMS * 60, () => [0xfb, 1, 2, 3, 4, 5, 6, 7, 8]),
  "half floats": array(ITEMS * 60, () => [0xf9, 1, 2]),
  "simple values": array(ITEMS, () => [0xf8, 0xff]),
  "empty maps": array(ITEMS * 3.9, () => [0xa0]),
  "empty maps without a length": array(ITEMS * 3.9, () => [0xbf, 0xff]),
  "arrays of one element": array(ITEMS * 3.7, () => [0x81, 1]),
  "arrays of one element without a length": array(ITEMS, () => [0x9f, 1, 0xff]),
  "arrays 60 deep": nested([0x81], 60, ITEMS / 15.1),
  "maps 60 deep": nested([0xa1, 0x61, 0x61], 60, ITEMS / 19),
  "tags 60 deep": nested([0xc6], 60, ITEMS / 62),
  "short texts": array(ITEMS * 3.9, (i) => text(`text ${i}`)),
  "texts of 30 bytes": array(ITEMS * 3.9, (i) => text(`a text of thirty bytes ${i}`.padEnd(30))),
  "texts of Chinese": array(ITEMS * 3.9, () => text("十二個字的文本十二個字")),
  "texts of U+FFFD": array(ITEMS * 3.9, () => text("\ufffd".repeat(12))),
  "short texts of U+FFFD": array(ITEMS * 3.9, () => text("\ufffd".repeat(8))),
  "short texts that are not ASCII": array(ITEMS * 3.9, () => text("é".repeat(12))),
  "short texts that are ASCII except for the end": array(ITEMS * 3.9, () => text("a".repeat(22) + "é")),
  "texts of two letters that are not ASCII": array(ITEMS * 3.9, () => text("éé")),
  "texts of two letters": array(ITEMS * 3.9, () => text("ab")),
  "rows of three numbers": array(
    ITEMS * 2.5,
    (i) => concat([[0xa3], ...["a", "b", "c"].map((k) => concat([text(k), [i & 15]]))]),
  ),
  "rows of twenty numbers": array(
    ITEMS / 1.2,
    () => concat([[0xb4], ...Array.from({ length: 20 }, (_, k) => [0x61, 0x61 + k, 1])]),
  ),
  "rows of two kinds in turn": array(ITEMS * 2.5, (i) => [0xa2, 0x61, 0x61 + (i & 1), 1, 0x61, 0x63, 1]),
  "rows of 40 kinds in turn": array(
    ITEMS / 2.2,
    (i) => concat([[0xa1], text(`a field ${i % 40 + 10}`), [1]]),
  ),
  "maps of keys that occur twice": array(
    ITEMS / 3,
    (i) => concat([[0xa1], text(`a key ${1e6 + (i >> 1)}`), [1]]),
  ),
  "maps of keys that almost occur twice": array(
    ITEMS / 3,
    (i) => concat([[0xa1], text(`a key ${i % 31 + 10}`.padEnd(60) + i), [1]]),
  ),
  "rows of one field and a known text": array(
    ITEMS * 2.2,
    (i) => concat([[0xa1], text("key"), text(`${i}`)]),
  ),
  "texts of two chunks": array(ITEMS / 3, () => concat([[0x7f], text("é".repeat(20)), text("a"), [0xff]])),
  "texts of zero chunks": array(ITEMS, () => [0x7f, 0xff]),
  "empty byte strings": array(ITEMS / 2, () => [0x40]),
  "byte strings of 80": array(ITEMS / 2, () => bytes(80)),
  "byte strings of zero chunks": array(ITEMS / 2, () => [0x5f, 0xff]),
  "byte strings of one chunk": array(ITEMS / 2, () => concat([[0x5f], bytes(60), [0xff]])),
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
  "empty text chunks": chunks(3, ITEMS, [0x60]),
  "chunks of text": chunks(3, ITEMS, text("x".repeat(30))),
  "chunks of U+FFFD": chunks(3, ITEMS, text("\ufffd".repeat(12))),
  "empty byte chunks": chunks(2, ITEMS, [0x40]),
  "chunks of bytes": chunks(2, ITEMS, [0x58, 36, ...new Uint8Array(36)]),
  "a map of short keys": map(ITEMS / 2, (i) => concat([text(`k${i}`), [1]])),
  "a map of long keys": map(ITEMS / 2, (i) => concat([text(`${i}`.padEnd(70)), [1]])),
  "a map of the same key": map(ITEMS / 2, () => concat([text("key"), [1]])),
  "a map of keys like indices": map(ITEMS / 2, (i) => concat([text(String(i * 65_536)), [1]])),
  "a map of keys like indices in random order": map(
    ITEMS / 2,
    (i) => concat([text(String(Math.imul(i, 0x9e3779b1) >>> 0)), [1]]),
  ),
  "a map of keys of U+FFFD": map(ITEMS / 2, (i) => concat([text(`${"\ufffd".repeat(24)}${i}`), [1]])),
  "a map of keys of two-byte characters": map(ITEMS / 2, (i) => concat([text(`${"é".repeat(34)}${i}`), [1]])),
  "a map of keys in chunks": map(
    ITEMS / 4,
    (i) => concat([[0x7f], text(`${i}`.padEnd(60)), text("b"), [0xff, 1]]),
  ),
  "a map whose last key is a duplicate": map(
    ITEMS / 2,
    (i) => concat([text(`k${i % (ITEMS / 2 - 1)}`), [1]]),
  ),
  "a map whose last key is not text": () =>
    fill((n) => head(5, n), ITEMS / 2, (i) => i < ITEMS / 2 - 1 ? concat([text(`k${i}`), [1]]) : [1, 1]),
  ...Object.fromEntries(
    [1, 2, 3, 4, 6, 8, 16, 20, 64, 256, 1_024].map((
      n,
    ) => [`maps of ${n} keys with distinct shapes`, maps(n)]),
  ),
  "maps of one key that differs": maps(1, 1),
  "maps of one key like an index": array(ITEMS / 3, (i) => concat([[0xa1], text(String(i * 41)), [1]])),
  "a map of numbers": realMap(ITEMS / 2, (i) => [...head(0, i), 1]),
  "a map of maps of maps": nestedKeys,
  "a map with the maximum of colliding texts": realMap(
    NUMERALS,
    (i) => concat([numeral(i), [1]]),
  ),
  "a map of more colliding texts": realMap(2 * NUMERALS, (i) => concat([numeral(i), [1]])),
  "a map of texts that are numbers": realMap(ITEMS / 2, (i) => concat([text(`${i}`), [1]])),
  "a map of lists": realMap(ITEMS / 5, (i) => [0x82, ...head(0, i), 1, 1]),
  "a map of byte strings of 118": realMap(
    ITEMS / 10,
    (i) => concat([[0x58, 118, i >> 8, i & 255], new Uint8Array(116), [1]]),
  ),
  "a map of long byte strings": realMap(
    ITEMS / 67,
    (i) => concat([[0x59, 3, 0xf8], [i >> 8, i & 255], new Uint8Array(0x3f6), [1]]),
  ),
  "a map of texts": realMap(ITEMS / 2, (i) => concat([text(`key ${i}`), [1]])),
  "a map of big integers": realMap(ITEMS / 3, (i) => concat([bignum(i, 12), [1]])),
  "maps of a text and a number": array(4_096, (i) => concat([[0xa2], text(`k${i}`), [1, 1, 1]])),
  "empty Maps": array(ITEMS / 2, () => [0xd9, 1, 3, 0xa0]),
  "Maps of a text": array(ITEMS / 4, (i) => concat([[0xd9, 1, 3, 0xa1], text(`k${i}`), [1]])),
  "empty sets": array(ITEMS / 2, () => [0xd9, 1, 2, 0x80]),
  "sets of a text": array(ITEMS / 4, (i) => concat([[0xd9, 1, 2, 0x81], text(`k${i}`)])),
  "a set of short texts": set(ITEMS / 2, (i) => text(`element ${i}`)),
  "a set of texts": set(ITEMS / 2, (i) => text(`${i}`.padEnd(75))),
  "a set of texts of U+FFFD": set(ITEMS / 2, (i) => text(`${"\ufffd".repeat(24)}${i}`)),
  "a set with the maximum of colliding texts": set(NUMERALS, numeral),
  "a set of more colliding texts": set(2 * NUMERALS, numeral),
  "a set of texts that are numbers": set(ITEMS / 2, (i) => text(`${i}`)),
  "a set of lists": set(ITEMS / 2, () => [0x80]),
  "a set of big integers": set(ITEMS / 2, (i) => bignum(i, 12)),
  "a set of colliding integers": collidingSet(20_000),
  "a set with the maximum of colliding integers": collidingSet(4_096),
  "a set with the maximum of big integers": set(2_048, (i) => bignum(i, 12)),
  "a map with the maximum of big integers": realMap(2_048, (i) => concat([bignum(i, 1_000), [1]])),
  "integers of 1 KiB": array(ITEMS / 67, (i) => bignum(i, 1_024)),
  "integers of 15 bytes": array(ITEMS / 3, (i) => bignum(i, 15)),
  "negative integers of 15 bytes": array(ITEMS / 3, (i) => bignum(i, 15).with(0, 0xc3)),
  "dates": array(ITEMS / 2, () => [0xc1, ...head(0, 1_700_000_000)]),
  "dates as text": array(ITEMS / 2, () => concat([[0xc0], text(`2024-02-29T12:00:00.${fraction}Z`)])),
  "a date with many digits": () => concat([[0xc0], text(`2024-02-29T12:00:00.${"1".repeat(SIZE - 40)}Z`)]),
  "an invalid date": () => concat([[0xc0], text(`2024-02-29T12:00:00.${"1".repeat(SIZE - 40)}?`)]),
  "dates as fractions": array(ITEMS / 2, () => [0xc1, 0xfb, 0x41, 0xd9, 0x54, 0xfc, 0x40, 0x10, 0x62, 0x4d]),
  "dates as text, ahead of UTC": array(
    ITEMS / 2,
    () => concat([[0xc0], text(`2024-12-31t23:59:59.${"1".repeat(44)}+23:59`)]),
  ),
  "unknown tags": array(ITEMS / 2, () => [0xdb, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
  "big-endian integers of 16 bits": typedArray(65),
  "big-endian half floats": typedArray(80),
  "big-endian floats": typedArray(81),
  "big-endian doubles": typedArray(82),
  "big-endian integers of 64 bits": typedArray(75),
  "half floats in one array": typedArray(84),
  "empty typed arrays": array(ITEMS / 3, () => [0xd8, 86, 0x40]),
  "typed arrays of one element": array(ITEMS / 3, () => concat([[0xd8, 86], bytes(8)])),
  "big-endian arrays of one element": array(ITEMS / 3, () => concat([[0xd8, 82], bytes(8)])),
  "big-endian arrays of 120 bytes": array(ITEMS / 3, () => concat([[0xd8, 65], bytes(120)])),
};
