// What the CBOR encoder writes, byte for byte, what it refuses and where it says that is, and that user code which
// runs meanwhile cannot disturb it.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ByteBuffer, CborCodec, decode, encode, Simple, Tagged } from "../../codec/mod.ts";

const codec = new CborCodec();
const hex = (value: unknown) => encode(codec, value).toHex();

function refuses(value: unknown, message: string): void {
  const error = assertThrows(() => encode(codec, value), TypeError);
  assertEquals(error.message, message);
  assertEquals(hex([1]), "8101");
}

Deno.test("CBOR numbers: safe integers as integers, others as float64", () => {
  const expected: [number, string][] = [
    [0, "00"],
    [23, "17"],
    [24, "1818"],
    [255, "18ff"],
    [256, "190100"],
    [65535, "19ffff"],
    [65536, "1a00010000"],
    [4294967295, "1affffffff"],
    [4294967296, "1b0000000100000000"],
    [Number.MAX_SAFE_INTEGER, "1b001fffffffffffff"],
    [-1, "20"],
    [-24, "37"],
    [-25, "3818"],
    [-4294967296, "3affffffff"],
    [-4294967297, "3b0000000100000000"],
    [Number.MIN_SAFE_INTEGER, "3b001ffffffffffffe"],
    [2 ** 53, "fb4340000000000000"],
    [-0, "fb8000000000000000"],
    [1.5, "fb3ff8000000000000"],
    [NaN, "fb7ff8000000000000"],
    [-Infinity, "fbfff0000000000000"],
  ];
  for (const [value, bytes] of expected) assertEquals(hex(value), bytes, String(value));
});

Deno.test("CBOR bigints: encoded as integers from 2^53 to 2^64, as bignums otherwise", () => {
  assertEquals(hex(5n), "c24105");
  assertEquals(hex(0n), "c24100");
  assertEquals(hex(-1n), "c34100");
  assertEquals(hex(-5n), "c34104");
  assertEquals(hex(2n ** 53n - 1n), "c2471fffffffffffff");
  assertEquals(hex(2n ** 53n), "1b0020000000000000");
  assertEquals(hex(-(2n ** 53n)), "3b001fffffffffffff");
  assertEquals(hex(2n ** 64n - 1n), "1bffffffffffffffff");
  assertEquals(hex(2n ** 64n), "c249010000000000000000");
  assertEquals(hex(-(2n ** 64n)), "3bffffffffffffffff");
  assertEquals(hex(-(2n ** 64n) - 1n), "c349010000000000000000");
});

Deno.test("CBOR text: the length in the head counts UTF-8 bytes", () => {
  for (const unit of ["a", "ü", "水", "😀"]) {
    for (let count = 0; count < 300; count++) {
      const text = unit.repeat(count);
      const utf8 = new TextEncoder().encode(text);
      const bytes = encode(codec, text);
      const head = utf8.length < 24 ? 1 : utf8.length < 256 ? 2 : 3;
      assertEquals(bytes.length, head + utf8.length);
      assertEquals(bytes.subarray(head), utf8);
      assertEquals(decode(codec, bytes), text);
    }
  }
  const long = `${"a".repeat(70_000)}${"水".repeat(70_000)}`;
  assertEquals(decode(codec, encode(codec, long)), long);
});

Deno.test("CBOR bytes, dates, maps, sets and typed arrays", () => {
  assertEquals(hex(Uint8Array.of(1, 2)), "420102");
  assertEquals(hex(new Uint8Array(24)), `5818${"00".repeat(24)}`);
  assertEquals(hex(Uint8Array.of(1, 2, 3, 4).subarray(1, 3)), "420203");
  assertEquals(hex(Int8Array.of(-1)), "d84841ff");
  assertEquals(hex(Uint8ClampedArray.of(1)), "d8444101");
  assertEquals(hex(Float32Array.of(1.5)), "d855440000c03f");
  assertEquals(hex(Float16Array.of(1)), "d85442003c");
  assertEquals(hex(new Date(1000)), "c101");
  assertEquals(hex(new Date(1500)), "c1fb3ff8000000000000");
  assertEquals(hex(new Map([["a", 1]])), "d90103a1616101");
  assertEquals(hex(new Set([1, 2])), "d90102820102");
  assertEquals(hex(new Tagged(32, "a")), "d8206161");
  assertEquals(hex(new Simple(255)), "f8ff");
  for (const size of [23, 24, 255, 256, 65_536]) {
    const numbers = Array.from({ length: size }, (_, i) => i);
    const object = Object.fromEntries(numbers.map((i) => [`k${i}`, i]));
    for (const value of [numbers, object, new Set(numbers), new Map(numbers.map((i) => [i, i]))]) {
      const large = new CborCodec({ maxItems: 200_000, maxNumericKeys: 200_000 });
      const back = decode(large, encode(large, value));
      if (size < 1000) assertEquals(back, value);
      assertEquals(encode(large, back), encode(large, value));
    }
  }
});

