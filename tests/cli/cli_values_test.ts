// Values as the command line prints and reads them.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { CborCodec, decode, encode, Simple, Tagged } from "../../codec/mod.ts";
import { parseValue } from "../../cli/parse_value.ts";
import { printValue } from "../../cli/print_value.ts";
import { printable } from "../../cli/format.ts";
import { UsageError } from "../../cli/usage_error.ts";

const VALUES: [unknown, string][] = [
  [null, "null"],
  [true, "true"],
  [1.5, "1.5"],
  ["ä\n", '"ä\\n"'],
  [[1, [2]], "[1,[2]]"],
  [{ a: { b: 1 } }, '{"a":{"b":1}}'],
  [Uint8Array.of(0, 1, 255), '{"$bytes":"AAH/"}'],
  [new Uint8Array(), '{"$bytes":""}'],
  [new Date(0), '{"$date":"1970-01-01T00:00:00.000Z"}'],
  [12345678901234567890n, '{"$bigint":"12345678901234567890"}'],
  [-1n, '{"$bigint":"-1"}'],
  [2 ** 53, "9.007199254740992e+15"],
  [2 ** 60, "1.152921504606847e+18"],
  [-1e300, "-1e+300"],
  [Float64Array.of(2 ** 60), '{"$Float64Array":[1.152921504606847e+18]}'],
  [NaN, '{"$number":"NaN"}'],
  [-Infinity, '{"$number":"-Infinity"}'],
  [-0, '{"$number":"-0"}'],
  [new Map<unknown, unknown>([[1, "x"], [{ a: 1 }, 2n]]), '{"$map":[[1,"x"],[{"a":1},{"$bigint":"2"}]]}'],
  [new Set([1, "a"]), '{"$set":[1,"a"]}'],
  [Float32Array.of(1.5, NaN, -0), '{"$Float32Array":[1.5,"NaN","-0"]}'],
  [BigInt64Array.of(1n, -2n), '{"$BigInt64Array":["1","-2"]}'],
  [new Tagged(32, "http://example.com"), '{"$tag":[32,"http://example.com"]}'],
  [new Simple(16), '{"$simple":16}'],
  [{ $date: 1 }, '{"$object":{"$date":1}}'],
  [{ $object: { $x: 1 } }, '{"$object":{"$object":{"$object":{"$x":1}}}}'],
  [{ $date: 1, more: 2 }, '{"$date":1,"more":2}'],
  [[{ a: [Uint8Array.of(1)] }], '[{"a":[{"$bytes":"AQ=="}]}]'],
];

Deno.test("cli values: printed values are read back as the same values, as in CBOR", () => {
  const codec = new CborCodec();
  for (const [value, text] of VALUES) {
    assertEquals(printValue(value), text);
    assertEquals(parseValue(text, "It"), value);
    assertEquals(printValue(decode(codec, encode(codec, value))), text);
    assertEquals(parseValue(printValue(value, true), "It"), value);
  }
});

Deno.test("cli values: undefined is printed as null, and left out of objects", () => {
  assertEquals(printValue(undefined), "null");
  assertEquals(printValue([undefined, { a: undefined, b: 1 }]), '[null,{"b":1}]');
});

Deno.test("cli values: nothing that is printed can steer a terminal", () => {
  const text = printValue({ "\x9b31m": "\x1b[2J\x7f\u202e\u2028" });
  assertEquals(text, '{"\\u009b31m":"\\u001b[2J\\u007f\\u202e\\u2028"}');
  assertEquals(JSON.parse(text), { "\x9b31m": "\x1b[2J\x7f\u202e\u2028" });
});

Deno.test("cli values: invisible characters and changes of the writing direction are printed as escapes", () => {
  const hidden = [
    "\u200e",
    "\u200f",
    "\u061c",
    "\u200b",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u2029",
    "\u{e0041}",
  ];
  for (const character of hidden) {
    const value = { [`a${character}`]: `${character}b` };
    const code = character.codePointAt(0)!.toString(16);
    for (const text of [printValue(value), printValue(value, true)]) {
      assertEquals(text.includes(character), false, code);
      assertEquals(JSON.parse(text), value);
    }
    assertEquals(printable(`a${character}b`), `a\\u{${code}}b`);
  }
  // Letters of any script, marks and pictures stay as they are.
  const shown = "Ä 語 שלום e\u0301 🦊";
  assertEquals([printValue(shown), printable(shown)], [`"${shown}"`, shown]);
});

