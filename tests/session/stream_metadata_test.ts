// What travels with the end of a stream: what handlers set until then, when callers see it, and what becomes of what
// cannot be sent. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { fails, streamOver, testSession } from "../support/session_pair.ts";
import { type Args, idle, taken, turn, upTo } from "../support/stream_sources.ts";
import { until } from "../support/waiting.ts";

type Entries = Map<string, string | Uint8Array>;

/** Takes a whole stream, and what its metadata were at each item and at the end. */
async function watched(stream: AsyncIterable<unknown>, metadata: Entries) {
  const during: number[] = [];
  let error: RpcError | undefined;
  try {
    for await (const _ of stream) during.push(metadata.size);
  } catch (thrown) {
    error = thrown as RpcError;
  }
  return { during, error, metadata: [...metadata] };
}

testSession("metadata that a handler sets until its stream ends arrive with the end", async (open) => {
  const early = ({ replyMetadata }: CallContext) => void replyMetadata.set("early", "e");
  const late = ({ replyMetadata }: CallContext) => void replyMetadata.set("late", new Uint8Array([1, 2]));
  await using pair = await open({
    methods: {
      *generator(_, context) {
        early(context);
        yield* [1, 2];
        late(context);
      },
      async *asyncGenerator(_, context) {
        early(context);
        try {
          yield* [await Promise.resolve(1), 2];
        } finally {
          await turn();
          late(context);
        }
      },
      promised: async (_, context) => {
        early(context);
        await turn();
        return ReadableStream.from((function* () {
          yield* [1, 2];
          late(context);
        })());
      },
      none: (_, context) => {
        early(context);
        late(context);
        return upTo(0);
      },
    },
  });
  for (
    const [name, items] of [["generator", 2], ["asyncGenerator", 2], ["promised", 2], ["none", 0]] as const
  ) {
    const metadata: Entries = new Map();
    const seen = await watched(pair.stream(name, null, {}, metadata), metadata);
    assertEquals(seen, {
      during: Array(items).fill(0),
      error: undefined,
      metadata: [["early", "e"], ["late", new Uint8Array([1, 2])]],
    }, name);
  }
  const nothing: Entries = new Map();
  await taken(pair.stream("echo", 1, {}, nothing));
  assertEquals(nothing.size, 0);
});

testSession("a stream that fails brings its metadata with the error", async (open) => {
  await using pair = await open({
    methods: {
      async *fail(_, { replyMetadata }) {
        yield* [1, 2];
        await turn();
        replyMetadata.set("retry-after", "7");
        throw new RpcError("unavailable", "Not now");
      },
      slow: async function* (_, { replyMetadata }) {
        replyMetadata.set("so-far", "1");
        yield 1;
        await new Promise(() => {});
      },
    },
    handleTimeout: 500,
  });
  for (
    const [method, code, expected] of [
      ["fail", "unavailable", ["retry-after", "7"]],
      ["slow", "deadline_exceeded", ["so-far", "1"]],
    ] as const
  ) {
    const metadata: Entries = new Map();
    const seen = await watched(pair.stream(method, null, {}, metadata), metadata);
    assertEquals({ code: seen.error?.code, remote: seen.error?.remote }, { code, remote: true });
    assertEquals([seen.metadata, [...seen.error!.metadata]], [[[...expected]], [[...expected]]]);
    assert(seen.during.every((size) => size === 0), `${seen.during}`);
  }
});

testSession(
  "metadata are visible at the end of the loop, though the end arrived long before",
  async (open) => {
    await using pair = await open({
      methods: {
        *three(_, { replyMetadata }) {
          yield* [1, 2, 3];
          replyMetadata.set("rows", "3");
        },
      },
    });
    const metadata: Entries = new Map();
    const stream = pair.stream<number>("three", null, {}, metadata);
    assertEquals((await stream.next()).value, 1);
    await idle(pair);
    for (const value of [2, 3]) {
      assertEquals([(await stream.next()).value, metadata.size], [value, 0]);
    }
    await turn();
    assertEquals(metadata.size, 0);
    assertEquals([(await stream.next()).done, metadata.get("rows")], [true, "3"]);
    assertEquals((await stream.next()).done, true);
    assertEquals(metadata.size, 1);
  },
);