Deno.test("CBOR objects: own enumerable properties of text keys, undefined ones too", () => {
  assertEquals(hex({ a: undefined }), "a16161f7");
  assertEquals(hex({ [Symbol()]: 1, a: 1 }), "a1616101");
  assertEquals(hex(Object.defineProperty({}, "a", { value: 1 })), "a0");
  assertEquals(hex(Object.assign(Object.create(null), { a: 1 })), "a1616101");
  assertEquals(hex({ toJSON: null }), "a166746f4a534f4ef6");
  assertEquals(hex([, 1]), "82f701");
  Reflect.set(Object.prototype, "inherited", 1);
  try {
    assertEquals(hex({ a: { b: 1 } }), "a16161a1616201");
    assertEquals(decode(codec, Uint8Array.fromHex("a2616101616202")), { a: 1, b: 2 });
  } finally {
    Reflect.deleteProperty(Object.prototype, "inherited");
  }
});

Deno.test("CBOR refuses values that it cannot carry, and says where", () => {
  class Point {}
  const at = (path: string, reason: string) =>
    `Cannot encode value${path && ` at ${path}`} as CBOR: ${reason}`;
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const none = "more than 64 levels of nesting (maxDepth); is the value cyclic?";
  refuses({ items: [0, 1, 2, { fn() {} }] }, at(".items[3].fn", "functions are not supported"));
  refuses(() => 1, at("", "functions are not supported"));
  refuses([Symbol()], at("[0]", "symbols are not supported"));
  refuses({ "a b": { 0: new Date(NaN) } }, at('["a b"]["0"]', "invalid dates are not supported"));
  refuses({ a: new Point() }, at(".a", "instances of Point are not supported"));
  refuses({ a: new (class {})() }, at(".a", "instances of an unnamed class are not supported"));
  refuses(Object.create({}), at("", "instances of Object are not supported"));
  refuses(/x/, at("", "instances of RegExp are not supported"));
  refuses(new Error(), at("", "instances of Error are not supported"));
  refuses(new DataView(new ArrayBuffer(1)), at("", "instances of DataView are not supported"));
  refuses(new SharedArrayBuffer(1), at("", "instances of SharedArrayBuffer are not supported"));
  refuses({ a: "\ud800" }, at(".a", "text with a lone surrogate is not supported"));
  refuses(["x\udc00y"], at("[0]", "text with a lone surrogate is not supported"));
  refuses(["\ud800".padStart(300)], at("[0]", "text with a lone surrogate is not supported"));
  refuses({ a: { "\udc00": 1 } }, at('.a["\\udc00"]', "text with a lone surrogate is not supported"));
  refuses({ ["__proto__"]: 1 }, at(".__proto__", "a property of this name is not allowed"));
  refuses(new Map([["k", Symbol()]]), at(".k", "symbols are not supported"));
  refuses([new Set([1, Symbol()])], at("[0][1]", "symbols are not supported"));
  refuses(new Tagged(6, [Symbol()]), at(".value[0]", "symbols are not supported"));
  refuses(cycle, at(".self.self.self… (64 levels)", none));
});

