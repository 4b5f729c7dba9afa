// What the CBOR decoder takes and refuses: the groups of RFC 8949's appendix A, QCBOR's and the
// cbor/test-vectors' malformed items, foreign encoders' forms, and the limits.

import { assert, assertEquals, assertLess, assertStrictEquals, assertThrows } from "@std/assert";
import {
  ByteBuffer,
  CborCodec,
  type CborErrorCode,
  type CborOptions,
  decode,
  encode,
  Simple,
  Tagged,
} from "../../codec/mod.ts";
import { CborError } from "../../codec/cbor_error.ts";
import { repeated } from "../../conformance/script.ts";
import { APPENDIX_A, NO_LONGER_WELL_FORMED } from "../support/cbor_appendix_a.ts";
import vectors from "../../docs/vectors/cbor.json" with { type: "json" };

const codec = new CborCodec();
const fromHex = (hex: string) => decode(codec, Uint8Array.fromHex(hex.replaceAll(" ", "")));

function refuses(hex: string, code: CborErrorCode, offset?: number, options?: CborOptions): CborError {
  const bytes = Uint8Array.fromHex(hex.replaceAll(" ", ""));
  const error = assertThrows(() => decode(new CborCodec(options), bytes), CborError);
  assertEquals([error.code, offset ?? error.offset], [code, error.offset], error.message);
  return error;
}

Deno.test("CBOR decodes all of RFC 8949 appendix A and re-encodes it", () => {
  assertEquals(APPENDIX_A.length, 81);
  for (const [hex, value] of APPENDIX_A) {
    const decoded = fromHex(hex);
    assertEquals(decoded, value, hex);
    assertEquals(Object.is(decoded, -0), Object.is(value, -0), hex);
    assertEquals(decode(codec, encode(codec, decoded)), value, hex);
  }
  refuses(NO_LONGER_WELL_FORMED, "malformed", 0);
});

Deno.test("CBOR refuses 482 malformed items and every prefix of well-formed ones", () => {
  assertEquals(vectors.malformed.length, 482);
  for (const hex of vectors.malformed) assertThrows(() => fromHex(hex), CborError, undefined, hex);
  for (const [hex] of APPENDIX_A) {
    for (let end = 0; end < hex.length; end += 2) refuses(hex.slice(0, end), "truncated");
  }
});

Deno.test("CBOR reads every published value, refuses every published malformed one, and holds the limits", () => {
  for (const { hex } of vectors.values) {
    const value = fromHex(hex);
    assertEquals(decode(codec, encode(codec, value)), value, hex);
  }
  for (const { name, hex } of vectors.refused) assertThrows(() => fromHex(hex), CborError, undefined, name);
  for (const { name, refused, repeat } of vectors.limits) {
    const message = repeated(repeat);
    if (refused) assertThrows(() => decode(codec, message), CborError, undefined, name);
    else decode(codec, message);
  }
});

Deno.test("CBOR reads nothing outside of start and end", () => {
  const message = Uint8Array.fromHex("8263616263a16161ff");
  const surrounded = (before: number[], end: number) =>
    Uint8Array.from([...before, ...message.subarray(0, end), 0x61, 0x61, 0x61, 0xff]);
  for (let end = 0; end < 8; end++) {
    const bytes = surrounded([1, 2, 3], end);
    const error = assertThrows(() => codec.decode(bytes, 3, 3 + end), CborError);
    assertEquals(error.code, "truncated");
    assert(error.offset <= end);
  }
  for (const [hex, value] of APPENDIX_A) {
    const bytes = Uint8Array.fromHex(`0000${hex}6161`);
    assertEquals(codec.decode(bytes, 2, bytes.length - 2), value);
    for (let end = 2; end < bytes.length - 2; end++) {
      assertThrows(() => codec.decode(bytes, 2, end), CborError);
    }
  }
});

