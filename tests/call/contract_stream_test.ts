// Contracts whose methods stream: every item is checked, and both ends of a stream that fails hear of it.

import { assert, assertEquals } from "@std/assert";
import { type ContractHandlers, defineService, method, type RpcError } from "../../mod.ts";
import { fails } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { items, later, natural, Served, untilItFails } from "../support/contract_served.ts";

const Streams = defineService("Streams", {
  down: method.serverStream({ args: natural, result: natural }),
  up: method.clientStream({ args: natural, result: natural }),
  talk: method.conversation({ args: later, result: later }),
  free: method.conversation<unknown, unknown>(),
});

/** Handlers that count, and what has become of them. */
class StreamHandlers implements ContractHandlers<typeof Streams> {
  readonly ended: string[] = [];
  readonly seen: unknown[] = [];

  async *down(to: number) {
    try {
      for (let i = 3; i >= to - 3; i--) yield await Promise.resolve(i);
    } finally {
      this.ended.push("down");
    }
  }
  async up(args: AsyncIterable<number>) {
    let sum = 0;
    try {
      for await (const item of args) sum += item;
    } catch (error) {
      this.seen.push(error);
      throw error;
    }
    return sum;
  }
  async *talk(args: AsyncIterable<number>) {
    try {
      for await (const item of args) yield item - 5;
    } finally {
      this.ended.push("talk");
    }
  }
  free(args: AsyncIterable<unknown>) {
    return args;
  }
}

Deno.test("contract: streams in all shapes, with and without schemas", async () => {
  const handlers = new StreamHandlers();
  await using served = await Served.open(Streams, handlers);
  const { down, up, talk, free } = served.remote;
  assertEquals(await Array.fromAsync(down(3)), [3, 2, 1, 0]);
  assertEquals(await up(items(1, 2, 3)), 6);
  assertEquals(await up(ReadableStream.from([4, 5])), 9);
  assertEquals(await up(items()), 0);
  assertEquals(await Array.fromAsync(talk(items(7, 6, 5))), [2, 1, 0]);
  assertEquals(await Array.fromAsync(free(items<unknown>("a", -1, null))), ["a", -1, null]);
  const many = Array.from({ length: 1_000 }, (_, i) => i + 5);
  assertEquals((await Array.fromAsync(talk(items(...many)))).length, 1_000);
  assertEquals([handlers.ended, served.log], [["down", "talk", "talk"], []]);
});

Deno.test("contract: any iterable is sent item by item where the contract declares a stream", async () => {
  await using served = await Served.open(Streams, new StreamHandlers());
  const { up, talk, free } = served.remote;
  assertEquals([await up([1, 2]), await up(new Set([3, 4])), await up([5].values()), await up([])], [
    3,
    7,
    5,
    0,
  ]);
  assertEquals(await Array.fromAsync(talk([7, 6])), [2, 1]);
  assertEquals(await Array.fromAsync(free(new Map([["a", 1]]))), [["a", 1]]);
  // A text is iterable too, letter by letter, which is not what its caller means.
  // @ts-expect-error: a text is not a stream
  const text = free("ab");
  await untilItFails(text, "invalid_argument");
  const left: string[] = [];
  function* endless() {
    try {
      for (;;) yield 9;
    } finally {
      left.push("left");
    }
  }
  for await (const item of talk(endless())) if (item === 4) break;
  await until(() => left.length === 1, "the generator's end");
});

Deno.test("contract: each item of arguments is checked when it is taken; handler and caller get the error", async () => {
  const handlers = new StreamHandlers();
  await using served = await Served.open(Streams, handlers);
  const error = await fails(served.remote.up(items(1, -2, 3)), "invalid_argument");
  assertEquals(error.message, "Cannot accept an item of the arguments of Streams.up: not natural");
  assertEquals(error.details, { issues: [{ message: "not natural", path: [] }] });
  assertEquals((handlers.seen as RpcError[]).map(({ code }) => code), ["invalid_argument"]);
  const talk = await untilItFails(served.remote.talk(items(6, 7, -1, 8)), "invalid_argument");
  assertEquals([talk.taken, handlers.ended, served.log], [[1, 2], ["talk"], []]);
});

Deno.test("contract: an item of a result that does not fit ends the stream, and its handler", async () => {
  const handlers = new StreamHandlers();
  await using served = await Served.open(Streams, handlers);
  const down = await untilItFails(served.remote.down(0), "internal");
  const what = "Cannot send an item of the result of Streams.down";
  assertEquals(down.taken, [3, 2, 1, 0]);
  assertEquals(down.error.message, `${what}: it does not match the service's contract`);
  assert(served.logged().startsWith(`${what}: not natural`));
  const talk = await untilItFails(served.remote.talk(items(6, 4, 8)), "internal");
  assertEquals([talk.taken, handlers.ended], [[1], ["down", "talk"]]);
  served.logged();
});

Deno.test("contract: leaving a checked stream ends its handler", async () => {
  const ended = Promise.withResolvers<void>();
  const S = defineService("S", { forever: method.serverStream({ result: natural }) });
  await using served = await Served.open(S, {
    async *forever() {
      try {
        for (let i = 0;; i++) yield await Promise.resolve(i);
      } finally {
        ended.resolve();
      }
    },
  });
  for await (const item of served.remote.forever()) {
    if (item === 100) break;
  }
  await ended.promise;
});

Deno.test("contract: a handler may return any iterable, or a promise of one, for a stream", async () => {
  const S = defineService("S", {
    free: method.serverStream<number, number>(),
    checked: method.serverStream({ args: natural, result: natural }),
  });
  const kinds: readonly (() => AsyncIterable<number> | Iterable<number> | Promise<Iterable<number>>)[] = [
    () => [1, 2],
    () => new Set([1, 2]),
    function* () {
      yield* [1, 2];
    },
    () => items(1, 2),
    () => ReadableStream.from([1, 2]),
    () => Promise.resolve([1, 2]),
    () => ({ [Symbol.iterator]: () => [1, 2].values() }),
  ];
  const handler = (kind: number) => kinds[kind]!();
  await using served = await Served.open(S, { free: handler, checked: handler });
  for (const kind of kinds.keys()) {
    assertEquals(await Array.fromAsync(served.remote.free(kind)), [1, 2]);
    assertEquals(await Array.fromAsync(served.remote.checked(kind)), [1, 2]);
  }
});

Deno.test("contract: one value in place of a stream, and a stream in place of one value, are errors", async () => {
  const S = defineService("S", {
    one: method<unknown, number>(),
    checked: method({ args: natural }),
    down: method.serverStream<unknown, number>(),
    up: method.clientStream<unknown, number>(),
    talk: method.conversation<unknown, number>(),
  });
  await using served = await Served.open(S, {
    one: () => 1,
    checked() {},
    down: () => 5 as never,
    up: () => 1,
    talk: () => "text" as never,
  });
  const { client } = served;
  for (const name of ["one", "checked", "down"]) {
    const error = await fails(client.call(`S.${name}`, items(1)), "invalid_argument");
    assertEquals(error.message, `S.${name} takes one value, not a stream`);
  }
  for (const name of ["up", "talk"]) {
    const error = await fails(client.call(`S.${name}`, [1]), "invalid_argument");
    assertEquals(error.message, `S.${name} takes a stream, not one value`);
  }
  await fails(client.call("S.up"), "invalid_argument");
  assertEquals(served.log, []);
  await untilItFails(served.remote.down(1), "internal");
  assert(served.logged().includes("of S.down: the handler did not return a stream"));
  await untilItFails(served.remote.talk(items(1)), "internal");
  served.logged();
});
