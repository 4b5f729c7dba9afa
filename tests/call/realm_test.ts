// Values of another realm, as in node:vm, jsdom or an iframe: their classes are not those of this realm.

import { assert, assertEquals, assertThrows } from "@std/assert";
import vm from "node:vm";
import { CborCodec, decode, encode, JsonCodec } from "../../codec/mod.ts";
import { Link } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";

/** Evaluates an expression in a realm of its own. */
function foreign<T>(expression: string): T {
  return vm.runInNewContext(`(${expression})`) as T;
}

const cbor = new CborCodec();
const json = new JsonCodec();

const VALUES: Record<string, [expression: string, own: unknown]> = {
  "a plain object": ["{ a: { b: [1, { c: 'x' }] } }", { a: { b: [1, { c: "x" }] } }],
  "an object without a prototype": ["Object.assign(Object.create(null), { a: 1 })", { a: 1 }],
  "a date": ["[new Date(1500)]", [new Date(1500)]],
  "a map": ["new Map([['a', new Map([[1, {}]])]])", new Map([["a", new Map([[1, {}]])]])],
  "a set": ["new Set([1, { a: 1 }])", new Set<unknown>([1, { a: 1 }])],
  "bytes": ["new Uint8Array([1, 2, 3]).subarray(1)", Uint8Array.of(2, 3)],
  "floats": ["new Float64Array([1.5])", Float64Array.of(1.5)],
  "a buffer": ["new Uint8Array([7, 8]).buffer", Uint8Array.of(7, 8).buffer],
};

for (const [name, [expression, own]] of Object.entries(VALUES)) {
  Deno.test(`realm: CBOR carries ${name} as one of this realm`, () => {
    assertEquals(encode(cbor, foreign(expression)), encode(cbor, own));
  });
}

Deno.test("realm: an ArrayBuffer is bytes, of this realm too", () => {
  assertEquals(decode(cbor, encode(cbor, Uint8Array.of(1, 2).buffer)), Uint8Array.of(1, 2));
  assertThrows(() => encode(json, new ArrayBuffer(1)), TypeError, "instances of ArrayBuffer");
});

Deno.test("realm: JSON carries plain objects of another realm, and refuses the same values as of this one", () => {
  assertEquals(decode(json, encode(json, foreign("{ a: [{ b: null }] }"))), { a: [{ b: null }] });
  assertThrows(() => encode(json, foreign("{ a: new Date() }")), TypeError, "at .a");
  assertThrows(() => encode(json, foreign("{ a: new Map() }")), TypeError, "at .a");
});

Deno.test("realm: values that cannot be sent are refused from another realm too, and the message says where", () => {
  const refused = [
    "new (class Point {})()",
    "Object.create({ a: 1 })",
    "Object.create(Object.create(null))",
    "/x/",
    "new Error('x')",
    "new Proxy(new (class Point {})(), {})",
    "new DataView(new ArrayBuffer(1))",
    "new Date(NaN)",
  ];
  for (const expression of refused) {
    assertThrows(() => encode(cbor, foreign(`{ a: [${expression}] }`)), TypeError, "at .a[0] as CBOR");
  }
  const own = `Object.defineProperty({}, "__proto__", { value: 1, enumerable: true })`;
  assertThrows(() => encode(cbor, foreign(own)), TypeError, "at .__proto__");
  assertThrows(
    () => encode(cbor, foreign("(() => { const a = {}; a.a = a; return a; })()")),
    TypeError,
    "is the value cyclic?",
  );
});

Deno.test("realm: arguments, options, metadata and signals of another realm are taken", async () => {
  await using link = await Link.open({
    echo: (value: unknown) => value,
    metadata: (_: unknown, { metadata }: { metadata: unknown }) => metadata,
    wait: (_: unknown, { signal }: { signal: AbortSignal }) =>
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
    *count() {
      for (;;) yield 1;
    },
  });
  assertEquals(await link.call("echo", foreign("{ at: new Date(0), by: new Set(['a']) }")), {
    at: new Date(0),
    by: new Set(["a"]),
  });
  const expected = new Map<string, unknown>([["a", "x"], ["b", Uint8Array.of(1)]]);
  for (
    const init of ["{ a: 'x', b: new Uint8Array([1]) }", "new Map([['a', 'x'], ['b', new Uint8Array([1])]])"]
  ) {
    const options = foreign<object>(`{ metadata: ${init} }`);
    assertEquals(await link.call("metadata", undefined, options), expected);
  }
  const stop = new AbortController();
  const signal = signalOfAnotherRealm(stop.signal);
  const call = fails(link.call("wait", undefined, { signal }), "canceled");
  const stream = link.client.stream("S.count", undefined, { signal });
  assertEquals((await stream.next()).value, 1);
  stop.abort();
  await call;
  await fails(Array.fromAsync(stream), "canceled");
});

/** What jsdom has for an AbortSignal: the same members, and another class. */
function signalOfAnotherRealm(own: AbortSignal): AbortSignal {
  const signal = {
    get aborted() {
      return own.aborted;
    },
    get reason() {
      return own.reason;
    },
    addEventListener: own.addEventListener.bind(own),
    removeEventListener: own.removeEventListener.bind(own),
    [Symbol.toStringTag]: "AbortSignal",
  };
  assert(!(signal instanceof AbortSignal));
  return signal as unknown as AbortSignal;
}
