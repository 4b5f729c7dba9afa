// What the JSON codec carries, refuses and bounds, with a case of RFC 8259 or RFC 3629 for each refusal.

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { ByteBuffer, decode, encode, JsonCodec } from "../../codec/mod.ts";
import { assertLinear } from "../support/growth.ts";

const codec = new JsonCodec();
const text = (value: unknown) => new TextDecoder().decode(encode(codec, value));
const parse = (text: string) => decode(codec, new TextEncoder().encode(text));

function refuses(value: unknown, message: string): void {
  const error = assertThrows(() => encode(codec, value), TypeError);
  assertEquals(error.message, message);
}

Deno.test("JSON carries what JSON can", () => {
  const values = [null, true, 0, -1.5, 1e300, "", "水 😀 \u0000 \ud800", [], {}, [1, [2, { a: [null] }]], {
    "": 1,
  }];
  for (const value of [...values, values, { constructor: 1, toString: { a: 1 } }, "a".repeat(10_000)]) {
    assertEquals(decode(codec, encode(codec, value)), value);
    assertEquals(text(value), JSON.stringify(value));
  }
  assertEquals(text({ a: undefined, b: 1, [Symbol()]: 2 }), '{"b":1}');
  assertEquals(text(Object.assign(Object.create(null), { a: 1 })), '{"a":1}');
  assertEquals(text(-0), "0");
});

Deno.test("JSON is appended to the bytes already in the buffer, and read from an offset", () => {
  const out = new ByteBuffer(2);
  for (const value of [1, "ü".repeat(100), { a: "水" }]) codec.encode(value, out);
  assertEquals(new TextDecoder().decode(out.written()), `1"${"ü".repeat(100)}"{"a":"水"}`);
  assertEquals(codec.decode(new TextEncoder().encode("xx[1]xx"), 2, 5), [1]);
  assertThrows(() => codec.decode(new TextEncoder().encode("xx[1]xx"), 2, 4), SyntaxError);
});

Deno.test("JSON refuses values that it would change, and says where", () => {
  const at = (path: string, reason: string) =>
    `Cannot encode value${path && ` at ${path}`} as JSON: ${reason}`;
  const cycle: unknown[] = [];
  cycle.push(cycle);
  refuses(undefined, at("", "undefined is not supported"));
  refuses([1, undefined], at("[1]", "undefined is not supported"));
  refuses([, 1], at("[0]", "undefined is not supported"));
  refuses({ a: { b: NaN } }, at(".a.b", "NaN is not supported"));
  refuses(-Infinity, at("", "-Infinity is not supported"));
  refuses({ a: 1n }, at(".a", "bigints are not supported"));
  refuses({ a() {} }, at(".a", "functions are not supported"));
  refuses({ toJSON: () => 1 }, at(".toJSON", "functions are not supported"));
  refuses([Symbol()], at("[0]", "symbols are not supported"));
  refuses({ d: new Date(0) }, at(".d", "instances of Date are not supported"));
  refuses(new Map(), at("", "instances of Map are not supported"));
  refuses(new Set(), at("", "instances of Set are not supported"));
  refuses(new Uint8Array(1), at("", "instances of Uint8Array are not supported"));
  refuses(new Number(1), at("", "instances of Number are not supported"));
  refuses(new (class Point {})(), at("", "instances of Point are not supported"));
  refuses({ ["__proto__"]: 1 }, at(".__proto__", "a property of this name is not allowed"));
  const tooDeep = "too many levels of nesting (maxDepth); is the value cyclic?";
  refuses(cycle, at("[0][0][0]… (64 levels)", tooDeep));
});

Deno.test("JSON leaves errors of user code alone", () => {
  const failing = {
    get a() {
      throw new RangeError("mine");
    },
  };
  assertThrows(() => encode(codec, failing), RangeError, "mine");
});

Deno.test("JSON refuses what is not one text of strict UTF-8", () => {
  for (
    const wrong of [
      "",
      " ",
      "{",
      "[1,]",
      "1 2",
      "{} []",
      "nul",
      "'a'",
      "[01]",
      "NaN",
      "\ufeff1",
      '"\n"',
      '"\\x"',
    ]
  ) {
    assertThrows(() => parse(wrong), SyntaxError, "Cannot decode JSON: ", wrong);
  }
  for (const hex of ["22c32822", "22eda08022", "22c08022", "22f490808022", "2280", "ff"]) {
    assertThrows(() => decode(codec, Uint8Array.fromHex(hex)), SyntaxError, "not valid UTF-8", hex);
  }
});

