// Streams in every shape: items in order, empty ones, all that can be iterated. Over memory and TCP.

import { assertEquals } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { callOver, fails, streamOver, testSession } from "../support/session_pair.ts";
import { type Args, Endless, idle, taken, turn, upTo } from "../support/stream_sources.ts";
import { until } from "../support/waiting.ts";

testSession("streams of arguments, of results and of both have every size", async (open) => {
  const sizes = [31_415, 9, 2_653, 58_979];
  await using pair = await open({
    methods: {
      total: async (args: AsyncIterable<Uint8Array>) => {
        let sum = 0;
        for await (const { length } of args) sum += length;
        return sum;
      },
      make: function* (wanted: number[]) {
        for (const size of wanted) yield new Uint8Array(size).fill(size);
      },
      pong: async function* (args: AsyncIterable<number>) {
        for await (const size of args) yield new Uint8Array(size);
      },
    },
  });
  async function* parts() {
    for (const size of [27_182, 8, 1_828, 45_904]) yield await Promise.resolve(new Uint8Array(size));
  }
  assertEquals(await pair.call("total", parts()), 74_922);

  const { items } = await taken(pair.stream<Uint8Array>("make", sizes));
  assertEquals(items.map(({ length }) => length), sizes);
  for (const item of items) assertEquals(item.every((byte) => byte === (item.length & 255)), true);

  // Each ping is made when the pong before it is there.
  let pongs = 0;
  async function* pings() {
    for (const [i, size] of sizes.entries()) {
      assertEquals(pongs, i);
      yield await Promise.resolve(size);
      await until(() => pongs > i, "the pong");
    }
  }
  for await (const { length } of pair.stream<Uint8Array>("pong", pings())) {
    assertEquals(length, sizes[pongs++]);
  }
  assertEquals(pongs, 4);
  await idle(pair);
});

testSession("streams may be empty, in either direction and in both", async (open) => {
  await using pair = await open({
    methods: {
      none: function* () {},
      count: async (args: Args) => (await taken(args)).items.length,
      back: (args: Args) => args,
    },
  });
  assertEquals(await taken(pair.stream("none")), { items: [] });
  assertEquals(await pair.call("count", upTo(0)), 0);
  assertEquals(await taken(pair.stream("back", upTo(0))), { items: [] });
  await idle(pair);
});

testSession("iterables are streamed, and values stay one value", async (open) => {
  const methods = {
    generator: function* () {
      yield* [1, 2, 3];
    },
    asyncGenerator: async function* () {
      for (const i of [1, 2, 3]) yield await Promise.resolve(i);
    },
    promised: () => Promise.resolve(upTo(4)).then((items) => ReadableStream.from(items).pipeThrough(drop(1))),
    readable: () => ReadableStream.from([1, 2, 3]),
    iterator: () => [1, 2, 3].values(),
    custom: () => ({
      [Symbol.asyncIterator]: () => {
        let i = 0;
        return { next: () => Promise.resolve({ value: ++i, done: i > 3 }) };
      },
    }),
    array: () => [1, 2, 3],
    set: () => new Set([1, 2, 3]),
    bytes: () => new Uint8Array([1, 2, 3]),
    text: () => "123",
    kind: (args: unknown) => Array.isArray(args) ? "array" : typeof args,
    sum: async (args: Args) => (await taken(args)).items.reduce((a, b) => a + b, 0),
  };
  await using pair = await open({ methods });
  for (const name of ["generator", "asyncGenerator", "promised", "readable", "iterator", "custom"]) {
    assertEquals(await taken(pair.stream(name)), { items: [1, 2, 3] }, name);
  }
  for (const name of ["array", "set", "bytes", "text"] as const) {
    assertEquals(await pair.call(name), methods[name](), name);
  }
  assertEquals(await pair.call("kind", [1, 2]), "array");
  assertEquals(await pair.call("sum", upTo(5)), 10);
  assertEquals(await pair.call("sum", ReadableStream.from([1, 2, 3])), 6);
  assertEquals(await pair.call("sum", pair.stream<number>("generator")), 6);
  const reader = ReadableStream.from(pair.stream<number>("generator")).getReader();
  assertEquals((await reader.read()).value, 1);
  await reader.cancel();
  await idle(pair);
});

testSession("undefined and null are items", async (open) => {
  const values = [undefined, null, 0, "", false];
  await using pair = await open({ methods: { values: () => values.values(), back: (args: Args) => args } });
  assertEquals((await taken(pair.stream("values"))).items, values);
  assertEquals((await taken(pair.stream("back", ReadableStream.from(values)))).items, values);
});