Deno.test("CBOR integers of 64 bits are bigint beyond the safe ones", () => {
  assertStrictEquals(fromHex("1b001fffffffffffff"), Number.MAX_SAFE_INTEGER);
  assertStrictEquals(fromHex("1b0020000000000000"), 2n ** 53n);
  assertStrictEquals(fromHex("3b001ffffffffffffe"), Number.MIN_SAFE_INTEGER);
  assertStrictEquals(fromHex("3b001fffffffffffff"), -(2n ** 53n));
  assertStrictEquals(fromHex("1b0000000000000001"), 1);
  assertStrictEquals(fromHex("1a80000000"), 2147483648);
});

Deno.test("CBOR bignums are bigint, whatever their size", () => {
  assertStrictEquals(fromHex("c240"), 0n);
  assertStrictEquals(fromHex("c340"), -1n);
  assertStrictEquals(fromHex("c2420005"), 5n);
  assertStrictEquals(fromHex("c25f41014102ff"), 258n);
  refuses("c201", "invalid", 0);
  refuses("c26161", "invalid", 0);
});

Deno.test("CBOR dates come as text or as seconds", () => {
  const seconds = (text: string) => (fromHex(text) as Date).toISOString();
  const text = (text: string) => {
    const bytes = Uint8Array.of(0xc0, ...encode(codec, text));
    return (decode(codec, bytes) as Date).toISOString();
  };
  assertEquals(text("2013-03-21t20:04:00.123456z"), "2013-03-21T20:04:00.123Z");
  assertEquals(text("2013-03-21T20:04:00+01:30"), "2013-03-21T18:34:00.000Z");
  assertEquals(text("2000-02-29T00:00:00Z"), "2000-02-29T00:00:00.000Z");
  assertEquals(text("0000-02-29T23:59:59.9-23:59"), "0000-03-01T23:58:59.900Z");
  assertEquals(text("9999-12-31T23:59:59.9999+00:00"), "9999-12-31T23:59:59.999Z");
  assertEquals(seconds("c13a7fffffff"), "1901-12-13T20:45:52.000Z");
  assertEquals(seconds("c1f93800"), "1970-01-01T00:00:00.500Z");
  const none = [
    "1900-02-29T00:00:00Z",
    "2013-04-31T00:00:00Z",
    "2013-02-30T00:00:00Z",
    "2013-13-01T00:00:00Z",
    "2013-03-21T24:00:00Z",
    "2013-03-21T20:04:60Z",
    "2013-03-21 20:04:00Z",
    "2013-03-21T20:04:00",
    "2013-03-21",
    "",
  ];
  for (const wrong of none) assertThrows(() => text(wrong), CborError, "RFC 3339", wrong);
  for (
    const hex of ["c1f97e00", "c1f97c00", "c16161", "c1f6", "c1c100", "c11bffffffffffffffff", "c1a0", "c000"]
  ) {
    refuses(hex, "invalid", 0);
  }
});

Deno.test("CBOR typed arrays come in both byte orders", () => {
  assertEquals(fromHex("d840 420102"), Uint8Array.of(1, 2));
  assertEquals(fromHex("d841 44 00010203"), Uint16Array.of(1, 0x203));
  assertEquals(fromHex("d845 44 01000302"), Uint16Array.of(1, 0x203));
  assertEquals(fromHex("d844 4101"), Uint8ClampedArray.of(1));
  assertEquals(fromHex("d848 41ff"), Int8Array.of(-1));
  assertEquals(fromHex("d84f 48 feffffffffffffff"), BigInt64Array.of(-2n));
  assertEquals(fromHex("d843 48 0000000000000002"), BigUint64Array.of(2n));
  assertEquals(fromHex("d850 42 3c00"), Float16Array.of(1));
  assertEquals(fromHex("d854 42 003c"), Float16Array.of(1));
  assertEquals(fromHex("d851 44 3fc00000"), Float32Array.of(1.5));
  assertEquals(fromHex("d852 48 3ff8000000000000"), Float64Array.of(1.5));
  assertEquals(fromHex("d855 5f 42 0000 42 c03f ff"), Float32Array.of(1.5));
  assertEquals(fromHex("d853 40"), new Tagged(83, new Uint8Array()), "no floats of 128 bits");
  refuses("d84143000102", "invalid", 0);
  refuses("d84101", "invalid", 0);
});

