// Streams on the wire, frame by frame, seen from a peer by hand: first one that calls, then one that answers. What costs
// credit, what is ignored, and what breaks the protocol. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import type { CallContext } from "../call/dispatch.ts";
import { RpcError } from "../call/error.ts";
import { connect } from "../client/mod.ts";
import { CborCodec } from "../codec/cbor.ts";
import { KeyCache } from "../codec/key_cache.ts";
import type { CallOptions } from "../mod.ts";
import { sessionLimits } from "../transport/limits.ts";
import { connPair } from "../testing/conn.ts";
import { Session } from "../transport/session.ts";
import {
  ANSWER,
  bodyOf,
  bytes,
  call,
  cbor,
  type Frame,
  frame,
  type Item,
  RawPeer,
  soon,
} from "./raw_peer.ts";
import { callOver, fails, streamOver } from "./session_pair.ts";
import { assertGoAway, assertLives, ECHO, overBoth, pingPong, type Services, until } from "./wire_harness.ts";

const MOST = Number.MAX_SAFE_INTEGER;
const BAD = bytes(0xff);

/** Methods whose streams are counted. */
class Feed {
  produced = 0;
  finished = 0;
  readonly taken: unknown[] = [];
  readonly failures: string[] = [];
  readonly reasons: string[] = [];
  readonly gate = Promise.withResolvers<void>();

  readonly services: Services = {
    ...ECHO,
    Feed: {
      endless: (item: unknown, { signal }: CallContext) => {
        this.#watch(signal);
        return this.#endless(item);
      },
      late: async (item: unknown) => {
        await this.gate.promise;
        return this.#endless(item);
      },
      three: () => [1, 2, 3].values(),
      collect: async (args: AsyncIterable<unknown>, { signal }: CallContext) => {
        this.#watch(signal);
        try {
          for await (const item of args) this.taken.push(item);
        } catch (error) {
          this.failures.push((error as RpcError).code);
          throw error;
        }
        return this.taken.length;
      },
      deaf: async () => {
        await this.gate.promise;
        return "heard nothing";
      },
      first: async (args: AsyncIterable<unknown>) => {
        for await (const item of args) return item;
        return undefined;
      },
    },
  };

  async *#endless(item: unknown) {
    try {
      for (;; this.produced++) yield await Promise.resolve(item);
    } finally {
      this.finished++;
    }
  }

  #watch(signal: AbortSignal): void {
    signal.addEventListener("abort", () => this.reasons.push((signal.reason as RpcError).code));
  }
}

/** A Call whose arguments follow. */
function open(seq: number, method: string): Uint8Array {
  return frame([1, seq, method, 0]);
}

function item(seq: number, value: Item): Uint8Array {
  return frame([4, seq], cbor(value));
}

function end(seq: number): Uint8Array {
  return frame([5, seq]);
}

function credit(seq: number, items: number, size: number): Uint8Array {
  return frame([7, seq, items, size]);
}

function assertError(given: Frame | null | undefined, seq: number, code: string): void {
  assertEquals(given?.header.slice(0, 3), [3, seq, code]);
  assertEquals(given?.header.length, 4, "it was started");
}

overBoth("wire: an answer is Items and End, and arguments Items and End before a Reply", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.three"), open(3, "Feed.collect"), item(3, "a"), frame([4, 3]), end(3));
  const frames = await peer.frames(5);
  const of = (seq: number) => frames.filter((each) => each.seq === seq);
  assertEquals(of(1).map((each) => [each.header, bodyOf(each)]), [
    [[4, 1], 1],
    [[4, 1], 2],
    [[4, 1], 3],
    [[5, 1], undefined],
  ]);
  assertEquals(of(3).map((each) => [each.header, bodyOf(each)]), [[[2, 3], 2]]);
  assertEquals(feed.taken, ["a", undefined]);
});

