// Messages made to cost much for few bytes, each of which brought some CBOR library down: every one is refused,
// soon, and with little memory. And what random damage does to good messages.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { CborCodec, CborError, decode, encode } from "../../codec/mod.ts";
import { Random, randomValue } from "../support/cbor_random.ts";
import { assertLinear } from "../support/growth.ts";

const hex = (text: string) => Uint8Array.fromHex(text.replaceAll(" ", ""));
const repeated = (text: string, count: number, before = "", after = "") =>
  hex(before + text.replaceAll(" ", "").repeat(count) + after);

function colliding(before: string, count: number, after: string): Uint8Array {
  const bignums = Array.from(
    { length: count },
    (_, i) => `c24c01${(i + 1).toString(16).padStart(6, "0")}${"01".repeat(8)}`,
  );
  return hex(before + bignums.map((each) => each + after).join(""));
}

const HOSTILE: Record<string, Uint8Array> = {
  "bytes of 2^32-1 whose end wraps around": hex(`83 63616263 5afffffffb ${"00".repeat(38)}`),
  "20 nested arrays of 2^25": repeated("9a01ffffff", 20),
  "13000 nested arrays of 65535": repeated("9a0000ffff", 13_000),
  "a million nested arrays": repeated("81", 1_000_000, "", "00"),
  "a million nested endless arrays": repeated("9f", 1_000_000),
  "a million nested maps": repeated("a1", 1_000_000, "", "00"),
  "a million nested keys": repeated("a1 6161", 1_000_000, "", "00"),
  "a million nested tags": repeated("c6", 1_000_000, "", "00"),
  "a million nested dates": repeated("c1", 1_000_000, "", "00"),
  "a million nested bignums": repeated("c2", 1_000_000, "", "40"),
  "a million nested sets": repeated("d90102 81", 1_000_000, "", "00"),
  "a million nested Maps": repeated("d90103 a1", 1_000_000, "", "00"),
  "a bignum of 1 MiB": hex(`c25a00100000${"ff".repeat(1 << 20)}`),
  "a bignum of a million chunks": repeated("41ff", 1_000_000, "c25f", "ff"),
  "a million empty chunks of bytes": repeated("40", 1_000_000, "5f", "ff"),
  "a million empty chunks of text": repeated("60", 1_000_000, "7f", "ff"),
  "a million empty byte strings": repeated("40", 1_000_000, "9a000f4240"),
  "a million empty maps": repeated("a0", 1_000_000, "9f", "ff"),
  "a Map of a million keys": repeated("81 00 00", 1_000_000, "ba000f4240"),
  // V8 hashes the lowest 64 bits of a bigint: all of these collide, and took up to seven seconds.
  "33000 keys of a Map that collide": colliding("d90103 b980e8", 33_000, "00"),
  "20000 elements of a Set that collide": colliding("d90102 994e20", 20_000, ""),
  "a break as an item": hex("81ff"),
  "a break as a value": hex("bf6161ff"),
  "a key of a million": hex(`a17a000f4240${"61".repeat(1_000_000)}00`),
};
for (const length of ["1a02000000", "1a7fffffff", "1affffffff", "1b0000000100000000", "1b001fffffffffffff"]) {
  for (const major of [0x40, 0x60, 0x80, 0xa0]) {
    const bytes = Uint8Array.fromHex(length);
    bytes[0] = bytes[0]! | major;
    HOSTILE[`a length alone: ${bytes.toHex()}`] = bytes;
  }
}

for (const [name, message] of Object.entries(HOSTILE)) {
  Deno.test(`CBOR refuses at once: ${name}`, () => {
    const codec = new CborCodec();
    decode(codec, Uint8Array.of(0xf6));
    const heap = Deno.memoryUsage();
    // How long it takes, `deno task fuzz --target=worst` measures.
    assertThrows(() => decode(codec, message), CborError);
    const after = Deno.memoryUsage();
    const grown = after.heapUsed + after.external - heap.heapUsed - heap.external;
    assert(grown < 32 << 20, `${grown} bytes`);
  });
}

Deno.test("CBOR with many equal or unequal keys takes linear time", () => {
  const codec = new CborCodec();
  const wide = Object.fromEntries(Array.from({ length: 49_000 }, (_, i) => [`key${i}`, i]));
  const bytes = encode(codec, wide);
  assertEquals(Object.keys(decode(codec, bytes) as object).length, 49_000);
  const same = (size: number) => repeated("616100", size, `ba${size.toString(16).padStart(8, "0")}`);
  assertThrows(() => decode(codec, same(49_000)), CborError, "key twice");
  assertLinear((size) => assertThrows(() => decode(codec, same(size)), CborError), 6_000);
  const keys = (size: number) => Object.fromEntries(Array.from({ length: size }, (_, i) => [`key${i}`, i]));
  const messages = new Map([6_000, 48_000].map((size) => [size, encode(codec, keys(size))]));
  assertLinear((size) => decode(codec, messages.get(size)!), 6_000);
});

Deno.test("CBOR throws only CborError for 200 000 damaged messages, and still works", () => {
  const random = new Random(0x7200d0);
  const codec = new CborCodec();
  const probe = { a: 1, b: ["x", new Map([[1, 2]])] };
  let message = Uint8Array.of(0);
  let accepted = 0;
  for (let i = 0; i < 200_000; i++) {
    if (i % 20 === 0) message = encode(codec, randomValue(random, 3));
    const damaged = damage(random, message);
    try {
      const value = decode(codec, damaged);
      accepted++;
      if (i % 16 === 0) encode(codec, value);
    } catch (error) {
      if (!(error instanceof CborError)) throw new Error(`${damaged.toHex()}: ${error}`);
      assert(error.offset >= 0 && error.offset <= damaged.length, damaged.toHex());
    }
  }
  assert(accepted > 1000);
  assertEquals(decode(codec, encode(codec, probe)), probe);
});

function damage(random: Random, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(message);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(bytes.length);
    const how = random.below(4);
    if (how === 0) bytes[at] = random.below(256);
    else if (how === 1) bytes[at] = bytes[at]! ^ 1 << random.below(8);
    else if (how === 2) bytes.copyWithin(at, random.below(bytes.length));
    else return bytes.slice(0, at);
  }
  return bytes;
}
