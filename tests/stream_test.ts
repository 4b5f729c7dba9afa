// Streams as users see them: items in order, in every shape; the ways in which they end early; and that nothing is left
// behind when they do. Over memory and TCP, and through a real server and client.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { CallContext } from "../call/dispatch.ts";
import { RpcError } from "../call/error.ts";
import { connect, MultiServers, Server } from "../mod.ts";
import { frame, soon } from "./raw_peer.ts";
import { answerHandshake, Fleet, freePort, Link, RawServer, readToEnd } from "./service_link.ts";
import { callOver, fails, type Pair, streamOver, testSession, until } from "./session_pair.ts";

type Args = AsyncIterable<number>;

/** All items of a stream, and why it ended if it failed. */
async function taken<T>(stream: AsyncIterable<T>): Promise<{ items: T[]; error?: RpcError }> {
  const items: T[] = [];
  try {
    for await (const item of stream) items.push(item);
    return { items };
  } catch (error) {
    assert(error instanceof RpcError, `${error}`);
    return { items, error };
  }
}

/** A turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Numbers from 0, one a turn of the event loop, for ever; what becomes of it is told to `seen`. */
async function* ticks(seen: { produced: number; finished: number }): AsyncGenerator<number> {
  try {
    for (;;) {
      yield seen.produced++;
      await turn();
    }
  } finally {
    seen.finished++;
  }
}

async function* upTo(count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) yield i;
}

/** An endless method, and what becomes of it. */
class Endless {
  produced = 0;
  finished = 0;
  readonly reasons: string[] = [];

  readonly run = (_: unknown, { signal }: CallContext) => {
    signal.addEventListener("abort", () => this.reasons.push((signal.reason as RpcError).code));
    return ticks(this);
  };
}

function idle(pair: Pair): Promise<void> {
  return until(() => pair.idle, "nothing is left of any call", 1_000);
}

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

