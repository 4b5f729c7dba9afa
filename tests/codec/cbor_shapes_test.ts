// Predicted keys of maps, runs of numbers and long texts: the fast ways to decode give what the slow ones give.

import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { ByteBuffer } from "../../codec/bytes.ts";
import { CborCodec } from "../../codec/cbor.ts";
import { CborError } from "../../codec/cbor_error.ts";
import { decode, encode } from "../../codec/mod.ts";
import { Random } from "../support/cbor_random.ts";

/** An encoded map with these keys in this order, duplicates included; values are their positions. */
function mapOf(keys: readonly string[]): Uint8Array<ArrayBuffer> {
  const codec = new CborCodec();
  const out = new ByteBuffer();
  out.append(Uint8Array.of(0xa0 | keys.length));
  keys.forEach((key, i) => {
    codec.encode(key, out);
    codec.encode(i, out);
  });
  return out.written();
}

Deno.test("a map decodes the same whatever maps were decoded before", () => {
  const random = new Random(23);
  const used = new CborCodec();
  const names = ["id", "ida", "a", "b", "name", "é", "x".repeat(70), "1", ""];
  for (let i = 0; i < 20_000; i++) {
    const keys = Array.from({ length: random.below(5) }, () =>
      // Some keys are data, which must neither be confused with others nor fill the memory.
      random.below(6) === 0 ? `k${random.below(2_000)}` : random.pick(names));
    const bytes = mapOf(keys);
    if (new Set(keys).size < keys.length) {
      assertThrows(() => decode(used, bytes), CborError, "twice");
    } else {
      assertEquals(decode(used, bytes), Object.fromEntries(keys.map((key, n) => [key, n])));
    }
  }
});

Deno.test("a predicted key is never read beyond the end of the message", () => {
  const codec = new CborCodec();
  const whole = mapOf(["alpha", "beta"]);
  for (let i = 0; i < 3; i++) decode(codec, whole);
  for (let end = 1; end < whole.length; end++) {
    assertThrows(() => codec.decode(whole, 0, end), CborError, "ends inside");
  }
});

Deno.test("a duplicate key is rejected each time, also if its map begins as earlier ones", () => {
  const codec = new CborCodec();
  for (let i = 0; i < 20; i++) {
    assertEquals(decode(codec, mapOf(["a", "b", "c"])), { a: 0, b: 1, c: 2 });
    assertThrows(() => decode(codec, mapOf(["a", "b", "a"])), CborError, "twice");
    assertThrows(() => decode(codec, mapOf(["a", "b", "c", "b"])), CborError, "twice");
    assertThrows(() => decode(codec, mapOf(["a", "__proto__"])), CborError, "__proto__");
    // The same key, once with a longer head.
    const longer = Uint8Array.of(0xa2, 0x61, 0x61, 0, 0x78, 1, 0x61, 1);
    assertThrows(() => decode(codec, longer), CborError, "twice");
  }
});

Deno.test("limits apply to maps with predicted keys", () => {
  const rows = (count: number) =>
    encode(new CborCodec(), Array.from({ length: count }, () => ({ a: 1, b: 2 })));
  const nested = encode(new CborCodec(), { a: { a: { a: 1 } } });
  const codec = new CborCodec({ maxItems: 8, maxDepth: 2 });
  for (let i = 0; i < 5; i++) {
    assertEquals((decode(codec, rows(10)) as unknown[]).length, 10);
    assertThrows(() => decode(codec, rows(30)), CborError, "maxItems");
    assertThrows(() => decode(codec, nested), CborError, "maxDepth");
  }
});

Deno.test("maps of indefinite length, and maps that become a Map midway, may have predicted keys", () => {
  const codec = new CborCodec();
  for (let i = 0; i < 5; i++) {
    assertEquals(decode(codec, mapOf(["a", "b"])), { a: 0, b: 1 });
    assertEquals(decode(codec, Uint8Array.fromHex("bf616100616201ff")), { a: 0, b: 1 });
    assertEquals(
      decode(codec, Uint8Array.fromHex("a2616100" + "0101")),
      new Map<unknown, unknown>([["a", 0], [1, 1]]),
    );
  }
});

