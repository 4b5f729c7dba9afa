// Contracts as the compiler sees them: what handlers and callers get from one object, and what must not compile.

import { assertEquals } from "@std/assert";
import { type as ark } from "npm:arktype@2.2.3";
import * as v from "npm:valibot@1.5.0";
import { z } from "npm:zod@4.6.7";
import {
  type CallContext,
  type Client,
  type ContractClient,
  type ContractHandlers,
  defineService,
  method,
  Server,
  unchecked,
} from "../../mod.ts";
import type { StandardSchema } from "../../server/mod.ts";

/** Whether two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
function assertSame<_ extends true>(): void {}

const Everything = defineService("Everything", {
  typed: method<{ a: number }, string>({ idempotent: true }),
  nothing: method(),
  maybe: method<string | undefined, number>(),
  zod: method({ args: z.object({ n: z.string().transform(Number) }), result: z.number().transform(String) }),
  valibot: method({ args: v.object({ n: v.number() }), result: v.boolean() }),
  arktype: method({ args: ark({ n: "number" }), result: ark("string.numeric.parse") }),
  half: method({ args: z.string(), result: unchecked<Date>() }),
  both: method<{ n: number }, string>({ args: z.object({ n: z.number() }) }),
  down: method.serverStream({ args: z.string(), result: z.string().transform((text) => text.length) }),
  up: method.clientStream<Uint8Array, number>(),
  talk: method.conversation({ args: v.pipe(v.string(), v.transform(Number)), result: unchecked<bigint>() }),
});
type Handlers = ContractHandlers<typeof Everything>;
type Callers = ContractClient<typeof Everything>;

/** The argument of a function, and what it returns. */
type Arg<F extends (...args: never[]) => unknown> = Parameters<F>[0];

Deno.test("contract: handlers have the types that schemas make of arguments and take for results", () => {
  assertSame<Same<Arg<Handlers["typed"]>, { a: number }>>();
  assertSame<Same<ReturnType<Handlers["typed"]>, string | Promise<string>>>();
  assertSame<Same<Parameters<Handlers["typed"]>[1], CallContext>>();
  assertSame<Same<ReturnType<Handlers["nothing"]>, void | Promise<void>>>();
  assertSame<Same<Arg<Handlers["zod"]>, { n: number }>>();
  assertSame<Same<ReturnType<Handlers["zod"]>, number | Promise<number>>>();
  assertSame<Same<Arg<Handlers["valibot"]>, { n: number }>>();
  assertSame<Same<ReturnType<Handlers["arktype"]>, string | Promise<string>>>();
  assertSame<Same<ReturnType<Handlers["half"]>, Date | Promise<Date>>>();
  assertSame<Same<Arg<Handlers["down"]>, string>>();
  assertSame<Same<Extract<ReturnType<Handlers["down"]>, AsyncIterable<unknown>>, AsyncIterable<string>>>();
  assertSame<Same<Arg<Handlers["up"]>, AsyncIterable<Uint8Array>>>();
  assertSame<Same<Arg<Handlers["talk"]>, AsyncIterable<number>>>();
});

Deno.test("contract: callers have the types that schemas take for arguments and make of results", () => {
  assertSame<Same<Arg<Callers["typed"]>, { a: number }>>();
  assertSame<Same<ReturnType<Callers["typed"]>, Promise<string>>>();
  assertSame<Same<Arg<Callers["zod"]>, { n: string }>>();
  assertSame<Same<ReturnType<Callers["zod"]>, Promise<string>>>();
  assertSame<Same<Arg<Callers["valibot"]>, { n: number }>>();
  assertSame<Same<ReturnType<Callers["valibot"]>, Promise<boolean>>>();
  assertSame<Same<Arg<Callers["arktype"]>, { n: number }>>();
  assertSame<Same<ReturnType<Callers["arktype"]>, Promise<number>>>();
  assertSame<Same<ReturnType<Callers["half"]>, Promise<Date>>>();
  assertSame<Same<ReturnType<Callers["down"]>, AsyncIterableIterator<number>>>();
  assertSame<Same<Arg<Callers["up"]>, AsyncIterable<Uint8Array> | Iterable<Uint8Array> & object>>();
  assertSame<Same<ReturnType<Callers["up"]>, Promise<number>>>();
  assertSame<Same<Arg<Callers["talk"]>, AsyncIterable<string> | Iterable<string> & object>>();
  assertSame<Same<ReturnType<Callers["talk"]>, AsyncIterableIterator<bigint>>>();
});