Deno.test("CBOR maps with other keys than text are Maps", () => {
  assertEquals(fromHex("a2 6161 01 02 03"), new Map<unknown, number>([["a", 1], [2, 3]]));
  assertEquals(fromHex("bf 6161 01 02 03 ff"), new Map<unknown, number>([["a", 1], [2, 3]]));
  assertEquals(fromHex("a1 f6 01"), new Map([[null, 1]]));
  assertEquals(fromHex("d90103 a1 6161 01"), new Map([["a", 1]]));
  assertEquals(fromHex("d90103 a1 69 5f5f70726f746f5f5f 01"), new Map([["__proto__", 1]]));
  assertEquals(fromHex("d90103 bf ff"), new Map());
  assertEquals(fromHex("d90102 83 01 02 6161"), new Set([1, 2, "a"]));
  refuses("d90103 80", "invalid", 0);
  refuses("d90102 a0", "invalid", 0);
  refuses("d90102 82 01 01", "invalid", 0);
});

Deno.test("CBOR refuses duplicate keys", () => {
  refuses("a2 6161 01 6161 02", "invalid", 0);
  refuses("a2 6161 f7 6161 f7", "invalid", 0);
  refuses("bf 6161 01 6162 02 6161 02 ff", "invalid", 0);
  refuses("a2 6161 01 7f 6161 ff 02", "invalid", 0);
  refuses("a2 6161 a2 6162 00 6162 00 6161 01", "invalid", 3);
  refuses("a3 6161 01 6161 02 01 02", "invalid", 0);
  refuses("a2 01 02 01 02", "invalid", 3);
  refuses("a2 01 02 f93c00 02", "invalid", 3);
  refuses("a3 01 02 6161 02 6161 02", "invalid", 6);
  refuses("a2 f97e00 02 f97e00 02", "invalid", 5);
  refuses("a2 4101 02 4101 02", "invalid", 4);
  refuses("d90103 a2 6161 01 6161 02", "invalid", 7);
});

Deno.test("CBOR keys of any name are properties of their own, but __proto__", () => {
  const names = [
    "constructor",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "__defineGetter__",
    "0",
    "-1",
    "",
    "日本",
  ];
  const value = Object.fromEntries(names.map((name, i) => [name, i]));
  const decoded = decode(codec, encode(codec, value)) as object;
  assertEquals(decoded, value);
  assertEquals(Object.keys(decoded).sort(), [...names].sort());
  refuses("a1 69 5f5f70726f746f5f5f a1 6161 01", "invalid", 1);
  refuses("bf 69 5f5f70726f746f5f5f a1 6161 01 ff", "invalid", 1);
  refuses("a1 7f 62 5f5f 67 70726f746f5f5f ff a0", "invalid", 1);
  refuses("a1 78 09 5f5f70726f746f5f5f f6", "invalid", 1);
  assertStrictEquals(Object.getPrototypeOf(decoded), Object.prototype);
});

Deno.test("CBOR refuses invalid UTF-8 at any length and keeps a byte order mark", () => {
  const invalid = [
    "80",
    "c080",
    "c1bf",
    "c3",
    "c328",
    "e08080",
    "e282",
    "eda080",
    "edbfbf",
    "f0808080",
    "f4908080",
  ];
  for (const hex of [...invalid, "f5808080", "ff", "e28228", "f09f9828", "f09f98"]) {
    // With U+FFFD of its own, too, which is what decoders that are not strict put for what is invalid.
    for (const padding of ["", "a".repeat(10), "a".repeat(40), "a".repeat(300), "\ufffd".repeat(20)]) {
      const bytes = new Uint8Array([...new TextEncoder().encode(padding), ...Uint8Array.fromHex(hex)]);
      const message = encode(codec, bytes);
      message[0] = message[0]! | 0x60; // a text, not bytes
      const error = assertThrows(() => decode(codec, message), CborError, "not UTF-8", `${hex} ${padding}`);
      assertEquals(error.code, "invalid");
    }
  }
  refuses("a1 61 80 00", "invalid", 2);
  refuses("7f 61 c3 61 bc ff", "invalid", 2); // each chunk must be text of its own
  for (const padding of [0, 500]) {
    for (const mark of ["\ufeff", "\ufffd", "\ufffd\ufffd水", "\uffee\ufffd"]) {
      const text = `${mark}${"a".repeat(padding)}${mark}`;
      assertStrictEquals(decode(codec, encode(codec, text)), text);
    }
  }
});