testSession("whatever can be iterated is streamed, and what is a value stays one", async (open) => {
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

function drop(count: number): TransformStream<number, number> {
  return new TransformStream({ transform: (item, to) => void (item >= count && to.enqueue(item)) });
}

testSession("items of no value and null are items", async (open) => {
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

for (const how of ["break", "throw", "return"]) {
  testSession(`a consumer that leaves by ${how} stops the producer, and nothing is left`, async (open) => {
    const endless = new Endless();
    await using pair = await open({ methods: { endless: endless.run } });
    const stream = pair.stream<number>("endless");
    const consume = async () => {
      for await (const i of stream) {
        if (i < 5) continue;
        if (how === "break") break;
        if (how === "throw") throw new Error("enough");
        return;
      }
    };
    if (how === "throw") await assertRejects(consume, Error, "enough");
    else await consume();
    assertEquals(pair.dialled.pending, 0, "at once");
    await idle(pair);
    await until(() => endless.finished === 1, "its finally");
    assertEquals(endless.reasons, ["canceled"]);
    const { produced } = endless;
    await pair.call("echo");
    assertEquals(endless.produced, produced);
    assertEquals(await stream.next(), { value: undefined, done: true });
  });
}

testSession("a producer's error comes behind the items before it", async (open) => {
  const failures: Record<string, () => unknown> = {
    error: async function* () {
      yield* [1, 2];
      await Promise.resolve();
      throw new Error("private");
    },
    generator: function* () {
      yield* [1, 2];
      throw new RpcError("not_found", "No third", { details: { third: true } });
    },
    readable: () => {
      let pulled = 0;
      return new ReadableStream({
        pull(to) {
          if (pulled++ < 2) to.enqueue(pulled);
          else to.error(new RpcError("aborted", "Pulled too hard"));
        },
      });
    },
  };
  const logged: unknown[] = [];
  await using pair = await open({ methods: failures, log: (_, error) => logged.push(error) });
  const [error, generator, readable] = await Promise.all(
    Object.keys(failures).map((name) => taken(pair.stream(name))),
  );
  for (const each of [error, generator, readable]) assertEquals(each!.items, [1, 2]);
  assertEquals([error!.error?.code, error!.error?.message], ["internal", "The handler failed"]);
  assertEquals((logged[0] as Error).message, "private");
  assertEquals([generator!.error?.code, generator!.error?.message, generator!.error?.details], [
    "not_found",
    "No third",
    { third: true },
  ]);
  assertEquals([generator!.error?.remote, readable!.error?.code], [true, "aborted"]);
  await idle(pair);
});

testSession("an item that cannot be sent fails its stream alone, and ends its producer", async (open) => {
  let finished = 0;
  function* odd(value: unknown) {
    try {
      yield 1;
      yield value;
      yield 3;
    } finally {
      finished++;
    }
  }
  await using pair = await open({
    limits: { maxFrameBytes: 65_536 },
    methods: {
      odd: () => odd(() => {}),
      large: () => odd(new Uint8Array(70_000)),
      up: (to: number) => upTo(to),
      count: async (args: Args) => (await taken(args)).items.length,
    },
  });
  const [odd1, large, up] = await Promise.all([
    taken(pair.stream("odd")),
    taken(pair.stream("large")),
    taken(pair.stream("up", 500)),
  ]);
  assertEquals([odd1.items, odd1.error?.code], [[1], "internal"]);
  assertEquals([large.items, large.error?.code], [[1], "resource_exhausted"]);
  assertEquals([up.items.length, up.error], [500, undefined]);
  assertEquals(finished, 2);
  await fails(pair.call("count", ReadableStream.from(odd(() => {}))), "invalid_argument");
  await fails(pair.call("count", ReadableStream.from(odd(new Uint8Array(70_000)))), "resource_exhausted");
  await idle(pair);
  assertEquals(finished, 4);
});

testSession("a deadline holds over a whole stream, at both ends", async (open) => {
  const endless = new Endless();
  await using pair = await open({ methods: { endless: endless.run } });
  const began = performance.now();
  const { items, error } = await taken(pair.stream("endless", null, { timeout: 100 }));
  const elapsed = performance.now() - began;
  assert(elapsed >= 99 && elapsed < 600, `${elapsed} ms`);
  assertEquals(error?.code, "deadline_exceeded");
  assert(items.length > 0);
  await idle(pair);
  assertEquals(endless.finished, 1);
  assert(["deadline_exceeded", "canceled"].includes(endless.reasons[0]!), endless.reasons[0]);
});

testSession(
  "a handler's time is up while its stream waits for a consumer that takes nothing",
  async (open) => {
    const endless = new Endless();
    await using pair = await open({ methods: { endless: endless.run }, handleTimeout: 80 });
    const stream = pair.stream<number>("endless");
    assertEquals((await stream.next()).value, 0);
    await until(() => endless.finished === 1, "its end");
    assertEquals(endless.reasons, ["deadline_exceeded"]);
    const { items, error } = await taken(stream);
    assertEquals([error?.code, error?.remote], ["deadline_exceeded", true]);
    assertEquals(items, Array.from({ length: items.length }, (_, i) => i + 1));
    await idle(pair);
  },
);

testSession("a signal ends a stream at once, whatever has arrived", async (open) => {
  const endless = new Endless();
  await using pair = await open({ methods: { endless: endless.run } });
  const stop = new AbortController();
  const stream = pair.stream<number>("endless", null, { signal: stop.signal });
  await stream.next();
  await until(() => endless.produced > 10, "items wait");
  stop.abort("enough");
  const error = await fails(stream.next(), "canceled");
  assertEquals(error.cause, "enough");
  assertEquals((await stream.next()).done, true);
  await idle(pair);
  assertEquals([endless.finished, endless.reasons], [1, ["canceled"]]);
  await fails(pair.stream("endless", null, { signal: stop.signal }).next(), "canceled");
  assertEquals(pair.started, 1);
});

testSession("a lost connection ends streams with unavailable, behind what has arrived", async (open) => {
  const seen = { produced: 0, finished: 0 };
  const endless = new Endless();
  const failed = Promise.withResolvers<RpcError>();
  let got = 0;
  await using pair = await open({
    methods: {
      endless: endless.run,
      eat: async (args: Args) => {
        try {
          for await (const _ of args) got++;
        } catch (error) {
          failed.resolve(error as RpcError);
          throw error;
        }
      },
    },
  });
  const stream = pair.stream<number>("endless");
  await stream.next();
  const eating = fails(pair.call("eat", ticks(seen)), "unavailable");
  await until(() => got > 3 && endless.produced > 10, "both flow");
  pair.acceptedConn.close();
  await eating;
  const { items, error } = await taken(stream);
  assertEquals(error?.code, "unavailable");
  assertEquals(items, Array.from({ length: items.length }, (_, i) => i + 1));
  assertEquals((await failed.promise).code, "unavailable");
  await until(() => seen.finished === 1 && endless.finished === 1, "both producers end");
  assertEquals(endless.reasons, ["unavailable"]);
});

testSession("an answer before the end of the arguments ends their source", async (open) => {
  const seen = { produced: 0, finished: 0 };
  await using pair = await open({
    methods: {
      first: async (args: Args) => {
        for await (const item of args) return item;
        return undefined;
      },
      ignore: () => "ignored",
      refuse: () => {
        throw new RpcError("permission_denied", "Not you");
      },
      later: async (args: Args) => {
        await Promise.resolve();
        return typeof args[Symbol.asyncIterator];
      },
    },
  });
  assertEquals(await pair.call("first", ticks(seen)), 0);
  assertEquals(await pair.call("ignore", ticks(seen)), "ignored");
  assertEquals(await pair.call("later", ticks(seen)), "function");
  await fails(pair.call("refuse", ticks(seen)), "permission_denied");
  await fails(pair.call("nothing", ticks(seen)), "unimplemented");
  await until(() => seen.finished === 5, "every finally");
  await idle(pair);
  assertEquals(await pair.call("echo", "lives"), "lives");
});

testSession("a source that throws fails its call, and its handler hears of it", async (open) => {
  const heard: string[] = [];
  await using pair = await open({
    methods: {
      eat: async (args: Args) => {
        const { items, error } = await taken(args);
        heard.push(`${items.length} ${error?.code}`);
      },
    },
  });
  async function* broken() {
    yield 1;
    await until(() => pair.accepted.running === 1, "it runs");
    throw new Error("no more");
  }
  const error = await fails(pair.call("eat", broken()), "canceled", "no more");
  assertEquals((error.cause as Error).message, "no more");
  await idle(pair);
  assertEquals(heard.length, 1);
  assert(heard[0]!.endsWith("canceled"), heard[0]);

  const own = await fails(
    pair.call("eat", {
      [Symbol.asyncIterator]: () => {
        throw new RpcError("data_loss", "It was torn");
      },
    }),
    "data_loss",
  );
  assertEquals(own.remote, false);
  await idle(pair);
});

testSession(
  "a call whose source hangs can be canceled, and leaves nothing at the other side",
  async (open) => {
    await using pair = await open({ methods: { eat: async (args: Args) => void await taken(args) } });
    const hung = Promise.withResolvers<void>();
    let finished = false;
    async function* hanging() {
      try {
        yield 1;
        await hung.promise;
      } finally {
        finished = true;
      }
    }
    const stop = new AbortController();
    const { signal } = stop;
    const reasons: unknown[] = [];
    const readable = new ReadableStream({ cancel: (reason) => void reasons.push(reason) });
    const calls = [pair.call("eat", hanging(), { signal }), pair.call("eat", readable, { signal })];
    await until(() => pair.accepted.running === 2, "both run");
    stop.abort();
    for (const call of calls) await fails(call, "canceled");
    await idle(pair);
    assertEquals(reasons.length, 1, "a ReadableStream is cancelled while a read is under way");
    assertEquals(finished, false);
    hung.resolve();
    await until(() => finished, "its finally");
  },
);

testSession("a call that fails with its first item leaves nothing at its signal", async (open) => {
  await using pair = await open();
  const { signal } = new AbortController();
  let listeners = 0;
  const [add, remove] = [signal.addEventListener, signal.removeEventListener];
  signal.addEventListener = (...rest: Parameters<typeof add>) => (listeners++, add.apply(signal, rest));
  signal.removeEventListener = (
    ...rest: Parameters<typeof remove>
  ) => (listeners--, remove.apply(signal, rest));
  // An iterator that does not even wait.
  const source = { [Symbol.asyncIterator]: () => ({ next: () => ({ value: () => {}, done: false }) }) };
  await fails(pair.call("echo", source, { signal }), "invalid_argument");
  assertEquals(listeners, 0);
  assertEquals(await pair.call("echo", 1, { signal }), 1);
  assertEquals(listeners, 0);
});

testSession("call() of a method that streams says so, and cancels it", async (open) => {
  const endless = new Endless();
  await using pair = await open({ methods: { endless: endless.run, none: () => upTo(0) } });
  await fails(pair.call("endless"), "unimplemented", "use stream()");
  await idle(pair);
  assertEquals([endless.finished, endless.reasons], [1, ["canceled"]]);
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
  // Whoever waits when somebody else leaves is not kept waiting.
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
  assertEquals([pair.dialled.pending, pair.started], [0, 0]);
  await never.return();
  assertEquals(await taken(never), { items: [] });
  assertEquals(pair.started, 0);
  const once = pair.stream<number>("three");
  assertEquals(await taken(once), { items: [0, 1, 2] });
  assertEquals(await taken(once), { items: [] });
  assertEquals(pair.started, 1);
});

testSession(
  "a stream that is left while it waits for room is settled at once and never sent",
  async (open) => {
    const gate = Promise.withResolvers<void>();
    await using pair = await open({
      limits: { maxInFlight: 16 },
      methods: { hold: () => gate.promise, three: () => upTo(3) },
    });
    const held = Array.from({ length: 16 }, () => pair.call("hold"));
    const stream = pair.stream("three");
    const next = stream.next();
    assertEquals(pair.dialled.pending, 17);
    await stream.return();
    assertEquals([pair.dialled.pending, (await next).done], [16, true]);
    gate.resolve();
    await Promise.all(held);
    await idle(pair);
    assertEquals(pair.started, 16);
  },
);

testSession("a call counts until the finally of what it streamed is done", async (open) => {
  const cleaning = Promise.withResolvers<void>();
  await using pair = await open({
    methods: {
      careful: async function* () {
        try {
          yield* upTo(1_000);
        } finally {
          await cleaning.promise;
        }
      },
    },
  });
  const stream = pair.stream("careful");
  await stream.next();
  await stream.return();
  await pair.call("echo");
  assertEquals([pair.dialled.pending, pair.accepted.running], [0, 1]);
  cleaning.resolve();
  await idle(pair);
});

testSession(
  "a stream that is left just as it ends is owed nothing more, and a drain gets done",
  async (open) => {
    for (let hops = 0; hops < 40; hops++) {
      await using pair = await open({
        methods: {
          one: async function* () {
            yield 1;
            for (let i = 0; i < hops; i++) await null;
          },
        },
      });
      const stream = pair.stream("one");
      await stream.next();
      await stream.return();
      await pair.call("echo");
      pair.accepted.drain();
      // After a second the other side gives up waiting for it.
      await soon(pair.accepted.closed, `the end of the drain, with ${hops} hops`, 900);
    }
  },
);

testSession("a stream that a handler returns when nobody wants it any more is cancelled", async (open) => {
  const gate = Promise.withResolvers<void>();
  let cancelled = 0;
  await using pair = await open({
    methods: {
      slow: async (_, { signal }) => {
        signal.addEventListener("abort", () => gate.resolve());
        await gate.promise;
        return new ReadableStream({ cancel: () => void cancelled++ });
      },
    },
  });
  const stop = new AbortController();
  const next = fails(pair.stream("slow", null, { signal: stop.signal }).next(), "canceled");
  await until(() => pair.accepted.running === 1, "it runs");
  stop.abort();
  await next;
  await idle(pair);
  assertEquals(cancelled, 1);
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

Deno.test("stream: a client and a server stream in all four shapes", async () => {
  await using link = await Link.open({
    up: ({ to }: { to: number }) => upTo(to),
    sum: async (args: Args) => (await taken(args)).items.reduce((a, b) => a + b, 0),
    double: async function* (args: Args) {
      for await (const item of args) yield item * 2;
    },
    ok: () => "ok",
  });
  const { client } = link;
  assertEquals(await link.call("ok"), "ok");
  assertEquals((await taken(client.stream("S.up", { to: 200 }))).items.length, 200);
  assertEquals(await link.call("sum", upTo(200)), 19_900);
  assertEquals((await taken(client.stream("S.double", upTo(3)))).items, [0, 2, 4]);
  assertEquals(await Array.fromAsync(ReadableStream.from(client.stream("S.up", { to: 3 }))), [0, 1, 2]);
  assertEquals(client.stats().pending, 0);
  assertEquals(link.server.stats().inFlight, 0);
  assertEquals(link.counts("up"), { calls: 2, errors: 0, inFlight: 0 });
});

Deno.test("stream: leaving it frees both sides, and the connection goes on", async () => {
  const endless = new Endless();
  await using link = await Link.open({ endless: endless.run, ok: () => "ok" });
  for await (const i of link.client.stream<number>("S.endless")) if (i === 3) break;
  assertEquals(link.client.stats().pending, 0);
  await until(() => link.server.stats().inFlight === 0, "the handler ends", 1_000);
  assertEquals([endless.finished, endless.reasons], [1, ["canceled"]]);
  assertEquals(await link.call("ok"), "ok");
  assertEquals(link.server.stats().connections, 1);
});

Deno.test("stream: wrong arguments are thrown when it is made, and a closed client when it is iterated", async () => {
  await using link = await Link.open({ up: () => upTo(3) });
  const { client } = link;
  assertThrows(() => client.stream(1 as unknown as string), TypeError);
  assertThrows(() => client.stream("S.up", null, { timeout: -1 }), RangeError);
  assertThrows(() => client.stream("S.up", null, { signal: {} as AbortSignal }), TypeError);
  await fails(client.stream("S.up", null, { timeout: 0 }).next(), "deadline_exceeded");
  await fails(client.stream("S.up", null, { signal: AbortSignal.abort() }).next(), "canceled");
  assertEquals(link.counts("up").calls, 0);
  const late = client.stream("S.up");
  await client.close();
  await fails(late.next(), "unavailable", "The client is closed");
});

Deno.test("stream: a broadcast of one is a TypeError, and its source is not touched", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  let touched = false;
  const source = {
    [Symbol.asyncIterator]: () => {
      touched = true;
      return upTo(1);
    },
  };
  await assertRejects(() => link.client.broadcast("S.ok", source), TypeError, "Cannot broadcast a stream");
  assertEquals(touched, false);
});

Deno.test("stream: shutdown lets it finish within its grace", async () => {
  const gate = Promise.withResolvers<void>();
  await using link = await Link.open({
    slow: async function* () {
      yield 0;
      await gate.promise;
      yield* upTo(300);
    },
    eat: async (args: Args) => (await taken(args)).items.length,
  });
  async function* slowly() {
    await gate.promise;
    yield* upTo(300);
  }
  const stream = link.client.stream<number>("S.slow");
  await stream.next();
  const eating = link.call("eat", slowly());
  await until(() => link.server.stats().inFlight === 2, "both run");
  const ended = link.server.shutdown({ grace: 5_000 });
  await until(() => link.client.stats().endpoints[0]!.state !== "ready", "the client hears of it");
  gate.resolve();
  const { items, error } = await taken(stream);
  assertEquals([items.length, error, await eating], [300, undefined, 300]);
  await ended;
});

Deno.test("stream: shutdown aborts it when its grace is over", async () => {
  const endless = new Endless();
  await using link = await Link.open({ endless: endless.run });
  const consuming = taken(link.client.stream<number>("S.endless"));
  await until(() => endless.produced > 3, "it flows");
  await link.server.shutdown({ grace: 50 });
  const { items, error } = await consuming;
  assertEquals([error?.code, items.length > 3], ["unavailable", true]);
  await until(() => endless.finished === 1, "its finally");
  assertEquals(endless.reasons, ["unavailable"]);
});

Deno.test("stream: closing the client ends it behind what has arrived, and its handler hears of it", async () => {
  const endless = new Endless();
  const seen = { produced: 0, finished: 0 };
  await using link = await Link.open({
    endless: endless.run,
    eat: async (args: Args) => void await taken(args),
  });
  const stream = link.client.stream<number>("S.endless");
  await stream.next();
  const eating = fails(link.call("eat", ticks(seen)), "unavailable", "The client is closed");
  await until(() => endless.produced > 10 && seen.produced > 3, "both flow");
  await link.client.close();
  await eating;
  const { items, error } = await taken(stream);
  assertEquals([error?.code, error?.message], ["unavailable", "The client is closed"]);
  assertEquals(items, Array.from({ length: items.length }, (_, i) => i + 1));
  await until(() => link.server.stats().inFlight === 0, "both handlers end", 1_000);
  await until(() => seen.finished === 1 && endless.finished === 1, "both producers end");
});

Deno.test("stream: one that was not started goes to another server", async () => {
  const gate = Promise.withResolvers<void>();
  const methods = { hold: () => gate.promise, up: () => upTo(3) };
  await using full = new Server({ maxInFlight: 16 }).register("S", methods);
  await using roomy = new Server().register("S", methods);
  const addresses = [full, roomy].map(async (server) => (await server.listen("tcp@127.0.0.1:0")).address);
  const down = `tcp@127.0.0.1:${freePort()}`;
  await using client = await connect(new MultiServers([...await Promise.all(addresses), down]));
  // Calls that were given up hold their places at the servers.
  const stop = new AbortController();
  const { signal } = stop;
  const held = Array.from({ length: 32 }, () => fails(client.call("S.hold", null, { signal }), "canceled"));
  await until(() => full.stats().inFlight === 16 && roomy.stats().inFlight === 16, "one is full");
  stop.abort();
  await Promise.all(held);
  for (let i = 0; i < 9; i++) assertEquals(await taken(client.stream("S.up")), { items: [0, 1, 2] });
  const [refused, served] = [full, roomy].map((server) => server.stats().methods[1]!.calls);
  assertEquals([refused, served], [0, 9]);
  gate.resolve();
});

Deno.test("stream: once items were taken it is not begun anew, not even if it is idempotent", async () => {
  let drop = () => {};
  const seen = { produced: 0, finished: 0 };
  await using fleet = await Fleet.open(1, () => ({ ticks: () => ticks(seen) }));
  const port = Number(fleet.addresses[0]!.split(":")[1]);
  await using way = new RawServer(async (conn) => {
    const there = await Deno.connect({ hostname: "127.0.0.1", port });
    drop = () => conn.close();
    const back = there.readable.pipeTo(conn.writable).catch(() => {});
    await conn.readable.pipeTo(there.writable).catch(() => {});
    await back;
  });
  await using client = await connect(way.address);
  const stream = client.stream<number>("S.ticks", null, { idempotent: true });
  assertEquals((await stream.next()).value, 0);
  drop();
  const { items, error } = await taken(stream);
  assertEquals(error?.code, "unavailable");
  assertEquals(items, Array.from({ length: items.length }, (_, i) => i + 1));
  assertEquals(fleet.calls, [1]);
  await until(() => seen.finished === 1, "the end of the handler");
});

Deno.test("stream: arguments are not sent twice, though nobody has started the call", async () => {
  let connections = 0;
  await using refusing = new RawServer(async (conn) => {
    connections++;
    await answerHandshake(conn);
    await conn.read(new Uint8Array(1_024));
    // No call was taken up.
    await conn.write(frame([10, 0, "unavailable", ""]));
    await readToEnd(conn);
  });
  await using fleet = await Fleet.open(1, () => ({
    count: async (args: Args) => (await taken(args)).items.length,
  }));
  let finished = 0;
  async function* source() {
    try {
      yield* upTo(3);
      await turn();
      yield 3;
    } finally {
      finished++;
    }
  }
  await using client = await connect(new MultiServers([refusing.address, fleet.addresses[0]!]));
  const outcomes = await Promise.allSettled(
    [1, 2].map(() => client.call("S.count", source(), { idempotent: true })),
  );
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assertEquals(refused.map(({ reason }) => [reason.code, reason.notStarted]), [["unavailable", true]]);
  assertEquals(outcomes.filter((outcome) => outcome.status === "fulfilled").map(({ value }) => value), [4]);
  assertEquals([connections, fleet.calls], [1, [1]]);
  await until(() => finished === 2, "the finally of both sources");
});

Deno.test("stream: one that is left while its client still connects is over at once, and never sent", async () => {
  await using silent = new RawServer();
  await using client = await connect(new MultiServers([silent.address]), { connectTimeout: 60_000 });
  const items = client.stream("S.items");
  const first = items.next();
  assertEquals(client.stats().pending, 1);
  await items.return?.();
  assertEquals(await first, { value: undefined, done: true });
  await until(() => client.stats().pending === 0, "the call to be over");
});