overBoth("wire: both directions may use one number at once", async (open_) => {
  await using wire = await open_(ECHO);
  const { peer } = wire;
  await peer.send(open(1, "Echo.echo"));
  for (let i = 0; i < 200; i++) {
    await peer.send(item(1, i), credit(1, 1, 10));
    for (;;) {
      const next = (await peer.frame())!;
      if (next.kind === 7) continue;
      assertEquals([next.header, bodyOf(next)], [[4, 1], i]);
      break;
    }
  }
  await peer.send(end(1));
  assertEquals((await peer.frame())?.header, [5, 1]);
});

overBoth("wire: without Credit 64 Items come, and with it just as many more", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless"));
  const items = await peer.frames(64);
  assertEquals(items.every(({ header }) => header[0] === 4), true);
  assertEquals(await pingPong(peer, 1), []);
  await peer.send(credit(1, 0, 1_000_000), credit(1, 0, 0));
  assertEquals(await pingPong(peer, 2), [], "bytes alone are no items");
  for (const more of [1, 7, 100]) {
    await peer.send(credit(1, more, 0));
    await peer.frames(more);
    assertEquals(await pingPong(peer, 10 + more), []);
  }
  assertEquals(feed.produced <= 64 + 108, true, "the producer is not asked for more");
  await peer.send(frame([6, 1]));
  await until(() => feed.finished === 1, "its finally");
});

overBoth("wire: the bytes of a stream may fall below 0 by one Item, and must be paid back", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless", new Uint8Array(99_995)));
  const items = await peer.frames(3);
  assertEquals(items.map(({ kind, body }) => [kind, body.length]), Array(3).fill([4, 100_000]));
  assertEquals(await pingPong(peer, 1), [], "300 000 of 262 144");
  await peer.send(credit(1, 0, 37_856));
  assertEquals(await pingPong(peer, 2), [], "0 is not above 0");
  await peer.send(credit(1, 0, 1));
  await peer.frames(1);
  assertEquals(await pingPong(peer, 3), []);
  await peer.send(credit(1, 1_000, 99_999));
  assertEquals(await pingPong(peer, 4), []);
  await peer.send(credit(1, 0, 100_001));
  await peer.frames(2);
  assertEquals(await pingPong(peer, 5), []);
});

overBoth("wire: Credit counts that comes before the handler has said that it streams", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.late", 0), credit(1, 36, 0), credit(1, 0, 0));
  await pingPong(peer, 1);
  feed.gate.resolve();
  await peer.frames(100);
  assertEquals(await pingPong(peer, 2), []);
});

overBoth("wire: Credit is given for what a handler takes, and not for what it does not", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(open(1, "Feed.deaf"), ...Array.from({ length: 64 }, (_, i) => item(1, i)));
  assertEquals(await pingPong(peer, 1), []);
  await peer.send(open(3, "Feed.collect"));
  let left = 64;
  for (let sent = 0; sent < 5_000; sent++, left--) {
    while (left === 0) {
      const given = (await peer.frame())!;
      assertEquals([given.kind, given.seq], [7, 3]);
      left += given.header[2] as number;
      assert(left <= 1_024, `${left}`);
    }
    await peer.send(item(3, sent));
  }
  await peer.send(end(3));
  let last: Frame | null;
  do last = await peer.frame(); while (last?.kind === 7);
  assertEquals([last?.header, bodyOf(last!)], [[2, 3], 5_000]);
});

overBoth("wire: Cancel stops a stream: what is on its way may come, and no End", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless", "x".repeat(5_000)), credit(1, MOST - 64, MOST - 262_144));
  await peer.frames(100);
  await peer.send(frame([6, 1]));
  await until(() => feed.finished === 1, "its finally");
  const { produced } = feed;
  const late = await pingPong(peer, 1);
  assertEquals(late.every(({ kind, seq }) => kind === 4 && seq === 1), true);
  assert(100 + late.length <= produced + 1, `${late.length} of ${produced}`);
  assertEquals(await pingPong(peer, 2), []);
  assertEquals([feed.produced, feed.reasons], [produced, ["canceled"]]);
  await assertLives(peer, 3);
  assertEquals(wire.stats("Feed.endless").inFlight, 0);
});