Deno.test("CBOR refuses trailing bytes", () => {
  refuses("00 00", "trailing", 1);
  refuses("80 80", "trailing", 1);
  refuses("ff", "malformed", 0);
});

Deno.test("CBOR keeps unknown tags and simple values as inert data", () => {
  for (const tag of [4, 5, 6, 14, 21, 25, 27, 28, 29, 35, 51, 83, 105, 256, 262, 280, 0xdff9, 21066]) {
    const tagged = new Tagged(tag, ["Error", "x"]);
    assertEquals(decode(codec, encode(codec, tagged)), tagged);
  }
  assertEquals(fromHex("dbffffffffffffffff00"), new Tagged(2n ** 64n - 1n, 0));
  assertEquals(encode(codec, fromHex("dbffffffffffffffff00")).toHex(), "dbffffffffffffffff00");
  for (const number of [0, 16, 19, 32, 255]) {
    assertEquals(decode(codec, encode(codec, new Simple(number))), new Simple(number));
  }
  for (let number = 0; number < 32; number++) {
    refuses(`f8${number.toString(16).padStart(2, "0")}`, "malformed", 0);
  }
});

Deno.test("CBOR data may be marked as such anywhere (tag 55799), within the limit of depth", () => {
  assertEquals(fromHex("d9d9f7a161618101"), { a: [1] });
  assertEquals(fromHex("82d9d9f7d9d9f701d9d9f76161"), [1, "a"]);
  fromHex("d9d9f7".repeat(64) + "00");
  refuses("d9d9f7".repeat(65) + "00", "limit");
});

Deno.test("CBOR never aliases its input", () => {
  const value = [
    new Uint8Array(3),
    new Uint8Array(200),
    Float32Array.of(0),
    new Set([new Uint8Array(1)]),
    "abc",
  ];
  const bytes = encode(codec, value);
  const chunked = Uint8Array.fromHex("5f41004100ff");
  const results = [decode(codec, bytes), decode(codec, chunked)];
  bytes.fill(0x61);
  chunked.fill(0x61);
  assertEquals(results, [value, new Uint8Array(2)]);
  assert((results[0] as Uint8Array[])[1]!.buffer !== bytes.buffer);
});

Deno.test("CBOR limits hold to the item", () => {
  const nested = (depth: number, open: string, end = "") => open.repeat(depth) + "00" + end.repeat(depth);
  for (
    const [open, end] of [["81", ""], ["9f", "ff"], ["a16161", ""], ["bf6161", "ff"], ["c6", ""], [
      "d9010281",
      "",
    ]]
  ) {
    fromHex(nested(64, open!, end));
    const error = refuses(nested(65, open!, end), "limit");
    assertEquals(error.message.includes("more than 64 values within each other"), true);
    assertEquals(
      decode(new CborCodec({ maxDepth: 1 }), Uint8Array.fromHex(nested(1, open!, end))) !== 0,
      true,
    );
    refuses(nested(2, open!, end), "limit", undefined, { maxDepth: 1 });
  }
  fromHex(nested(64, "d90103a16161"));
  refuses(nested(65, "d90103a16161"), "limit");

  const chunks = ["7f61616161ff", "5f41614161ff"];
  for (const hex of [...chunks, "c6c6c600"]) {
    decode(new CborCodec({ maxItems: 3 }), Uint8Array.fromHex(hex));
    refuses(hex, "limit", undefined, { maxItems: 1 });
  }

  fromHex(`c2590400${"ff".repeat(1024)}`);
  refuses(`c2590401${"ff".repeat(1025)}`, "limit", 0);
  refuses("c3420101", "limit", 0, { maxBignumBytes: 1 });

  fromHex(`a1790400${"61".repeat(1024)}00`);
  refuses(`a1790401${"61".repeat(1025)}00`, "limit", 1);
  refuses("a162616100", "limit", 1, { maxKeyBytes: 1 });
  refuses("a142616100", "limit", 1, { maxKeyBytes: 2 });
});