Deno.test("cli values: an element that a typed array cannot hold is refused, and said which", () => {
  const refused = [
    ['{"$Int8Array":[1,300]}', "element 1 of $Int8Array would become 44 instead of 300"],
    ['{"$Uint16Array":[1.5]}', "element 0 of $Uint16Array would become 1 instead of 1.5"],
    ['{"$Uint16Array":[0,0,-1]}', "element 2 of $Uint16Array would become 65535 instead of -1"],
    ['{"$Uint8ClampedArray":[256]}', "element 0 of $Uint8ClampedArray would become 255 instead of 256"],
    ['{"$Int32Array":["NaN"]}', "element 0 of $Int32Array would become 0 instead of NaN"],
    [
      '{"$BigUint64Array":["-1"]}',
      "element 0 of $BigUint64Array would become 18446744073709551615 instead of -1",
    ],
    ['{"$Float16Array":[1e6]}', "element 0 of $Float16Array would become Infinity instead of 1000000"],
    ['{"$Float32Array":[-1e39]}', "element 0 of $Float32Array would become -Infinity instead of -1e+39"],
  ];
  for (const [text, why] of refused) {
    const { message } = assertThrows(() => parseValue(text!, "It"), UsageError);
    assertEquals(message, `It is invalid: ${why}`);
  }
  const taken: [string, unknown][] = [
    ['{"$Int8Array":[-128,127]}', Int8Array.of(-128, 127)],
    ['{"$BigInt64Array":["-9223372036854775808"]}', BigInt64Array.of(-(2n ** 63n))],
    // Floats are as near as they can be, as everywhere.
    ['{"$Float32Array":[0.1,"NaN","-0","Infinity"]}', Float32Array.of(0.1, NaN, -0, Infinity)],
    ['{"$Float16Array":[0.1,65504]}', Float16Array.of(0.1, 65504)],
  ];
  for (const [text, value] of taken) assertEquals(parseValue(text, "It"), value);
});

Deno.test("cli values: no number of 2^53 or more is rounded silently", () => {
  const read: [string, unknown][] = [
    ["9007199254740991", 9007199254740991],
    ["9007199254740992", 9007199254740992n],
    ["-9007199254740993", -9007199254740993n],
    ['{"id": [12345678901234567890, "12345678901234567890"]}', {
      id: [12345678901234567890n, "12345678901234567890"],
    }],
    ["1e20", 1e20],
    ["1E+23", 1e23],
    ["123456789012345678e-2", 1234567890123456.78],
    ["0.12345678901234567890", 0.12345678901234568],
    ['{"$BigUint64Array":[18446744073709551615]}', BigUint64Array.of(2n ** 64n - 1n)],
    ['{"$tag":[18446744073709551615, 1]}', new Tagged(2n ** 64n - 1n, 1)],
  ];
  for (const [text, value] of read) assertEquals(parseValue(text, "It"), value, text);
  const refused: [string, string][] = [
    ["9007199254740993.0", "the number 9007199254740993.0 would become 9007199254740992"],
    ["[123456789012345678e3]", "the number 123456789012345678e3 would become 123456789012345680000"],
    ["-1e400", "the number -1e400 would become -Infinity"],
    ['{"$number":9007199254740993}', "write 9007199254740993 with an exponent"],
    ['{"$date":9007199254740993}', '$date: expected a time such as "2026-01-31T12:00:00Z", got {"$bigint"'],
    ['{"$simple":9007199254740993}', "the number must be 0-19 or 32-255"],
    [`${"[".repeat(100_000)}1e20${"]".repeat(100_000)}`, "at most 1000 deep"],
  ];
  for (const [text, message] of refused) {
    assertStringIncludes(assertThrows(() => parseValue(text, "It"), UsageError).message, message);
  }
});