overBoth("wire: unlimited Credit of a peer that does not read fills no memory", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services, { maxUnsentBytes: 1_000_000 });
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless", new Uint8Array(10_000)), credit(1, MOST - 64, MOST - 262_144));
  let before = -1;
  await until(() => feed.produced > 40 && before === (before = feed.produced), "it stands still");
  // What the network itself holds can be a few megabytes.
  assert(feed.produced < 2_000, `${feed.produced}`);
  await peer.frames(200);
  await peer.send(frame([6, 1]));
  await until(() => feed.finished === 1, "its finally");
});

overBoth("wire: an Item without credit breaks the protocol, by items and by bytes", async (open_) => {
  for (const [count, size] of [[64, 0], [3, 100_000], [1, 262_144], [2, 262_143]] as const) {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    const body = size === 0 ? bytes() : cbor(new Uint8Array(size - 5));
    await peer.send(open(1, "Feed.deaf"));
    for (let i = 0; i < count; i++) await peer.send(frame([4, 1], body));
    assertEquals(await pingPong(peer, 1), [], `${count} of ${size}`);
    await peer.send(frame([4, 1], body));
    assertEquals(await assertGoAway(peer, "resource_exhausted", 1), []);
    feed.gate.resolve();
  }
});

overBoth("wire: an Item behind End, and a second End, break the protocol", async (open_) => {
  for (const further of [item(1, 2), end(1), frame([4, 1])]) {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    await wire.peer.send(open(1, "Feed.deaf"), item(1, 1), end(1), further);
    assertEquals(await assertGoAway(wire.peer, "invalid_argument", 1), []);
    feed.gate.resolve();
  }
});

overBoth("wire: Items and End for a call that had a body fail that call alone", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.late"), call(3, "Feed.late"), item(1, 1), end(3), item(1, 2), end(1));
  const [one, two] = await peer.frames(2);
  assertError(one, 1, "invalid_argument");
  assertError(two, 3, "invalid_argument");
  feed.gate.resolve();
  await assertLives(peer, 5);
  // A stream that flows already ends so too.
  await peer.send(call(7, "Feed.endless"));
  await peer.frames(64);
  await peer.send(end(7));
  assertError(await peer.frame(), 7, "invalid_argument");
  await until(() => feed.finished === 1, "its finally");
  assertEquals(feed.reasons, ["invalid_argument"]);
});

overBoth(
  "wire: Items, End and Credit of calls that are over are ignored, whatever they are",
  async (open_) => {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    await peer.send(open(1, "Feed.first"), item(1, "it"));
    const reply = (await peer.frame())!;
    assertEquals([reply.header, bodyOf(reply)], [[2, 1], "it"]);
    for (let i = 0; i < 100; i++) await peer.send(item(1, i));
    await peer.send(frame([4, 1], BAD), end(1), end(1), item(1, 0), credit(1, MOST, MOST), frame([6, 1]));
    assertEquals(await pingPong(peer, 1), []);
    // Refused calls were used up as well.
    await peer.send(open(3, "No.such"), item(3, 1), end(3), end(3));
    const { header } = (await peer.frame())!;
    assertEquals([header.slice(0, 3), header[4]], [[3, 3, "unimplemented"], new Map([["not-started", ""]])]);
    // And canceled ones, though their handlers still run.
    await peer.send(open(5, "Feed.deaf"), frame([6, 5]));
    for (let i = 0; i < 100; i++) await peer.send(item(5, i));
    await peer.send(end(5), end(5), credit(5, MOST, MOST));
    assertEquals(await pingPong(peer, 2), []);
    feed.gate.resolve();
    await assertLives(peer, 7);
  },
);