Deno.test("CBOR limits numbers as keys, and charges what takes long to build", () => {
  decode(codec, encode(codec, new Set(Array(4_096).keys())));
  decode(codec, encode(codec, new Set(Array.from({ length: 9_000 }, (_, i) => `${i}`))));
  for (const keys of [[0, 1], [1.5, -1], [2n ** 60n], [2n ** 70n]] as (number | bigint)[][]) {
    const [map, set] = [new Map(keys.map((key) => [key, 1])), new Set(keys)];
    const cost = typeof keys[0] === "number" ? keys.length : keys[0]! < 2n ** 64n ? 2 : 8;
    for (const value of [map, set, [map]]) {
      decode(new CborCodec({ maxNumericKeys: cost }), encode(codec, value));
      refuses(encode(codec, value).toHex(), "limit", undefined, { maxNumericKeys: cost - 1 });
    }
  }
  refuses(encode(codec, [new Set([1, 2]), new Set([1, 2])]).toHex(), "limit", undefined, {
    maxNumericKeys: 3,
  });
  // A byte string counts twice, and 32 bytes of a bignum as two more.
  decode(new CborCodec({ maxItems: 4 }), Uint8Array.fromHex(`c25820${"ff".repeat(32)}`));
  refuses(`c25820${"ff".repeat(32)}`, "limit", undefined, { maxItems: 3 });
});

const row = { a: 1, b: 2, c: 3 };
const COSTS: [name: string, item: (i: number) => unknown, items: number][] = [
  ["number", () => 1, 1 / 64],
  ["boolean", () => true, 1 / 64],
  ["text", () => "text", 1 / 4],
  ["array", () => [], 1 / 4],
  ["row with known keys", () => row, 1 / 4 + 3 / 16],
  ["map with its own key", (i) => ({ [`key ${i}`]: 1 }), 3],
  ["byte string", () => new Uint8Array(1), 2],
  ["tag", () => new Tagged(6, 1), 1],
  ["date", () => new Date(0), 1 + 3 / 4],
  ["Map of one text", () => new Map([["a", 1]]), 1 + 3 / 4 + 7 / 4],
  ["Set of two texts", () => new Set(["a", "b"]), 1 + 1 / 4 + 2 * (7 / 4 + 1 / 4)],
];
const COUNT = 6_400;

Deno.test("CBOR charges values by what they cost, as PROTOCOL.md says", () => {
  for (const [name, item, items] of COSTS) {
    const bytes = encode(codec, Array.from({ length: COUNT }, (_, i) => item(i)));
    decode(new CborCodec({ maxItems: Math.ceil(COUNT * (items + 1 / 64)) + 6 }), bytes);
    const few = Math.floor(COUNT * (items - 1 / 80)) - 2;
    assertThrows(() => decode(new CborCodec({ maxItems: few }), bytes), CborError, "maxItems", name);
  }
});

Deno.test("CBOR warns of a value that a decoder with the same limits rejects because of maxItems", () => {
  const warning = (maxItems: number, value: unknown) =>
    new CborCodec({ maxItems }).encode(value, new ByteBuffer());
  for (const [name, item, items] of COSTS) {
    const value = Array.from({ length: COUNT }, (_, i) => item(i));
    const few = Math.floor(0.85 * COUNT * items);
    assertEquals(warning(few, value), `more than ${few} items (maxItems)`, name);
    assertEquals(warning(Math.ceil(COUNT * (items + 1 / 64)) + 6, value), undefined, name);
  }
  const names = Object.fromEntries(Array.from({ length: COUNT }, (_, i) => [`key ${i}`, 1]));
  assertEquals(warning(2 * COUNT - 100, names), `more than ${2 * COUNT - 100} items (maxItems)`);
  assertEquals(warning(2.1 * COUNT, names), undefined);
  // Of a value within the value nothing is left over.
  const codec = new CborCodec({ maxItems: 10 });
  assertEquals(codec.encode([new Date(0), new Date(1)], new ByteBuffer()), undefined);
  assertEquals(codec.encode(Array(8).fill(new Date(0)), new ByteBuffer()), "more than 10 items (maxItems)");
  assertEquals(codec.encode([new Date(0), new Date(1)], new ByteBuffer()), undefined);
});