testSession("100 000 items arrive in order, there and back", async (open) => {
  await using pair = await open({
    methods: {
      up: function* (to: number) {
        for (let i = 0; i < to; i++) yield i;
      },
      back: (args: Args) => args,
    },
  });
  let next = 0;
  for await (const i of pair.stream<number>("up", 100_000)) {
    if (i !== next++) throw new Error(`${i} at ${next}`);
  }
  assertEquals(next, 100_000);
  next = 0;
  for await (const i of pair.stream<number>("back", upTo(20_000))) {
    if (i !== next++) throw new Error(`${i} at ${next}`);
  }
  assertEquals(next, 20_000);
  await idle(pair);
});

testSession("the accepting side streams just as well over calls of its own", async (open) => {
  await using pair = await open({
    callbacks: {
      up: () => upTo(300),
      count: async (args: Args) => (await taken(args)).items.length,
    },
  });
  assertEquals((await taken(streamOver(pair.accepted, "S.up"))).items.length, 300);
  assertEquals(await callOver(pair.accepted, "S.count", upTo(300)), 300);
  await idle(pair);
});

testSession("call() of a method that streams says so, and cancels it", async (open) => {
  const endless = new Endless();
  await using pair = await open({ methods: { endless: endless.run, none: () => upTo(0) } });
  await fails(pair.call("endless"), "unimplemented", "use stream()");
  await idle(pair);
  assertEquals({ finished: endless.finished, reasons: endless.reasons }, {
    finished: 1,
    reasons: ["canceled"],
  });
  await fails(pair.call("none"), "unimplemented", "use stream()");
});

testSession("stream() of a method with one value is a stream of one", async (open) => {
  await using pair = await open({
    methods: {
      undefined: () => {},
      later: () => Promise.resolve([1]),
      fail: () => {
        throw new RpcError("not_found", "Nothing");
      },
    },
  });
  assertEquals(await taken(pair.stream("echo", { a: 1 })), { items: [{ a: 1 }] });
  assertEquals(await taken(pair.stream("undefined")), { items: [undefined] });
  assertEquals(await taken(pair.stream("later")), { items: [[1]] });
  assertEquals((await taken(pair.stream("fail"))).error?.code, "not_found");
  await idle(pair);
});

testSession("several next() at once get the items in order, and one of them the error", async (open) => {
  await using pair = await open({
    methods: {
      three: () => upTo(3),
      fail: async function* () {
        yield 0;
        await turn();
        throw new RpcError("aborted", "No more");
      },
    },
  });
  const stream = pair.stream<number>("three");
  const all = await Promise.all([0, 1, 2, 3, 4].map(() => stream.next()));
  assertEquals(all.map(({ value, done }) => done ? "done" : value), [0, 1, 2, "done", "done"]);
  const failing = pair.stream<number>("fail");
  const settled = await Promise.allSettled([failing.next(), failing.next(), failing.next()]);
  assertEquals(settled.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  // A reader that waits when another one leaves is not kept waiting.
  const endless = new Endless();
  pair.table.register("E", { run: endless.run });
  const left = streamOver<number>(pair.dialled, "E.run");
  await left.next();
  const waiting = [left.next(), left.next(), left.next()];
  await left.return();
  for (const each of waiting) await each;
  await idle(pair);
});

testSession("a stream is iterated once, and makes no call unless it is", async (open) => {
  await using pair = await open({ methods: { three: () => upTo(3) } });
  const never = pair.stream("three");
  assertEquals({ pending: pair.dialled.pending, started: pair.started }, { pending: 0, started: 0 });
  await never.return();
  assertEquals(await taken(never), { items: [] });
  assertEquals(pair.started, 0);
  const once = pair.stream<number>("three");
  assertEquals(await taken(once), { items: [0, 1, 2] });
  assertEquals(await taken(once), { items: [] });
  assertEquals(pair.started, 1);
});

testSession("a getter that throws where an iterator is looked for fails its call alone", async (open) => {
  const trap = (name: PropertyKey) =>
    Object.defineProperty({}, name, {
      enumerable: true,
      get: () => {
        throw new Error("trapped");
      },
    });
  await using pair = await open({
    methods: { next: () => trap("next"), later: () => Promise.resolve(trap("next")) },
  });
  await fails(pair.call("next"), "internal");
  await fails(pair.call("later"), "internal");
  await fails(pair.call("echo", trap("next")), "invalid_argument");
  assertEquals(await pair.call("echo", trap(Symbol.asyncIterator)), {});
  await idle(pair);
});

function drop(count: number): TransformStream<number, number> {
  return new TransformStream({ transform: (item, to) => void (item >= count && to.enqueue(item)) });
}
