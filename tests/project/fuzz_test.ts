// The fuzzer itself: that it finds what is wrong, names the case, and makes the same cases again. What it finds in
// the library has tests of its own, by theme.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cborTarget } from "../../fuzz/codec.ts";
import { fuzz } from "../../fuzz/run.ts";
import { allReaders, slowCase, slowTarget } from "../../fuzz/slow.ts";
import type { Target } from "../../fuzz/target.ts";
import { Random } from "../support/cbor_random.ts";

Deno.test("fuzz: a decoder that throws what it should not is found, with the bytes that do it", async () => {
  const cbor = cborTarget(new Random(7));
  const target: Target = {
    name: "brittle",
    concurrency: 1,
    next: (random) => cbor.next(random),
    check(bytes) {
      if (bytes.includes(0x5f)) throw new RangeError("Cannot stand it");
      return "stood";
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const { finding, outcomes, cases } = await fuzz(target, 7, 30);
  assert(finding !== undefined && finding.bytes.includes(0x5f));
  assertStringIncludes(finding.message, "Cannot stand it");
  assertEquals(outcomes.get("stood"), cases);
});

Deno.test("fuzz: a seed gives the same cases every time, and most differ", async () => {
  const run = async () => {
    const cbor = cborTarget(new Random(7));
    const seen: string[] = [];
    const target: Target = {
      name: "noted",
      concurrency: 1,
      next: (random) => cbor.next(random),
      check: (bytes) => `${seen.push(bytes.toHex()) && cbor.check(bytes)}`,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    await fuzz(target, 99, 30, 1_000);
    return seen.slice(0, 1_000);
  };
  const [first, second] = [await run(), await run()];
  assertEquals(first, second);
  assert(new Set(first).size > 800);
});

Deno.test("fuzz: leaked connections are found", async () => {
  const target: Target = {
    name: "leaky",
    concurrency: 4,
    next: () => Uint8Array.of(1),
    check: () => Promise.resolve("fine"),
    finish: () => Promise.reject(new Error("2 connections are left")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const { finding, cases } = await fuzz(target, 1, 30, 100);
  assertStringIncludes(finding!.message, "2 connections are left");
  assert(cases >= 100);
});

Deno.test("fuzz: a regular expression that backtracks is found, with a text that shows it", async () => {
  const target = slowTarget({ strict: (text) => /^[a-z]*$/.test(text), slack: (text) => /\s+$/.test(text) });
  const { finding } = await fuzz(target, 7, 60);
  assertStringIncludes(finding!.message, "slack takes");
});

/** What took a reader the square of its length, or the cube: its name, and the beginning, middle and end of the text. */
const ONCE_SLOW: [string, string, string, string][] = [
  ["field", "", " ", "\0"],
  ["field", "", "\t", "x"],
  ["field", "x", " \t", "x"],
  ["attributes of an address", "", ":1/", "\n"],
  ["registry's event", "data:", " ", "\rx"],
  ["encoding of a page", "", "<meta ", ""],
  ["encoding of a page", "<meta charset", " ", "x"],
];

for (const [name, begin, piece, end] of ONCE_SLOW) {
  const text = JSON.stringify([begin, piece, end]);
  Deno.test(`fuzz: ${name} takes no more than its length explains for ${text}`, async () => {
    const readers = allReaders();
    const reader = Object.keys(readers).indexOf(name);
    await slowTarget(readers).check(slowCase(reader, begin, piece, end));
  });
}