testSession("a stream that is left or canceled has no metadata, wherever its end was", async (open) => {
  await using pair = await open({
    methods: {
      *three(_, { replyMetadata }) {
        yield* [1, 2, 3];
        replyMetadata.set("rows", "3");
      },
      async *endless(_, { replyMetadata }) {
        replyMetadata.set("rows", "0");
        for (;; await turn()) yield 0;
      },
    },
  });
  for (const method of ["three", "endless"]) {
    const metadata: Entries = new Map();
    const stream = pair.stream(method, null, {}, metadata);
    await stream.next();
    if (method === "three") await until(() => pair.dialled.pending === 0, "the end is here");
    await stream.return();
    assertEquals([(await stream.next()).done, metadata.size], [true, 0]);
  }
  const stop = new AbortController();
  const metadata: Entries = new Map();
  const stream = pair.stream("endless", null, { signal: stop.signal }, metadata);
  await stream.next();
  stop.abort();
  await fails(stream.next(), "canceled");
  assertEquals(metadata.size, 0);
  await idle(pair);
});

testSession("a stream whose metadata are not allowed, or too large, ends with an error", async (open) => {
  const log: string[] = [];
  const bad: Record<string, [string, unknown]> = {
    name: ["Not Good", "x"],
    proto: ["__proto__", "x"],
    reserved: ["rpc-own", "x"],
    "not-started": ["not-started", ""],
    type: ["n", 5],
    large: ["n", "x".repeat(20_000)],
  };
  await using pair = await open({
    log: (message) => log.push(message),
    methods: {
      *bad(which: string, { replyMetadata }) {
        yield 1;
        replyMetadata.set(...bad[which] as [string, string]);
      },
      *many(_, { replyMetadata }) {
        for (let i = 0; i < 65; i++) replyMetadata.set(`n${i}`, "");
        yield 1;
      },
    },
  });
  for (const which of Object.keys(bad)) {
    const metadata: Entries = new Map();
    const seen = await watched(pair.stream("bad", which, {}, metadata), metadata);
    assertEquals(
      [seen.during, seen.error?.code, seen.error?.notStarted, seen.metadata],
      [[0], which === "large" ? "resource_exhausted" : "internal", false, []],
      which,
    );
    assert(log.length > 0, "the log of the server says so");
    log.length = 0;
  }
  const many = await taken(pair.stream("many"));
  assertEquals({ items: many.items, code: many.error?.code, message: many.error?.message }, {
    items: [1],
    code: "internal",
    message: "The handler failed",
  });
  assertEquals(await pair.call("echo", "alive"), "alive");
  await idle(pair);
});

testSession(
  "a method that answers a stream's caller with one value sends that reply's metadata",
  async (open) => {
    await using pair = await open({
      methods: {
        one: (_, { replyMetadata }) => {
          replyMetadata.set("rows", "1");
          return "one";
        },
      },
    });
    const metadata: Entries = new Map();
    assertEquals(await watched(pair.stream("one", null, {}, metadata), metadata), {
      during: [0],
      error: undefined,
      metadata: [["rows", "1"]],
    });
  },
);

testSession("metadata set after the stream has ended are not sent", async (open) => {
  let context: CallContext | undefined;
  await using pair = await open({
    methods: {
      *one(_, given) {
        context = given;
        given.replyMetadata.set("in", "time");
        yield 1;
      },
    },
  });
  const metadata: Entries = new Map();
  await taken(pair.stream("one", null, {}, metadata));
  context!.replyMetadata.set("too", "late");
  assertEquals(await pair.call("echo", 1), 1);
  assertEquals([...metadata], [["in", "time"]]);
});

testSession("both directions, and calls back, end with metadata as well", async (open) => {
  const sum: string[] = [];
  await using pair = await open({
    methods: {
      async *double(args: Args, { replyMetadata, peer }: CallContext) {
        let count = 0;
        for await (const item of args) {
          count++;
          yield item * 2;
        }
        for await (const item of peer.stream<string>("S.back", count)) sum.push(item);
        replyMetadata.set("count", `${count}`);
      },
    },
    callbacks: {
      *back(count: number, { replyMetadata }) {
        for (let i = 0; i < count; i++) yield `${i}`;
        replyMetadata.set("back", `${count}`);
      },
    },
  });
  const metadata: Entries = new Map();
  const seen = await watched(pair.stream("double", upTo(100), {}, metadata), metadata);
  assertEquals({ during: seen.during.length, metadata: seen.metadata, sum: sum.length }, {
    during: 100,
    metadata: [["count", "100"]],
    sum: 100,
  });
  const back: Entries = new Map();
  await taken(streamOver(pair.accepted, "S.back", 2, {}, back));
  assertEquals([...back], [["back", "2"]]);
  await idle(pair);
});
