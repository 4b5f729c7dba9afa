// Typed services: what the compiler lets through and what it refuses, and what the object does at run time.

import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  type CallContext,
  type ContractClient,
  defineService,
  method,
  type ServiceClient,
} from "../../mod.ts";
import { Link } from "../support/service_link.ts";

class Calculator {
  sum({ a, b }: { a: number; b: number }): number {
    return a + b;
  }
  greet(name?: string): Promise<string> {
    return Promise.resolve(`Hello, ${name ?? "you"}!`);
  }
  now() {
    return 42;
  }
  who(_: undefined, { method }: CallContext) {
    return method;
  }
  maybe(n: number): string | Promise<string> {
    return n > 0 ? "now" : Promise.resolve("later");
  }
  readonly version = "1";
}

/** Whether two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
function assertSame<_ extends true>(): void {}

Deno.test("service: methods have the types of what was registered", async () => {
  await using link = await Link.open(new Calculator());
  const remote = link.client.service<Calculator>("S");
  const sum = await remote.sum({ a: 1, b: 2 });
  const greeting = await remote.greet("Ada");
  const now = await remote.now();
  const who = await remote.who(undefined, { timeout: 1_000 });
  const maybe = await remote.maybe(0);
  assertSame<Same<typeof sum, number>>();
  assertSame<Same<typeof greeting, string>>();
  assertSame<Same<typeof now, number>>();
  assertSame<Same<typeof who, string>>();
  assertSame<Same<typeof maybe, string>>();
  assertEquals([sum, greeting, now, who, maybe], [3, "Hello, Ada!", 42, "S.who", "later"]);
  assertEquals(
    [await remote.greet(), await remote.greet(undefined, { timeout: 500 })],
    Array(2).fill("Hello, you!"),
  );
});

/** Compiled, never run. */
export async function refused(remote: ServiceClient<Calculator>): Promise<void> {
  // @ts-expect-error: a number is missing
  await remote.sum({ a: 1 });
  // @ts-expect-error: not a number
  await remote.sum({ a: 1, b: "2" });
  // @ts-expect-error: the argument is missing
  await remote.sum();
  // @ts-expect-error: there are no options of that name
  await remote.sum({ a: 1, b: 2 }, { tiemout: 5 });
  // @ts-expect-error: the context is the server's to give
  await remote.who(undefined, {} as CallContext, 3);
  // @ts-expect-error: it takes no argument
  await remote.now(5);
  // @ts-expect-error: there is no such method
  await remote.nope();
  // @ts-expect-error: a property that is no function is no method
  await remote.version;
  // @ts-expect-error: the result is a number
  const text: string = await remote.now();
  // @ts-expect-error: methods cannot be replaced
  remote.now = () => Promise.resolve(5);
  void text;
}

/** Compiled, never run: null means that there is no argument, so it cannot be one. */
export async function nulls(
  remote: ServiceClient<
    { find(name: string | null): string; any(value: unknown): void; maybe(n?: number | null): void }
  >,
  contract: ContractClient<typeof Nullable>,
): Promise<void> {
  await remote.find("x");
  await remote.any(null);
  await remote.maybe();
  await contract.find("x");
  await contract.maybe();
  // @ts-expect-error: it would arrive as undefined
  await remote.find(null);
  // @ts-expect-error: also where the argument may be left out
  await remote.maybe(null);
  // @ts-expect-error: the same in a contract
  await contract.find(null);
  // @ts-expect-error: the same in a contract
  await contract.maybe(null);
}

const Nullable = defineService("Nullable", {
  find: method<string | null, string>(),
  maybe: method<string | null | undefined, string>(),
});

Deno.test("service: works with an object of functions, too", async () => {
  const arith = { double: (n: number) => n * 2, triple: async (n: number) => await Promise.resolve(n * 3) };
  await using link = await Link.open(arith);
  const remote = link.client.service<typeof arith>("S");
  const results: [number, number] = await Promise.all([remote.double(2), remote.triple(2)]);
  assertEquals(results, [4, 6]);
  // A method may be taken off and used by itself, and is the same each time.
  const { double } = remote;
  assertEquals(await Promise.all([1, 2, 3].map((n) => double(n))), [2, 4, 6]);
  assertEquals(remote.double, double);
});