Deno.test("cli values: other forms that are read", () => {
  assertEquals(parseValue('{"$hex":"00fF"}', "It"), Uint8Array.of(0, 255));
  assertEquals(parseValue('{"$date":86400000}', "It"), new Date(86_400_000));
  assertEquals(parseValue('{"$number":5}', "It"), 5);
  assertEquals(parseValue(' {"a" : 1}\n', "It"), { a: 1 });
  const odd = parseValue('{"__proto__": 1}', "It") as object;
  assertEquals([Object.keys(odd), Object.getPrototypeOf(odd)], [["__proto__"], Object.prototype]);
});

Deno.test("cli values: the error for an invalid value says what was expected", () => {
  const wrong: [string, string][] = [
    ['{"$bytes":"*"}', 'It is invalid: $bytes: expected a string of base64, got "*"'],
    ['{"$bytes":[1]}', "It is invalid: $bytes: expected a string of base64, got [1]"],
    ['{"$hex":"0"}', "$hex: expected a string of hex digits"],
    ['{"$date":"soon"}', '$date: expected a time such as "2026-01-31T12:00:00Z", got "soon"'],
    ['{"$bigint":"1.5"}', "$bigint: expected a string of digits"],
    ['{"$bigint":""}', "$bigint: expected a string of digits"],
    ['{"$number":"five"}', '$number: expected a number, "NaN"'],
    ['{"$map":[[1]]}', "$map: expected pairs"],
    ['{"$map":5}', "$map: expected a list"],
    ['{"$set":{}}', "$set: expected a list"],
    ['{"$tag":[1]}', "$tag: expected a pair"],
    ['{"$tag":["x",1]}', "the tag must be 0 to 2^64 - 1"],
    ['{"$simple":20}', "the number must be 0-19 or 32-255"],
    ['{"$object":[]}', "$object: expected an object"],
    ['{"$BigInt64Array":[1]}', "$BigInt64Array: expected a string of digits, got 1"],
    ['{"$Int8Array":["x"]}', "$Int8Array: expected a number"],
    ['{"a":[{"$dat":"x"}]}', 'unknown form $dat; for a plain object write {"$object": {"$dat": …}}'],
    [`${"[".repeat(1_002)}${"]".repeat(1_002)}`, "at most 1000 deep"],
  ];
  for (const [text, message] of wrong) {
    const error = assertThrows(() => parseValue(text, "It"), Error);
    assertStringIncludes(error.message, message);
  }
});

Deno.test("cli values: where a text stops being JSON is shown", () => {
  const wrong: [string, number, number?][] = [
    ['{"a": 1,}', 9],
    ["{a: 1}", 2],
    ["abc", 1],
    ["'x'", 1],
    ["", 1],
    ['{"a": tru }', 10],
    ["[1, 2", 6],
    ['"abc', 5],
    ['"a\\x"', 4],
    ["01", 2],
    ['{"a":1} x', 9],
    ['{"a" 1}', 6],
    ["[1,\n 2,\n oops]", 2, 3],
    [`["${"x".repeat(500)}",]`, 505],
  ];
  for (const [text, column, line] of wrong) {
    const { message } = assertThrows(() => parseValue(text, "It"), Error);
    const [head, shown, mark] = message.split("\n");
    const where = line === undefined ? `(column ${column})` : `(line ${line}, column ${column})`;
    assert(
      head!.startsWith("It is not valid JSON: ") && head!.endsWith(where),
      `${JSON.stringify(text)}: ${head}`,
    );
    assertEquals(mark!.trimStart(), "^");
    // The mark is below the character.
    const at = mark!.indexOf("^");
    const character = text.split("\n")[(line ?? 1) - 1]![column - 1] ?? "";
    assertEquals(shown!.slice(at, at + 1), character, text);
    assert(shown!.length <= 72);
  }
});

Deno.test("cli values: the error for text without quotes says that quotes are missing", () => {
  const { message } = assertThrows(() => parseValue("Ada Lovelace", "It"), Error);
  assert(
    message.endsWith(`A JSON string needs its own quotes inside the shell's: '"Ada Lovelace"'`),
    message,
  );
});