Deno.test("maps with known keys are charged as such, whatever other maps are between and before them", () => {
  const row = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`field${i}`, i]));
  const own = (i: number) => ({ [`name${i}`]: 1 });
  const kind = (i: number) => ({ type: i, [`a${i}`]: 1, [`b${i}`]: 2 });
  const wide = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`column${i}`, i]));
  const cases: [name: string, values: unknown[], items: number][] = [
    // 20 keys at 1/16 and the map; the first two rows at 2 items a key.
    [
      "rows after maps of their own keys",
      [...range(500, own), ...range(500, () => row)],
      500 * 3 + 500 * 1.5 + 84,
    ],
    ["rows between such maps", range(500, (i) => [own(i), row]), 500 * (3 + 1.5 + 0.3) + 84],
    ["rows of 32 kinds", range(2_000, (i) => kind(i * 7 % 32)), 2_000 * 0.46 + 2 * 32 * 5],
    ["rows of 256 columns", range(100, () => wide), 100 * 16.5 + 2 * 256 * 2],
  ];
  for (const [name, values, items] of cases) {
    const bytes = encode(new CborCodec({ maxItems: 1_000_000 }), values);
    const codec = new CborCodec({ maxItems: Math.ceil(items) });
    assertEquals((decode(codec, bytes) as unknown[]).length, values.length, name);
    const few = new CborCodec({ maxItems: Math.floor(items / 1.35) });
    assertThrows(() => decode(few, bytes), CborError, "maxItems", name);
  }
});

function range<T>(length: number, item: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => item(i));
}

Deno.test("numbers of every width are decoded the same in arrays of numbers as elsewhere", () => {
  const codec = new CborCodec();
  const numbers = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]
    .flatMap((n) => [n, -1 - n, n + 0.5]).filter((n) => n >= Number.MIN_SAFE_INTEGER);
  for (const mixed of [numbers, [...numbers, "text", ...numbers], ["text", ...numbers]]) {
    const bytes = encode(codec, mixed);
    assertEquals(decode(codec, bytes), mixed);
    // In a view of a larger buffer.
    const within = new Uint8Array(bytes.length + 11);
    within.set(bytes, 7);
    assertEquals(codec.decode(within.subarray(3), 4, 4 + bytes.length), mixed);
    for (let end = 1; end < bytes.length; end++) {
      assertThrows(() => codec.decode(bytes, 0, end), CborError, "ends inside");
    }
  }
});

Deno.test("text of every length is decoded, and rejected if it is not UTF-8", () => {
  const codec = new CborCodec();
  for (let length = 0; length < 600; length++) {
    for (const fill of ["a", "é", "漢", "😀", "\ufffd", "\ufeff"]) {
      const text = fill.repeat(length).slice(0, fill.length * length);
      assertEquals(decode(codec, encode(codec, text)), text);
    }
    if (length === 0) continue;
    for (const at of [0, length >> 1, length - 1]) {
      const bytes = encode(codec, "a".repeat(length));
      bytes[bytes.length - length + at] = 0xff;
      assertThrows(() => decode(codec, bytes), CborError, "UTF-8");
    }
  }
});

Deno.test("a kept text does not keep its message", () => {
  const codec = new CborCodec();
  const kept: unknown[] = [];
  const before = Deno.memoryUsage();
  // Short, sliced and long text, ASCII and not, each at the end of a message of 1 MiB.
  for (let i = 0; i < 300; i++) {
    const text = (i % 2 === 0 ? "a" : "é").repeat([12, 100, 2_000][i % 3]!) + i;
    kept.push((decode(codec, encode(codec, [new Uint8Array(1_048_576), text])) as unknown[])[1]);
  }
  const after = Deno.memoryUsage();
  assertEquals(kept.length, 300);
  assertLess(after.heapUsed + after.external - before.heapUsed - before.external, 150 * 1_048_576);
});

Deno.test("records of many fields are ordinary objects, in their order", () => {
  const codec = new CborCodec();
  const row = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`field${i}`, i]));
  for (let i = 0; i < 4; i++) {
    const [first, second] = decode(codec, encode(codec, [row, row])) as object[];
    assertEquals(Object.entries(first!), Object.entries(row));
    assertEquals(Object.entries(second!), Object.entries(row));
    assertEquals(Object.getPrototypeOf(first), Object.prototype);
  }
});