Deno.test("contract: inline handlers need no types of their own, and a class can implement a contract", async () => {
  const Small = defineService("Small", { sum: method<{ a: number; b: number }, number>(), reset: method() });
  await using inline = new Server().register(Small, { sum: ({ a, b }) => a + b, reset() {} });
  class Service implements ContractHandlers<typeof Small> {
    sum({ a, b }: { a: number; b: number }) {
      return Promise.resolve(a + b);
    }
    reset() {}
    close() {}
  }
  await using implemented = new Server().register(Small, new Service());
  const names = (server: Server) => server.stats().methods.map(({ method }) => method);
  assertEquals([names(inline), names(implemented)], Array(2).fill(["Small.sum", "Small.reset"]));
});

/** Compiled, never run. */
export async function calls(client: Client): Promise<void> {
  const remote = client.service(Everything);
  await remote.nothing();
  await remote.nothing(undefined, { timeout: 5 });
  await remote.maybe();
  await remote.maybe("text", { idempotent: false });
  const sizes: number[] = await Array.fromAsync(remote.down("abc", { timeout: 5 }));
  const bytes: number = await remote.up(new ReadableStream<Uint8Array>());
  void sizes, bytes;
  // @ts-expect-error: the argument is missing
  await remote.typed();
  // @ts-expect-error: not a number
  await remote.typed({ a: "1" });
  // @ts-expect-error: callers pass what the schema takes
  await remote.zod({ n: 1 });
  // @ts-expect-error: there are no options of that name
  await remote.typed({ a: 1 }, { tiemout: 5 });
  // @ts-expect-error: it takes no argument
  await remote.nothing(5);
  // @ts-expect-error: there is no such method
  await remote.nope();
  // @ts-expect-error: the result is text
  const number: number = await remote.typed({ a: 1 });
  // @ts-expect-error: a stream is no promise
  remote.down("abc").then();
  // @ts-expect-error: a promise is no stream
  for await (const _ of remote.typed({ a: 1 }));
  // @ts-expect-error: the argument is a stream
  await remote.up(new Uint8Array(5));
  // @ts-expect-error: the argument is no stream
  await remote.half(new ReadableStream<string>());
  // @ts-expect-error: methods cannot be replaced
  remote.nothing = () => Promise.resolve();
  // @ts-expect-error: only contracts and names
  client.service({ name: "S" });
  void number;
}

/** Compiled, never run. */
export function registers(server: Server): void {
  const One = defineService("One", { one: method<number, string>() });
  server.register(One, { one: (n) => n.toFixed() });
  server.register(One, { one: async (n) => await Promise.resolve(n.toFixed()) });
  // @ts-expect-error: a method has no handler
  server.register(One, {});
  // @ts-expect-error: a handler has no method
  server.register(One, { one: (n: number) => n.toFixed(), two: () => 2 });
  // @ts-expect-error: the result is text
  server.register(One, { one: (n: number) => n });
  // @ts-expect-error: the argument is a number
  server.register(One, { one: (text: string) => text });
  const Stream = defineService("Stream", { list: method.serverStream<void, number>() });
  server.register(Stream, { list: () => [1, 2] });
  server.register(Stream, { list: () => new Set([1, 2]).values() });
  server.register(Stream, { list: () => Promise.resolve(ReadableStream.from([1, 2])) });
  server.register(Stream, {
    async *list(_, { signal }) {
      while (!signal.aborted) yield await Promise.resolve(1);
    },
  });
  // @ts-expect-error: a stream is wanted
  server.register(Stream, { list: () => 1 });
  server.register(Stream, {
    // @ts-expect-error: a stream of numbers is wanted
    *list() {
      yield "text";
    },
  });
}

/** Compiled, never run. */
export function defines(text: StandardSchema<string>): void {
  method<string, number>({ args: text });
  // @ts-expect-error: the schema takes text
  method<number, number>({ args: text });
  // @ts-expect-error: not a schema
  method({ args: String });
  // @ts-expect-error: there are no options of that name
  method({ arguments: text });
  // @ts-expect-error: a stream of arguments can be taken only once
  method.clientStream<number, number>({ idempotent: true });
  // @ts-expect-error: not described by method()
  defineService("S", { one: () => 1 });
  // @ts-expect-error: names are text
  defineService(5, { one: method() });
}
