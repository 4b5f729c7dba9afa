// Streams that fail at either end, or with their connection: which error each side receives, and in which order. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { fails, testSession } from "../support/session_pair.ts";
import { type Args, Endless, idle, taken, ticks, upTo } from "../support/stream_sources.ts";
import { until } from "../support/waiting.ts";

testSession("a producer's error is delivered after the items before it", async (open) => {
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
  assertEquals({ code: error!.error?.code, message: error!.error?.message }, {
    code: "internal",
    message: "The handler failed",
  });
  assertEquals((logged[0] as Error).message, "private");
  assertEquals({
    code: generator!.error?.code,
    message: generator!.error?.message,
    details: generator!.error?.details,
  }, { code: "not_found", message: "No third", details: { third: true } });
  assertEquals({ remote: generator!.error?.remote, code: readable!.error?.code }, {
    remote: true,
    code: "aborted",
  });
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
  assertEquals({ items: odd1.items, code: odd1.error?.code }, { items: [1], code: "internal" });
  assertEquals({ items: large.items, code: large.error?.code }, { items: [1], code: "resource_exhausted" });
  assertEquals({ items: up.items.length, error: up.error }, { items: 500, error: undefined });
  assertEquals(finished, 2);
  await fails(pair.call("count", ReadableStream.from(odd(() => {}))), "invalid_argument");
  await fails(pair.call("count", ReadableStream.from(odd(new Uint8Array(70_000)))), "resource_exhausted");
  await idle(pair);
  assertEquals(finished, 4);
});

testSession("a lost connection ends streams with unavailable, after what has arrived", async (open) => {
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

testSession("a source that throws fails its call, and aborts its handler", async (open) => {
  const received: string[] = [];
  await using pair = await open({
    methods: {
      eat: async (args: Args) => {
        const { items, error } = await taken(args);
        received.push(`${items.length} ${error?.code}`);
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
  assertEquals(received.length, 1);
  assert(received[0]!.endsWith("canceled"), received[0]);

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

testSession("a call that fails at its first item leaves no listener on its signal", async (open) => {
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