Deno.test("CBOR accepts by default what fits into a frame: rows, numbers and lists", () => {
  const row = { id: 1, name: "a", ok: true };
  for (const value of [Array(15_000).fill(row), Array(140_000).fill(row), Array(4_000_000).fill(1)]) {
    const bytes = encode(codec, value);
    assertLess(bytes.length, 4_194_304);
    assertEquals((decode(codec, bytes) as unknown[]).length, value.length);
  }
});

Deno.test("CBOR charges an element of a Set twice, and a key that is an object by its bytes", () => {
  decode(new CborCodec({ maxItems: 5 }), encode(codec, new Set(["a", "b"])));
  refuses(encode(codec, new Set(["a", "b"])).toHex(), "limit", undefined, { maxItems: 4 });
  const key = encode(codec, new Map([["x".repeat(28).split(""), 1]]));
  decode(new CborCodec({ maxItems: 13 }), key);
  refuses(key.toHex(), "limit", undefined, { maxItems: 12 });
  decode(new CborCodec({ maxItems: 2 }), Uint8Array.fromHex("5f40ff"));
  decode(new CborCodec({ maxItems: 3 }), Uint8Array.fromHex("815f40ff"));
  refuses("815fff", "limit", undefined, { maxItems: 1 });
});

Deno.test("CBOR refuses texts that are numbers, as keys or in sets, when thousands of them collide", () => {
  const texts = (count: number, step: number) => Array.from({ length: count }, (_, i) => `${i * step}`);
  for (const step of [4_096, 65_536]) {
    for (const [count, taken] of [[2_400, true], [3_000, false]] as const) {
      const keys = texts(count, step);
      const map = new Map<unknown, number>(keys.map((key) => [key, 1]));
      // The same without a tag, and with a number after it, so that it becomes a Map at the end.
      const entries = keys.flatMap((key) => [...encode(codec, key), 1]);
      const size = [count + 1 >> 8, count + 1 & 255];
      const mixed = Uint8Array.from([0xb9, ...size, ...entries, 0, 1]);
      const tagged = Uint8Array.from([0xd9, 1, 3, 0xb9, ...size, ...entries, 0, 1]);
      const set = Uint8Array.from([0xd9, 1, 2, ...encode(codec, keys)]);
      for (const bytes of [set, tagged, mixed]) {
        if (taken) decode(codec, bytes);
        else refuses(bytes.toHex(), "limit");
      }
      for (const value of [new Set(keys), map]) {
        if (taken) encode(codec, value);
        else assertThrows(() => encode(codec, value), TypeError, "multiples of a power of two");
      }
    }
  }
  // The keys of honest peers do not: numbers in a row, in tens or thousands, and such that are in no table of Maps.
  for (const step of [1, 10, 1_000]) {
    decode(codec, encode(codec, new Set(texts(30_000, step))));
    decode(codec, encode(codec, new Map(texts(30_000, step).map((key) => [key, 1]))));
  }
  decode(codec, encode(codec, texts(90_000, 4_096)));
  decode(codec, encode(codec, new Set(texts(10_000, 4_096).map((text) => `${text}.`))));
});

Deno.test("CborCodec refuses invalid limits by name", () => {
  for (const name of ["maxDepth", "maxItems", "maxBignumBytes", "maxKeyBytes", "maxNumericKeys"]) {
    for (const value of [0, -1, 1.5, NaN, Infinity, "1"]) {
      assertThrows(() => new CborCodec({ [name]: value }), RangeError, name);
    }
    new CborCodec({ [name]: 1 });
  }
  assertThrows(() => new CborCodec({ maxDepth: 1001 }), RangeError, "1 to 1000");
});

Deno.test("CBOR of 1000 levels fits the stack, both ways", () => {
  const deep = new CborCodec({ maxDepth: 1000 });
  let value: unknown = 0;
  for (let i = 0; i < 1000; i++) value = i % 2 === 0 ? { a: value } : [value];
  assertEquals(encode(deep, decode(deep, encode(deep, value))).length, 1 + 500 * 3 + 500);
});