overBoth(
  "wire: Items and End of calls that were never made break the protocol, Credit does not",
  async (open_) => {
    for (const stray of [item(3, 1), end(3), item(2, 1), end(2)]) {
      await using wire = await open_(ECHO);
      await assertLives(wire.peer, 1);
      await wire.peer.send(credit(3, 1, 1), credit(2, MOST, MOST), stray);
      assertEquals(await assertGoAway(wire.peer, "invalid_argument", 1), []);
    }
  },
);

overBoth(
  "wire: a sum of Credit above 2^53-1 breaks the protocol, one of just that does not",
  async (open_) => {
    for (const [items, size] of [[MOST, 0], [0, MOST], [MOST - 63, 0], [0, MOST - 262_143]] as const) {
      const feed = new Feed();
      await using wire = await open_(feed.services);
      const { peer } = wire;
      await peer.send(call(1, "Feed.late"), credit(1, MOST - 64, MOST - 262_144));
      assertEquals(await pingPong(peer, 1), []);
      await peer.send(call(3, "Feed.late"), credit(3, items, size));
      assertEquals(await assertGoAway(peer, "invalid_argument", 3), []);
      feed.gate.resolve();
    }
  },
);

overBoth(
  "wire: an Item that cannot be decoded fails its call alone, and its handler hears of it",
  async (open_) => {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    await peer.send(open(1, "Feed.collect"), item(1, "good"), frame([4, 1], BAD), item(1, "late"), end(1));
    assertError(await peer.frame(), 1, "invalid_argument");
    await until(() => feed.failures.length === 1, "its handler");
    assertEquals([feed.failures, feed.reasons], [["invalid_argument"], ["invalid_argument"]]);
    await assertLives(peer, 3);
  },
);

overBoth("wire: an item that cannot be encoded is an Error behind those before it", async (open_) => {
  await using wire = await open_({
    ...ECHO,
    Odd: {
      items: () => [1, () => {}, 3].values(),
      late: () =>
        [1, 2, {
          get a() {
            throw new Error("x");
          },
        }].values(),
    },
  });
  const { peer } = wire;
  await peer.send(call(1, "Odd.items"));
  const [first, error] = await peer.frames(2);
  assertEquals(first?.header, [4, 1]);
  assertError(error, 1, "internal");
  await peer.send(call(3, "Odd.late"));
  assertError((await peer.frames(3))[2], 3, "internal");
  await assertLives(peer, 5);
});

overBoth("wire: a stream's time is up while it waits for credit", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless", 1, 50));
  await peer.frames(64);
  assertError(await peer.frame(), 1, "deadline_exceeded");
  await until(() => feed.finished === 1, "its finally");
  assertEquals(feed.reasons, ["deadline_exceeded"]);
  await assertLives(peer, 3);
});

overBoth("wire: after a half-close a stream goes on while it has credit, then fails", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless"), call(3, "Feed.late"), call(5, "Feed.three"), credit(3, 36, 0));
  await peer.end();
  feed.gate.resolve();
  const frames = await peer.rest();
  const of = (seq: number) => frames.filter((each) => each.seq === seq);
  assertEquals([of(1).length, of(3).length, of(5).length], [65, 101, 4]);
  assertError(of(1).at(-1), 1, "unavailable");
  assertError(of(3).at(-1), 3, "unavailable");
  assertEquals(of(5).at(-1)!.header, [5, 5]);
  await until(() => feed.finished === 2, "their finally");
});

overBoth(
  "wire: after a half-close arguments fail that had not ended, behind what had come",
  async (open_) => {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    await peer.send(
      open(1, "Feed.collect"),
      item(1, 1),
      item(1, 2),
      open(3, "Feed.first"),
      item(3, "enough"),
    );
    await peer.end();
    const frames = await peer.rest();
    assertError(frames.find(({ seq }) => seq === 1), 1, "unavailable");
    assertEquals(frames.find(({ seq }) => seq === 3)?.header, [2, 3]);
    assertEquals([feed.taken, feed.failures], [[1, 2], ["unavailable"]]);
  },
);