Deno.test("CBOR refuses what a decoder with the same limits would, and says where", () => {
  const at = (path: string, reason: string) => `Cannot encode value at ${path} as CBOR: ${reason}`;
  const equal = "two keys of the map are equal once they are encoded";
  refuses({ m: new Map([[{ a: 1 }, 1], [{ a: 2 }, 2], [{ a: 1 }, 3]]) }, at(".m[2]", equal));
  refuses({ m: new Map([[new Date(5), 1], [new Date(5), 2]]) }, at(".m[1]", equal));
  refuses([new Map([[Uint8Array.of(1), 1], [Uint8Array.of(1), 2]])], at("[0][1]", equal));
  assertEquals(hex(new Set([[], []])), "d90102828080");

  const numbers = Array.from({ length: 4_097 }, (_, i) => i);
  const many = "more than 4096 numbers as keys or in sets (maxNumericKeys)";
  refuses({ s: new Set(numbers) }, at(".s[4096]", many));
  refuses({ s: new Map(numbers.map((i) => [i, i])) }, at(".s[4096]", many));
  refuses([new Set(numbers.slice(1)), new Set([1])], at("[1][0]", many));
  hex(new Set(numbers.slice(1)));
  hex(new Set(numbers.slice(1)));

  const long = "a key is longer than 1024 bytes (maxKeyBytes)";
  const key = "é".repeat(512);
  decode(codec, encode(codec, [{ [key]: 1 }, new Map([[key, 1]])]));
  const shown = `[0].${key}`.slice(0, 200);
  refuses([{ [`${key}a`]: 1 }], at(`${shown}…`, long));
  refuses([new Map([[`${key}a`, 1]])], at(`${shown}…`, long));
  refuses([new Map([[Array(1_024).fill(1), 1]])], at("[0][0]", long));
  const short = new CborCodec({ maxKeyBytes: 2 });
  assertEquals(decode(short, encode(short, { ab: 1, é: 2 })), { ab: 1, é: 2 });
  assertThrows(() => encode(short, { abc: 1 }), TypeError, "at .abc as CBOR: a key is longer than 2 bytes");

  const integer = "an integer is longer than 1024 bytes (maxBignumBytes)";
  assertEquals(decode(codec, encode(codec, 2n ** 8191n)), 2n ** 8191n);
  refuses([2n ** 8192n], at("[0]", integer));
  refuses([-(2n ** 8192n) - 1n], at("[0]", integer));

  for (const tag of [0, 1, 2, 3, 64, 86, 258, 259, 258n, 55_799]) {
    refuses({ t: new Tagged(tag, []) }, at(".t", `tag ${tag} is for another class of values than Tagged`));
  }
});

Deno.test("CBOR encodes 64 levels and no more", () => {
  const nested = (depth: number, wrap: (value: unknown) => unknown) => {
    let value: unknown = 0;
    for (let i = 0; i < depth; i++) value = wrap(value);
    return value;
  };
  const wraps: ((value: unknown) => unknown)[] = [
    (value) => [value],
    (value) => ({ value }),
    (value) => new Map([[1, value]]),
    (value) => new Set([value]),
    (value) => new Tagged(6, value),
  ];
  for (const wrap of wraps) {
    const value = nested(64, wrap);
    assertEquals(encode(codec, decode(codec, encode(codec, value))), encode(codec, value));
    assertThrows(() => encode(codec, nested(65, wrap)), TypeError, "more than 64");
  }
});

Deno.test("CBOR stays correct if user code encodes meanwhile, throws, or changes what is encoded", () => {
  const inner = { x: "y".repeat(2000), list: [1, 2, 3] };
  let expected = "";
  const outer = {
    before: 1.5,
    get during() {
      expected = hex(inner);
      return decode(codec, encode(codec, inner));
    },
    after: "z",
  };
  assertEquals(decode(codec, encode(codec, outer)), { before: 1.5, during: inner, after: "z" });
  assertEquals(hex(inner), expected);

  const failing = {
    get a() {
      throw new SyntaxError("mine");
    },
  };
  assertThrows(() => hex([failing]), SyntaxError, "mine");
  assertEquals(hex([1]), "8101");

  const shrinking = {
    list: [1, 2, {
      get z() {
        shrinking.list.length = 1;
        delete shrinking.gone;
        return 0;
      },
    }, 4],
    gone: 1 as number | undefined,
  };
  assertEquals(decode(codec, encode(codec, shrinking)), { list: [1, 2, { z: 0 }, undefined] });

  const growing = new Map<unknown, unknown>([[1, {
    get z() {
      growing.set(2, 3);
      return 0;
    },
  }]]);
  assertEquals(decode(codec, encode(codec, growing)), new Map<unknown, unknown>([[1, { z: 0 }], [2, 3]]));

  for (const length of ["2", 2.5, -(2 ** 32) + 2]) {
    const lying = new Proxy([7, 8], {
      get: (array, key) => key === "length" ? length : Reflect.get(array, key),
    });
    assertEquals(hex(lying), "820708");
  }
});

Deno.test("CBOR is appended to the bytes already in the buffer", () => {
  const out = new ByteBuffer(4);
  for (const value of [1, "ab", { a: [new Uint8Array(100)] }]) codec.encode(value, out);
  assertEquals(out.written().toHex(), `01626162a16161815864${"00".repeat(100)}`);
});

Deno.test("CBOR encodes a date exactly or rejects it", () => {
  let rejected = 0;
  for (let exponent = 30; exponent <= 52; exponent += 0.01) {
    for (const sign of [1, -1]) {
      const date = new Date(sign * Math.floor(2 ** exponent) + sign);
      try {
        assertEquals(decode(codec, encode(codec, date)), date);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        rejected++;
      }
    }
  }
  // Only dates some 140 000 years from now.
  assert(rejected > 0 && rejected < 10, `${rejected} rejected`);
});
