// How fast streams flow: a producer runs no further ahead of its consumer than the credit allows, one that is stalled
// stalls no other call, and nothing accumulates however long it lasts.

import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { RecvStream } from "../../session/recv_stream.ts";
import { INITIAL, SHORT_LINE } from "../../session/recv_window.ts";
import { SendStream } from "../../session/send_stream.ts";
import { settle } from "../support/fake_clock.ts";
import { testSession } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { streamOwner, testWindows } from "../support/windows.ts";

/** How far the credit of a stream grows, unless it is on a long line. */
const { items: MOST_ITEMS, bytes: MOST_BYTES } = SHORT_LINE;
const { items: INITIAL_ITEMS, bytes: INITIAL_BYTES } = INITIAL;

/** Counts what is taken from `items`, and whether they were left. */
class Counted<T> {
  produced = 0;
  finished = false;
  readonly #make: (i: number) => T;
  readonly #count: number;

  constructor(make: (i: number) => T, count = Infinity) {
    this.#make = make;
    this.#count = count;
  }

  async *items(): AsyncGenerator<T> {
    try {
      while (this.produced < this.#count) yield await Promise.resolve(this.#make(this.produced++));
    } finally {
      this.finished = true;
    }
  }
}

/** Waits until `count` has not changed for some turns of the event loop. */
async function still(count: () => number): Promise<void> {
  for (let before = -1, same = 0; same < 20; same = count() === before ? same + 1 : 0, before = count()) {
    await settle();
  }
}

testSession(
  "the producer of an answer stops when its credit is used up, and goes on as items are taken",
  async (open) => {
    const up = new Counted((i) => i);
    await using pair = await open({ methods: { up: () => up.items() } });
    const stream = pair.stream<number>("up");
    await stream.next();
    await still(() => up.produced);
    assert(up.produced >= INITIAL_ITEMS && up.produced <= INITIAL_ITEMS + 1, `${up.produced}`);
    for (let i = 0; i < 30; i++) await stream.next();
    await still(() => up.produced);
    assertLess(up.produced, INITIAL_ITEMS + 2, "less than half was taken");
    await stream.next();
    await until(() => up.produced >= INITIAL_ITEMS + 32, "it goes on");
    await still(() => up.produced);
    assertLess(up.produced, INITIAL_ITEMS + 34);
    await stream.return();
    await until(() => up.finished, "its end");
  },
);

testSession(
  "large items are limited by their bytes, and each may be larger than all credit",
  async (open) => {
    const parts = new Counted(() => new Uint8Array(100_000));
    const huge = new Counted((i) => new Uint8Array(1_000_000).fill(i), 5);
    await using pair = await open({ methods: { parts: () => parts.items(), huge: () => huge.items() } });
    const stream = pair.stream<Uint8Array>("parts");
    await stream.next();
    await still(() => parts.produced);
    assert(parts.produced >= 3 && parts.produced <= 5, `${parts.produced}`);
    await stream.return();
    const whole = pair.stream<Uint8Array>("huge");
    for (let i = 0; i < 5; i++) {
      const { value } = await whole.next();
      assertEquals([value!.length, value![999_999]], [1_000_000, i]);
      assert(huge.produced <= i + 4, `${huge.produced} after ${i}`);
    }
    assertEquals((await whole.next()).done, true);
  },
);

testSession(
  "the source of arguments is not read further when its handler takes none",
  async (open) => {
    const up = new Counted((i) => i);
    const gate = Promise.withResolvers<void>();
    await using pair = await open({
      methods: {
        eat: async (args: AsyncIterable<number>) => {
          await gate.promise;
          let count = 0;
          for await (const _ of args) if (++count === 1_000) break;
          return count;
        },
      },
    });
    const call = pair.call("eat", up.items());
    await still(() => up.produced);
    assert(up.produced >= INITIAL_ITEMS && up.produced <= INITIAL_ITEMS + 1, `${up.produced}`);
    gate.resolve();
    assertEquals(await call, 1_000);
    assertLess(up.produced, 1_000 + 2 * MOST_ITEMS);
    await until(() => up.finished, "its end");
  },
);

testSession(
  "backpressure of a slow handler: 64 KiB items never run further ahead than the budget of windows allows",
  async (open) => {
    const parts = new Counted(() => new Uint8Array(65_536), 400);
    let eaten = 0;
    let ahead = 0;
    await using pair = await open({
      limits: { maxWindowBytes: MOST_BYTES },
      methods: {
        eat: async (args: AsyncIterable<Uint8Array>) => {
          for await (const { length } of args) {
            assertEquals(length, 65_536);
            ahead = Math.max(ahead, parts.produced - eaten++);
            if (eaten % 4 === 0) await settle();
          }
          return eaten;
        },
      },
    });
    assertEquals(await pair.call("eat", parts.items()), 400);
    assertLess(ahead, (INITIAL_BYTES + MOST_BYTES) / 65_536 + 4);
  },
);

testSession("a stalled stream stalls neither calls nor other streams of its connection", async (open) => {
  const stalled = new Counted((i) => new Uint8Array(20_000).fill(i));
  const fed = new Counted((i) => i);
  const gate = Promise.withResolvers<void>();
  await using pair = await open({
    methods: {
      stalled: () => stalled.items(),
      deaf: async (args: AsyncIterable<number>) => {
        await gate.promise;
        for await (const item of args) return item;
        return undefined;
      },
      up: (to: number) => new Counted((i) => i, to).items(),
      back: (args: AsyncIterable<number>) => args,
    },
  });
  const streams = Array.from({ length: 10 }, () => pair.stream<Uint8Array>("stalled"));
  for (const stream of streams) assertEquals((await stream.next()).value!.length, 20_000);
  const deaf = pair.call("deaf", fed.items());
  await still(() => stalled.produced + fed.produced);
  const { produced } = stalled;

  const replies = await Promise.all(Array.from({ length: 500 }, (_, i) => pair.call("echo", i)));
  assertEquals(replies, Array.from({ length: 500 }, (_, i) => i));
  let count = 0;
  for await (const i of pair.stream<number>("up", 10_000)) assertEquals(i, count++);
  for await (const i of pair.stream<number>("back", new Counted((i) => i, 1_000).items())) {
    assertEquals(i, count++ - 10_000);
  }
  assertEquals(count, 11_000);
  assertEquals([stalled.produced, fed.produced], [produced, INITIAL_ITEMS], "they are still stalled");

  gate.resolve();
  assertEquals(await deaf, 0);
  for (const stream of streams) {
    for (let i = 0; i < 30; i++) assertEquals((await stream.next()).done, false);
    await stream.return();
  }
  await until(() => pair.idle, "nothing is left");
});

testSession("many streams together hold no more unsent than the connection may", async (open) => {
  const maxUnsentBytes = 300_000;
  const parts = new Counted(() => new Uint8Array(10_000));
  await using pair = await open({ methods: { parts: () => parts.items() }, limits: { maxUnsentBytes } });
  const streams = Array.from({ length: 40 }, () => pair.stream<Uint8Array>("parts"));
  await Promise.all(streams.map((stream) => stream.next()));
  for (let i = 0; i < 200; i++) {
    await Promise.all(
      streams.map(async (stream) => assertEquals((await stream.next()).value!.length, 10_000)),
    );
  }
  await Promise.all(streams.map((stream) => stream.return()));
  await until(() => pair.idle, "nothing is left");
});

testSession("200 000 items leak nothing", async (open) => {
  await using pair = await open({
    methods: {
      up: async function* (to: number) {
        for (let i = 0; i < to; i++) yield `${i}`.padStart(500, ".");
      },
    },
  });
  let count = 0;
  let before = 0;
  for await (const item of pair.stream<string>("up", 200_000)) {
    if (item.length !== 500) throw new Error(item);
    if (++count === 20_000) before = Deno.memoryUsage().heapUsed;
  }
  const grown = Deno.memoryUsage().heapUsed - before;
  assertEquals(count, 200_000);
  // Kept, they would be over 90 MB; what the collector has not come to yet is far less.
  assertLess(grown, 60_000_000);
});

Deno.test("recvStream: a consumer that never catches up leaks nothing", async () => {
  const recvStream = new RecvStream();
  recvStream.attach(streamOwner(), testWindows());
  for (let i = 0; i < 20; i++) {
    recvStream.spend(1);
    recvStream.push(i, 1);
  }
  const before = Deno.memoryUsage().heapUsed;
  for (let i = 20; i < 3_000_020; i++) {
    recvStream.spend(1);
    recvStream.push(i, 1);
    const { value } = await recvStream.next();
    if (value !== i - 20) throw new Error(`${value} in place of ${i - 20}`);
  }
  // Two places an item would be 48 MB.
  assertLess(Deno.memoryUsage().heapUsed - before, 30_000_000);
});

Deno.test("recvStream: grants credit for what was taken, half a window at a time, and more to a waiting consumer", async () => {
  const grants: [number, number][] = [];
  const recvStream = new RecvStream();
  recvStream.attach(streamOwner((items, bytes) => grants.push([items, bytes])), testWindows());
  let credit = INITIAL_ITEMS;
  const fill = (count: number, size: number) => {
    for (let i = 0; i < count; i++) {
      recvStream.spend(size);
      recvStream.push(i, size);
    }
    credit -= count;
  };
  fill(64, 10);
  for (let i = 0; i < 31; i++) await recvStream.next();
  assertEquals(grants, []);
  await recvStream.next();
  assertEquals(grants, [[32, 320]], "others still wait: no more than was taken");
  credit += 32;
  for (let i = 0; i < 31; i++) await recvStream.next();
  assertEquals(grants.length, 1);
  await recvStream.next();
  assertEquals(grants[1], [32 + 64, 320 + INITIAL_BYTES], "none waits: the window doubles");
  credit += 96;
  // A consumer that is always waiting.
  for (let i = 0; i < 20_000; i++) {
    const seen = grants.length;
    const next = recvStream.next();
    fill(1, 10);
    await next;
    if (grants.length > seen) credit += grants.at(-1)![0];
    assert(credit > 0 && credit <= MOST_ITEMS, `${credit}`);
  }
  assertEquals(grants.at(-1), [MOST_ITEMS / 2, MOST_ITEMS / 2 * 10]);
  assertEquals(
    grants.reduce((sum, [, bytes]) => sum + bytes, 0) - grants.reduce((n, [i]) => n + i, 0) * 10 > 0,
    true,
  );
});

Deno.test("recvStream: a sender that spent all its bytes is granted them again when all is taken", async () => {
  for (const size of [1, 4_096, 100_000, 131_072, 262_144, 5_000_000]) {
    let items = INITIAL_ITEMS, bytes = INITIAL_BYTES;
    const recvStream = new RecvStream();
    recvStream.attach(
      streamOwner((more, moreBytes) => (items += more, bytes += moreBytes)),
      testWindows(),
    );
    for (let round = 0; round < 50; round++) {
      let sent = 0;
      for (; items > 0 && bytes > 0; items--, bytes -= size, sent++) {
        recvStream.spend(size);
        recvStream.push(sent, size);
      }
      assert(sent > 0, `stuck in round ${round} with items of ${size}`);
      assertThrows(() => recvStream.spend(size), RpcError, "without credit");
      for (; sent > 0; sent--) await recvStream.next();
      assert(items <= MOST_ITEMS && bytes <= MOST_BYTES, `${items}, ${bytes}`);
    }
  }
});

Deno.test("sendStream: credit received before it begins counts, and is refused above 2^53-1", async () => {
  const written: unknown[] = [];
  let active = 0;
  const flow = new SendStream({
    hasRoom: () => true,
    streaming: (change) => void (active += change),
    writeItem: (value) => written.push(value) * 0,
  });
  flow.credit(10, 0);
  const sent = flow.send(new Counted((i) => i).items());
  await settle();
  assertEquals({ written: written.length, active }, { written: INITIAL_ITEMS + 10, active: 0 });
  assertThrows(() => flow.credit(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), RpcError, "2^53-1");
  flow.stop();
  assertEquals([await sent, active], [false, 0]);
});

Deno.test("sendStream: a stream that runs out of credit for good fails, and releases its source", async () => {
  const up = new Counted((i) => i);
  const flow = new SendStream({ hasRoom: () => true, streaming: () => {}, writeItem: () => 1 });
  const sent = flow.send(up.items());
  flow.endCredit(new RpcError("unavailable", "No credit comes any more"));
  const error = await sent.catch((error) => error);
  // It was asked once more: it might have been over.
  assertEquals({ code: error.code, produced: up.produced, finished: up.finished }, {
    code: "unavailable",
    produced: INITIAL_ITEMS + 1,
    finished: true,
  });
});

Deno.test("sendStream: a stream whose credit is just enough completes without more", async () => {
  const up = new Counted((i) => i, INITIAL_ITEMS);
  const flow = new SendStream({ hasRoom: () => true, streaming: () => {}, writeItem: () => 1 });
  const sent = flow.send(up.items());
  flow.endCredit(new RpcError("unavailable", "No credit comes any more"));
  assertEquals([await sent, up.produced], [true, INITIAL_ITEMS]);
});

Deno.test("sendStream: waits while the connection has no room, and reads nothing meanwhile", async () => {
  const up = new Counted((i) => i, 20);
  let room = false;
  const written: unknown[] = [];
  const flow = new SendStream({
    hasRoom: () => room,
    streaming: () => {},
    writeItem: (value) => {
      room = false;
      return written.push(value);
    },
  });
  const sent = flow.send(up.items());
  for (let i = 0; i < 20; i++) {
    await settle();
    assertEquals({ produced: up.produced, written: written.length }, { produced: i, written: i });
    room = true;
    flow.resume();
  }
  await settle();
  room = true;
  flow.resume();
  assertEquals([await sent, up.finished], [true, true]);
});