overBoth("wire: the end inside an Item aborts its call", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(open(1, "Feed.collect"), item(1, 1), item(1, "torn").slice(0, -1));
  await peer.end();
  await until(() => feed.failures.length === 1, "the handler hears of it");
  assertEquals([feed.failures, feed.reasons], [["unavailable"], ["unavailable"]]);
});

/** A caller of the library's, and the peer that answers it by hand. */
interface Answering extends AsyncDisposable {
  readonly peer: RawPeer;
  readonly pending: () => number;
  call(method: string, args?: unknown, options?: CallOptions): Promise<unknown>;
  stream(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
}

/** One test of what the calling side makes of a peer's answers: over memory and over TCP. */
function answering(promise: string, test: (open: () => Promise<Answering>) => Promise<void>): void {
  Deno.test(`${promise} (memory)`, () => test(() => Promise.resolve(answeringMemory())));
  Deno.test(`${promise} (TCP)`, () => test(answeringTcp));
}

function answeringMemory(): Answering {
  const [near, far] = connPair();
  const limits = sessionLimits({});
  const session = new Session(near, {
    agreement: {
      codec: new CborCodec(),
      peerMaxFrameBytes: limits.maxFrameBytes,
      peerMaxInFlight: 1_024,
      handleTimeout: 0,
    },
    dialled: true,
    prefix: new Uint8Array(0),
    limits,
    names: new KeyCache(),
  });
  const peer = new RawPeer(far);
  return {
    peer,
    pending: () => session.pending,
    call: (...rest) => callOver(session, ...rest),
    stream: (...rest) => streamOver(session, ...rest),
    async [Symbol.asyncDispose]() {
      peer.close();
      session.close(new RpcError("unavailable", "The test is over"));
      await session.closed;
    },
  };
}

async function answeringTcp(): Promise<Answering> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept().then(async (socket) => {
    const peer = RawPeer.of(socket);
    await peer.line();
    await peer.send(ANSWER);
    return peer;
  });
  const client = await connect(`tcp@127.0.0.1:${listener.addr.port}`);
  const peer = await accepting;
  return {
    peer,
    pending: () => client.stats().pending,
    call: (...rest) => client.call(...rest),
    stream: (...rest) => client.stream(...rest),
    async [Symbol.asyncDispose]() {
      peer.close();
      await client.close();
    },
  };
}

/** Takes the next `count` items. */
async function take(stream: AsyncIterator<unknown>, count: number): Promise<unknown[]> {
  const items: unknown[] = [];
  while (items.length < count) items.push((await soon(stream.next(), "an item")).value);
  return items;
}

/** Shows that the calling side told its peer nothing but this, so far. */
async function assertTold(peer: RawPeer, ...headers: Item[][]): Promise<void> {
  assertEquals((await pingPong(peer, 99)).map(({ header }) => header), headers);
}

answering(
  "answered: an item that cannot be decoded is data_loss behind those before it, and Cancel",
  async (open_) => {
    await using at = await open_();
    const stream = at.stream("Far.away", null, { timeout: Infinity });
    const first = stream.next();
    assertEquals((await at.peer.frame())?.header, [1, 1, "Far.away", 0]);
    await at.peer.send(item(1, "a"), item(1, "b"), frame([4, 1], BAD), item(1, "c"), end(1));
    assertEquals((await first).value, "a");
    assertEquals(await take(stream, 1), ["b"]);
    const error = await fails(stream.next(), "data_loss", "Far.away");
    assertEquals([error.remote, at.pending()], [false, 0]);
    await assertTold(at.peer, [6, 1]);
  },
);

