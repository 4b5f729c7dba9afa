// Values as JSON for answers over HTTP.

import { assertEquals, assertThrows } from "@std/assert";
import { runInNewContext } from "node:vm";
import { jsonValue, toJson } from "../../web/json_values.ts";

Deno.test("json values: whole numbers, bytes and dates are written as proto3 JSON has them", () => {
  const value = {
    big: 2n ** 63n - 1n,
    bytes: Uint8Array.of(255, 254, 0),
    date: new Date("2026-01-02T03:04:05.678Z"),
    list: [1n, [Uint8Array.of()]],
    plain: { a: null, b: "x", c: true, d: 1.5 },
  };
  assertEquals(JSON.parse(toJson(value)), {
    big: "9223372036854775807",
    bytes: "//4A",
    date: "2026-01-02T03:04:05.678Z",
    list: ["1", [""]],
    plain: { a: null, b: "x", c: true, d: 1.5 },
  });
});

Deno.test("json values: what needs no conversion is not copied, and what does is not changed", () => {
  const plain = { a: [{ b: 1 }] };
  assertEquals(jsonValue(plain) === plain, true);
  const mixed = { a: plain, n: 1n, left: undefined };
  const json = jsonValue(mixed) as typeof mixed;
  assertEquals([json.a === plain, mixed.n, JSON.stringify(json)], [
    true,
    1n,
    '{"a":{"a":[{"b":1}]},"n":"1"}',
  ]);
});

Deno.test("json values: no value is an empty object, null stays null", () => {
  assertEquals([toJson(undefined), toJson(null)], ["{}", "null"]);
});

Deno.test("json values: a value of another realm is written as one of this realm", () => {
  const other = runInNewContext("({ at: new Date(0), bytes: new Uint8Array([1]), list: [1n] })");
  assertEquals(toJson(other), '{"at":"1970-01-01T00:00:00.000Z","bytes":"AQ==","list":["1"]}');
});

Deno.test("json values: what JSON cannot carry is refused with its path", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const refused: [unknown, string][] = [
    [{ a: [1, NaN] }, "at .a[1] as JSON: NaN"],
    [{ a: -Infinity }, "at .a as JSON: -Infinity"],
    [[undefined], "at [0] as JSON: undefined"],
    [{ toJSON: () => "changed" }, "at .toJSON as JSON: functions"],
    [{ s: Symbol("x") }, "at .s as JSON: symbols"],
    [{ m: new Map() }, "at .m as JSON: instances of Map"],
    [{ f: new Float64Array(1) }, "at .f as JSON: instances of Float64Array"],
    [new Date(NaN), "an invalid Date"],
    [JSON.parse('{"__proto__":1}'), "at .__proto__ as JSON: a property of this name"],
    [cycle, "nested this deeply"],
  ];
  for (const [value, message] of refused) assertThrows(() => toJson(value), TypeError, message);
});