Deno.test("service: can be returned from an async function, awaited and looked at without a call", async () => {
  await using link = await Link.open({ then: () => "never called", ok: () => "ok" });
  const open = async () => await Promise.resolve(link.client.service<{ ok(): string }>("S"));
  const remote = await open();
  assertEquals(await remote.ok(), "ok");
  assertEquals("then" in remote, false);
  assertEquals((remote as unknown as { then: unknown }).then, undefined);
  Deno.inspect(remote);
  assertEquals(String(Object.keys(remote)), "");
  assertEquals(link.counts("then").calls, 0);
  assertEquals(link.counts("ok").calls, 1);
});

Deno.test("service: turning it into text, JSON or a number, comparing and copying it makes no calls", async () => {
  const methods = Object.fromEntries(
    ["toJSON", "toString", "valueOf", "toLocaleString", "hasOwnProperty", "ok"].map((
      name,
    ) => [name, () => name]),
  );
  await using link = await Link.open(methods);
  const services = {
    typed: link.client.service<{ ok(): string }>("S"),
    contract: link.client.service(defineService("S", { ok: method<void, string>() })),
  };
  for (const [kind, remote] of Object.entries(services)) {
    assertEquals(JSON.stringify({ remote }), '{"remote":{}}', kind);
    assertEquals([`${remote}`, String(remote), remote + ""], Array(3).fill("[object Object]"), kind);
    assertEquals([+remote, remote as unknown == "x", remote as unknown == 5], [NaN, false, false], kind);
    assertEquals(
      [remote.toLocaleString(), Object.hasOwn(remote, "toJSON")],
      ["[object Object]", false],
      kind,
    );
    assertEquals(remote.valueOf(), remote, kind);
    assertNotEquals<unknown>(remote, { ok: 1 }, kind);
    assertThrows(() => structuredClone(remote), DOMException);
    Deno.inspect(remote);
    assertEquals(await remote.ok(), "ok");
  }
  const { methods: stats } = link.server.stats();
  assertEquals(stats.filter(({ calls }) => calls > 0).map(({ method, calls }) => [method, calls]), [[
    "S.ok",
    2,
  ]]);
  // By name they can be called all the same.
  assertEquals([await link.call("toJSON"), await link.call("toString")], ["toJSON", "toString"]);
});

Deno.test("contract: names that JavaScript calls by itself are no names of methods", () => {
  for (
    const name of ["then", "toJSON", "toString", "valueOf", "toLocaleString", "constructor", "hasOwnProperty"]
  ) {
    assertThrows(
      () => defineService("S", { [name]: method() }),
      TypeError,
      "the name is reserved or invalid",
    );
  }
});

/** Compiled, never run: names that are never callable are not methods of a typed service. */
export function hidden(
  remote: ServiceClient<
    {
      ok(): number;
      then(): number;
      toJSON(): 1;
      toString(): string;
      _internal(): number;
      [Symbol.iterator](): never;
    }
  >,
): void {
  void remote.ok;
  // @ts-expect-error: `then` would make the object a promise
  void remote.then;
  // @ts-expect-error: JSON.stringify calls it
  void remote.toJSON().then;
  // @ts-expect-error: every object has one, which answers with text
  void remote.toString().then;
  // @ts-expect-error: a leading `_` is not registered
  void remote._internal;
  // @ts-expect-error: symbols are not registered
  void remote[Symbol.iterator];
}

Deno.test("types: methods that stream are not offered as if they answered with one value", () => {
  interface Service {
    one(n: number): number;
    generator(n: number): Generator<number>;
    stream(n: number): AsyncGenerator<number>;
    later(n: number): Promise<ReadableStream<number>>;
    anything(n: number): unknown;
  }
  type Names = keyof ServiceClient<Service>;
  const names: Record<Names, true> = { one: true, anything: true };
  assertEquals(Object.keys(names), ["one", "anything"]);
});