Deno.test("JSON takes the last of members with the same name, but none named __proto__", () => {
  assertEquals(parse('{"a":1,"a":2}'), { a: 2 });
  const names = ["__proto__", "\\u005f_proto__", "__pr\\u006fto__"];
  for (const name of names) {
    for (const wrong of [`{"${name}":1}`, `[{"a":{"${name}":{"x":1}}}]`]) {
      assertThrows(() => parse(wrong), SyntaxError, "the name __proto__ is not allowed");
    }
  }
  assertEquals(parse('["__proto__",{"a":"__proto__"}]'), ["__proto__", { a: "__proto__" }]);
  const escaped = [..."__proto__"].map((c) => `\\u00${c.charCodeAt(0).toString(16).toUpperCase()}`).join("");
  assertThrows(() => parse(`{"${escaped}" \n: 1}`), SyntaxError, "the name __proto__ is not allowed");
  for (
    const name of ["__proto_", "__proto___", "___proto__", "\\\\u005f_proto__", '\\"__proto__', "\\n__proto_"]
  ) {
    assertEquals(Object.keys(parse(`{"a":"__proto__","${name}":1}`) as object), [
      "a",
      JSON.parse(`"${name}"`),
    ]);
  }
  const decoded = parse('{"a":"\\u0041","constructor":1}') as object;
  assertStrictEquals(Object.getPrototypeOf(decoded), Object.prototype);
});

Deno.test("JSON limits hold to the item", () => {
  for (const [open, close] of [["[", "]"], ['{"a":', "}"]]) {
    const nested = (depth: number) => `${open!.repeat(depth)}1${close!.repeat(depth)}`;
    assertEquals(text(parse(nested(64))), nested(64));
    assertThrows(() => parse(nested(65)), SyntaxError, "more than 64");
    assertThrows(() => encode(codec, JSON.parse(nested(65))), TypeError, "too many levels of nesting");
    decode(new JsonCodec({ maxDepth: 1 }), new TextEncoder().encode(nested(1)));
  }
  assertThrows(() => parse("[".repeat(4_000_000)), SyntaxError, "more than 64");
  assertThrows(() => parse(`[${"[],".repeat(1_000_000)}1]`), SyntaxError, "100000 items");
  assertLinear((size) => assertThrows(() => parse("[".repeat(size))), 500_000);
  assertLinear((size) => assertThrows(() => parse(`[${"[],".repeat(size)}1]`)), 125_000);
  assertEquals(parse(`"${"[{,:".repeat(50_000)}\\"["`), `${"[{,:".repeat(50_000)}"[`);
  const three = new TextEncoder().encode("[1,{}]");
  assertEquals(decode(new JsonCodec({ maxItems: 3 }), three), [1, {}]);
  assertThrows(() => decode(new JsonCodec({ maxItems: 2 }), three), SyntaxError, "2 items");
  for (
    const [value, items] of [[[1, {}], 3], [{ a: [1, 2], b: "x", c: undefined }, 6], [5, 0], [[], 1]] as const
  ) {
    const warnings = [items - 1, items].map((maxItems) =>
      maxItems > 0 ? new JsonCodec({ maxItems }).encode(value, new ByteBuffer()) : undefined
    );
    assertEquals(warnings, [items > 1 ? `more than ${items - 1} items (maxItems)` : undefined, undefined]);
    if (items > 1) {
      assertThrows(() => decode(new JsonCodec({ maxItems: items - 1 }), encode(new JsonCodec(), value)));
    }
  }
  for (const name of ["maxDepth", "maxItems"]) {
    for (const value of [0, -1, 1.5, NaN]) {
      assertThrows(() => new JsonCodec({ [name]: value }), RangeError, name);
    }
  }
});

Deno.test("JSON refuses texts that are numbers when thousands of them collide, or there are very many", () => {
  const list = (count: number, text: (i: number) => string) =>
    `[${Array.from({ length: count }, (_, i) => `"${text(i)}"`).join(",")}]`;
  const MESSAGE = "too many texts are integers";
  for (const escape of ["", "\\u0031"]) {
    parse(list(2_400, (i) => `${escape}${i * 4_096}`));
    assertThrows(() => parse(list(3_000, (i) => `${escape}${i * 4_096}`)), SyntaxError, MESSAGE);
  }
  parse(list(60_000, (i) => `${i}`));
  assertThrows(() => parse(list(70_000, (i) => `${i}`)), SyntaxError, MESSAGE);
  // Longer ones, such with anything else in them, and numbers that are no texts have no part in it.
  parse(list(70_000, (i) => `${i}.`));
  parse(list(70_000, (i) => `${10_000_000_000 + i * 4_096}`));
  parse(JSON.stringify(Array.from({ length: 70_000 }, (_, i) => i * 4_096)));
});
