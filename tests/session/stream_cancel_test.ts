// Streams that are left, canceled, or out of time: both ends stop, and nothing leaks. Over memory and TCP.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { fails, testSession } from "../support/session_pair.ts";
import { type Args, Endless, idle, taken, upTo } from "../support/stream_sources.ts";
import { soon, until } from "../support/waiting.ts";

for (const how of ["break", "throw", "return"]) {
  testSession(`a consumer that leaves by ${how} stops the producer, and leaks nothing`, async (open) => {
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

testSession("a deadline holds over a whole stream, at both ends", async (open) => {
  const endless = new Endless();
  await using pair = await open({ methods: { endless: endless.run } });
  const began = performance.now();
  const { items, error } = await taken(pair.stream("endless", null, { timeout: 500 }));
  const elapsed = performance.now() - began;
  assert(elapsed >= 499, `${elapsed} ms`);
  assertEquals(error?.code, "deadline_exceeded");
  assert(items.length > 0);
  await idle(pair);
  assertEquals(endless.finished, 1);
  assert(["deadline_exceeded", "canceled"].includes(endless.reasons[0]!), endless.reasons[0]);
});

testSession(
  "a handler's deadline passes while its stream waits for a consumer that takes nothing",
  async (open) => {
    const endless = new Endless();
    await using pair = await open({ methods: { endless: endless.run }, handleTimeout: 500 });
    const stream = pair.stream<number>("endless");
    assertEquals((await stream.next()).value, 0);
    await until(() => endless.finished === 1, "its end");
    assertEquals(endless.reasons, ["deadline_exceeded"]);
    const { items, error } = await taken(stream);
    assertEquals({ code: error?.code, remote: error?.remote }, { code: "deadline_exceeded", remote: true });
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
  assertEquals({ finished: endless.finished, reasons: endless.reasons }, {
    finished: 1,
    reasons: ["canceled"],
  });
  await fails(pair.stream("endless", null, { signal: stop.signal }).next(), "canceled");
  assertEquals(pair.started, 1);
});

testSession(
  "a call whose source hangs can be canceled, and leaks nothing on the other side",
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

testSession("a call counts until the finally block of its stream is done", async (open) => {
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
  assertEquals({ pending: pair.dialled.pending, running: pair.accepted.running }, { pending: 0, running: 1 });
  cleaning.resolve();
  await idle(pair);
});

testSession(
  "a stream that is left just as it ends leaves nothing pending, and a drain completes",
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
      await soon(pair.accepted.closed, `the end of the drain, with ${hops} hops`);
    }
  },
);

testSession("a stream that a handler returns after its call was canceled is canceled", async (open) => {
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