answering("answered: Items and then Error give the items, then the error", async (open_) => {
  await using at = await open_();
  const stream = at.stream("Far.away");
  const first = stream.next();
  await at.peer.frame();
  await at.peer.send(item(1, 1), item(1, 2), frame([3, 1, "not_found", "No third"], cbor("details")));
  assertEquals([(await first).value, ...await take(stream, 1)], [1, 2]);
  const error = await fails(stream.next(), "not_found", "No third");
  assertEquals([error.remote, error.details, at.pending()], [true, "details", 0]);
  assertEquals((await stream.next()).done, true);
  await assertTold(at.peer);
});

answering("answered: a Reply behind Items breaks the protocol", async (open_) => {
  await using at = await open_();
  const stream = at.stream("Far.away");
  const first = stream.next();
  await at.peer.frame();
  await at.peer.send(item(1, 1), frame([2, 1], cbor(2)));
  assertEquals((await first).value, 1);
  await fails(stream.next(), "unavailable", "behind items");
  assertEquals(await assertGoAway(at.peer, "invalid_argument", 0), []);
});

answering(
  "answered: a Reply alone is a stream of one, and nothing may follow it but what is ignored",
  async (open_) => {
    await using at = await open_();
    const stream = at.stream("Far.away");
    const first = stream.next();
    await at.peer.frame();
    await at.peer.send(frame([2, 1], cbor("one")), item(1, 2), end(1), frame([2, 1]), credit(1, 1, 1));
    assertEquals([(await first).value, (await stream.next()).done], ["one", true]);
    await assertTold(at.peer);
  },
);

answering(
  "answered: End for a call of one value says that it is a stream, an Item cancels it too",
  async (open_) => {
    await using at = await open_();
    const ended = fails(at.call("Far.away"), "unimplemented", "use stream()");
    await at.peer.frame();
    await at.peer.send(end(1));
    await ended;
    await assertTold(at.peer);
    const streamed = fails(at.call("Far.away"), "unimplemented", "use stream()");
    await at.peer.frame();
    await at.peer.send(item(3, 1), item(3, 2), frame([4, 3], BAD), end(3));
    await streamed;
    await assertTold(at.peer, [6, 3]);
    assertEquals(at.pending(), 0);
  },
);

answering("answered: an Item without credit breaks the protocol, by items and by bytes", async (open_) => {
  for (const [count, size] of [[64, 5], [3, 100_000]] as const) {
    await using at = await open_();
    const stream = at.stream("Far.away");
    const first = stream.next();
    await at.peer.frame();
    const body = cbor(new Uint8Array(size - 5));
    // The first is taken.
    for (let i = 0; i < count; i++) await at.peer.send(frame([4, 1], body));
    await first;
    assertEquals((await pingPong(at.peer, 1)).length, 0);
    await at.peer.send(frame([4, 1], body));
    await assertGoAway(at.peer, "resource_exhausted", 0);
    for (let i = 1; i < count; i++) assertEquals((await stream.next()).done, false);
    await fails(stream.next(), "unavailable", "without credit");
  }
});

answering("answered: Items of calls that were never made break the protocol", async (open_) => {
  for (const stray of [item(3, 1), end(3), frame([2, 3]), item(2, 1), end(2)]) {
    await using at = await open_();
    const pending = fails(at.stream("Far.away").next(), "unavailable");
    await at.peer.frame();
    await at.peer.send(stray);
    await assertGoAway(at.peer, "invalid_argument", 0);
    await pending;
  }
});

answering("answered: Credit that sums to more than 2^53-1 breaks the protocol", async (open_) => {
  await using at = await open_();
  const feed = new Feed();
  const source = feed.services.Feed!.endless!(1, { signal: new AbortController().signal });
  const calling = fails(at.call("Far.away", source), "unavailable", "2^53-1");
  assertEquals((await at.peer.frame())?.body.length, 0);
  await at.peer.frames(64);
  await at.peer.send(credit(1, 0, 0), credit(1, 0, MOST - 200_000));
  await at.peer.send(credit(1, 0, MOST - 200_000));
  await assertGoAway(at.peer, "invalid_argument", 0);
  await calling;
  await until(() => feed.finished === 1, "the end of its source");
});

