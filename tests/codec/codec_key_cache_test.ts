// The cache of short texts: whatever is in it, a text comes out as its bytes say.

import { assertEquals, assertStrictEquals } from "@std/assert";
import { KeyCache } from "../../codec/key_cache.ts";
import { Random, randomText } from "../support/cbor_random.ts";

const utf8 = new TextEncoder();

Deno.test("KeyCache returns the text of the bytes, independent of earlier texts", () => {
  const random = new Random(3);
  const cache = new KeyCache();
  const texts = Array.from({ length: 3000 }, () => randomText(random));
  for (let i = 0; i < 30_000; i++) {
    const text = texts[random.below(random.pick([10, texts.length]))]!;
    const bytes = utf8.encode(`<${text}>`);
    assertStrictEquals(cache.get(bytes, 1, bytes.length - 1), text);
  }
});

Deno.test("KeyCache tells apart texts of the same slot and refuses invalid UTF-8", () => {
  const cache = new KeyCache();
  const get = (bytes: Uint8Array) => cache.get(bytes, 0, bytes.length);
  // The same length, and the same bytes at both ends, the middle and the quarter.
  const texts = ["axbcdefg", "aybcdefg", "azbcdefg"];
  for (let i = 0; i < 300; i++) {
    const text = texts[i % 7 % 3]!;
    assertEquals(get(utf8.encode(text)), text);
  }
  for (let i = 0; i < 3; i++) {
    assertEquals(get(Uint8Array.of(0x61, 0xff)), undefined);
    assertEquals(get(utf8.encode("é")), "é");
    assertEquals(get(new Uint8Array(0)), "");
    assertEquals(get(new Uint8Array(100).fill(0x61)), "a".repeat(100));
  }
});