answering("answered: arguments stop at 64 Items without Credit, and at the answer", async (open_) => {
  await using at = await open_();
  const feed = new Feed();
  const { signal } = new AbortController();
  const calling = at.call("Far.away", feed.services.Feed!.endless!("x", { signal }));
  await at.peer.frames(1 + 64);
  await assertTold(at.peer);
  await at.peer.send(credit(1, 10, 0));
  assertEquals((await at.peer.frames(10)).every(({ header }) => header[0] === 4), true);
  await assertTold(at.peer);
  await at.peer.send(frame([2, 1], cbor("enough")), credit(1, 50, 50));
  assertEquals(await calling, "enough");
  await assertTold(at.peer);
  await until(() => feed.finished === 1, "its finally");
});

answering("answered: arguments are Items and one End, and a source that fails is Cancel", async (open_) => {
  await using at = await open_();
  const calling = at.call("Far.away", ReadableStream.from([1, undefined, "three"]));
  const frames = await at.peer.frames(5);
  assertEquals(frames.slice(1).map((each) => [each.header, bodyOf(each)]), [
    [[4, 1], 1],
    [[4, 1], undefined],
    [[4, 1], "three"],
    [[5, 1], undefined],
  ]);
  await at.peer.send(frame([2, 1]));
  assertEquals(await calling, undefined);
  const failing = at.call(
    "Far.away",
    (async function* () {
      yield await Promise.resolve(1);
      throw new Error("torn");
    })(),
  );
  await fails(failing, "canceled", "torn");
  assertEquals((await at.peer.frames(3)).map(({ header }) => header.slice(0, 2)), [[1, 3], [4, 3], [6, 3]]);
});

answering("answered: leaving a stream sends one Cancel, and what still comes is ignored", async (open_) => {
  await using at = await open_();
  const stream = at.stream("Far.away");
  const first = stream.next();
  await at.peer.frame();
  await at.peer.send(item(1, 1), item(1, 2));
  assertEquals((await first).value, 1);
  await stream.return!();
  await stream.return!();
  assertEquals(at.pending(), 0);
  for (let i = 0; i < 200; i++) await at.peer.send(item(1, i));
  await at.peer.send(frame([4, 1], BAD), frame([3, 1, "internal", ""]), end(1));
  await assertTold(at.peer, [6, 1]);
});

answering("answered: the end of the connection ends a stream behind what has come", async (open_) => {
  for (const how of ["end", "goaway"]) {
    await using at = await open_();
    const stream = at.stream("Far.away");
    const first = stream.next();
    await at.peer.frame();
    await at.peer.send(item(1, 1), item(1, 2));
    if (how === "goaway") await at.peer.send(frame([10, 1, "internal", "Out of order"]));
    else await at.peer.end();
    assertEquals((await first).value, 1);
    assertEquals(await take(stream, 1), [2]);
    await fails(stream.next(), "unavailable");
    assertEquals(at.pending(), 0);
  }
});

answering("answered: a drain lets a stream finish that was taken up, Credit included", async (open_) => {
  await using at = await open_();
  const stream = at.stream("Far.away");
  const first = stream.next();
  await at.peer.frame();
  await at.peer.send(frame([10, 1, "unavailable", "Draining"]), item(1, 0));
  assertEquals((await first).value, 0);
  for (let i = 1; i < 40; i++) await at.peer.send(item(1, i));
  assertEquals(await take(stream, 39), Array.from({ length: 39 }, (_, i) => i + 1));
  const given = (await at.peer.frame())!;
  assertEquals([given.kind, given.seq], [7, 1]);
  await at.peer.send(end(1));
  assertEquals((await stream.next()).done, true);
});
