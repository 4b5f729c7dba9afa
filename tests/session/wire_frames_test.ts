// Calls on the wire, frame by frame, over memory and TCP: that splits and sizes do not matter, that frames stay whole,
// and what is answered to which call.

import { assert, assertEquals } from "@std/assert";
import {
  call,
  cancel,
  credit,
  emptyCall,
  end,
  error,
  headerOf,
  item,
  ping,
  pong,
  reply,
} from "../support/frames.ts";
import { seeded } from "../support/random.ts";
import { bodyOf, bytes, cbor, type Frame, frame, framed, type Item } from "../support/raw_peer.ts";
import {
  assertGoAway,
  assertLives,
  ECHO,
  overBoth,
  pingPong,
  type Services,
} from "../support/wire_harness.ts";

const NOT_STARTED = new Map([["not-started", ""]]);

/** A stream of five calls, and what must come back. */
const FIVE = bytes(
  call(1, "Echo.echo", "one"),
  call(3, "Echo.echo", new Map<Item, Item>([["a", 1], ["b", [2, 3]]]), 60_000),
  ping(7),
  call(5, "No.such"),
  call(9, "Echo.echo", new Uint8Array(300)),
  call(11, "Echo.echo", null),
);

function assertFive(frames: Frame[], why: string): void {
  assertEquals(frames.map(({ header }) => header.slice(0, 3)), [
    headerOf.reply(1),
    headerOf.reply(3),
    headerOf.pong(7),
    headerOf.error(5, "unimplemented"),
    headerOf.reply(9),
    headerOf.reply(11),
  ], why);
  assertEquals([0, 1, 4, 5].map((i) => bodyOf(frames[i]!)), [
    "one",
    new Map<Item, Item>([["a", 1], ["b", [2, 3]]]),
    new Uint8Array(300),
    undefined,
  ], why);
}

overBoth("wire: calls cut at any one byte get the same answers", async (open) => {
  await using wire = await open(ECHO);
  await Promise.all(Array.from({ length: FIVE.length }, async (_, cut) => {
    using peer = await wire.another();
    await peer.sendCut(FIVE, [cut]);
    assertFive(await peer.frames(6), `cut at ${cut}`);
  }));
});

overBoth("wire: calls sent byte by byte, and in random pieces, get the same answers", async (open) => {
  await using wire = await open(ECHO);
  await wire.peer.sendCut(FIVE, FIVE.keys());
  assertFive(await wire.peer.frames(6), "byte by byte");
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed);
    using peer = await wire.another();
    const cuts = Array.from({ length: 1 + seed % 12 }, () => Math.floor(random() * FIVE.length));
    await peer.sendCut(FIVE, cuts.sort((a, b) => a - b));
    assertFive(await peer.frames(6), `seed ${seed}`);
  }
});

overBoth("wire: a body that a handler keeps is not changed by what arrives later", async (open) => {
  const gate = Promise.withResolvers<void>();
  const services: Services = {
    ...ECHO,
    Keep: {
      keep: async (value: Uint8Array) => {
        await gate.promise;
        return value;
      },
    },
  };
  await using wire = await open(services);
  const { peer } = wire;
  const kept = Uint8Array.from({ length: 700 }, (_, i) => i * 7);
  await peer.send(call(1, "Keep.keep", kept));
  for (let round = 0; round < 10; round++) {
    const calls = Array.from({ length: 100 }, (_, i) => {
      return call(3 + 2 * (round * 100 + i), "Echo.echo", new Uint8Array(700).fill(i));
    });
    await peer.send(...calls);
    for (const [i, reply] of (await peer.frames(100)).entries()) {
      assertEquals(bodyOf(reply), new Uint8Array(700).fill(i));
    }
  }
  gate.resolve();
  const reply = await peer.frame();
  assertEquals([reply?.header, bodyOf(reply!)], [headerOf.reply(1), kept]);
});

overBoth("wire: frames are never interleaved, however slowly they are read", async (open) => {
  const large = new Uint8Array(8_000_000).fill(0x5a);
  await using wire = await open({ ...ECHO, Large: { make: () => large } }, {
    peerMaxFrameBytes: 2 ** 24,
    maxUnsentBytes: 2 ** 25,
  });
  const { peer } = wire;
  peer.skipsPings = true;
  await peer.send(call(1, "Large.make"));
  const small = Array.from({ length: 1_000 }, (_, i) => call(3 + 2 * i, "Echo.echo", i));
  for (let i = 0; i < 1_000; i += 10) await peer.send(...small.slice(i, i + 10));
  const replies = await peer.frames(1_001);
  assertEquals(new Set(replies.map(({ seq }) => seq)).size, 1_001);
  for (const { header, seq, body } of replies) {
    assertEquals(header, headerOf.reply(seq));
    if (seq > 1) assertEquals(bodyOf({ body } as Frame), (seq - 3) / 2);
    else assertEquals([body.length, body.slice(5).every((byte) => byte === 0x5a)], [8_000_005, true]);
  }
});

overBoth("wire: bodies of every size up to maxFrameBytes go there and back", async (open) => {
  const max = 262_144;
  await using wire = await open(ECHO, { maxFrameBytes: max, peerMaxFrameBytes: max });
  const { peer } = wire;
  peer.skipsPings = true;
  /** A Call in a frame of exactly `length` bytes. */
  const filling = (seq: number, length: number) => {
    const header = cbor(headerOf.call(seq, "Echo.echo", 0));
    return framed(bytes(header, cbor(new Uint8Array(length - header.length - 5).fill(seq))));
  };
  let seq = 1;
  for (const size of [0, 1, 23, 24, 255, 256, 65_535, 65_536]) {
    for (const value of [new Uint8Array(size).fill(7), "x".repeat(size)]) {
      await peer.send(call(seq, "Echo.echo", value));
      assertEquals(bodyOf((await peer.frame())!), value, `${size}`);
      seq += 2;
    }
  }
  for (const length of [max - 1, max]) {
    const sent = filling(seq, length);
    assertEquals(sent.length, 5 + length);
    await peer.send(sent);
    const reply = await peer.frame();
    assertEquals({ header: reply?.header, body: reply?.body.length }, {
      header: headerOf.reply(seq),
      body: length - cbor(headerOf.call(seq, "Echo.echo", 0)).length,
    });
    seq += 2;
  }
  await peer.send(filling(seq, max + 1));
  await assertGoAway(peer, "resource_exhausted", seq - 2);
});

overBoth(
  "wire: a reply larger than the caller accepts is an error, and the connection stays open",
  async (open) => {
    await using wire = await open({ ...ECHO, Large: { make: (n: number) => new Uint8Array(n) } }, {
      peerMaxFrameBytes: 1_000,
    });
    const { peer } = wire;
    await peer.send(call(1, "Large.make", 1_000 - 3 - 3), call(3, "Large.make", 1_000 - 3 - 3 + 1));
    const [fits, tooLarge] = await peer.frames(2);
    assertEquals({ header: fits?.header, body: fits?.body.length }, { header: headerOf.reply(1), body: 997 });
    assertEquals(tooLarge?.header.slice(0, 3), headerOf.error(3, "resource_exhausted"));
    assertEquals(tooLarge?.header.length, 4, "it was started");
    await assertLives(peer, 5);
  },
);

overBoth("wire: a value that the codec cannot carry is internal, and nothing of it is sent", async (open) => {
  const cyclic: unknown[] = [];
  cyclic.push("x".repeat(2_000), cyclic);
  const values: unknown[] = [() => {}, Symbol("x"), cyclic, new Date(NaN), new (class Odd {})(), [1, {
    a: () => {},
  }]];
  await using wire = await open({ ...ECHO, Odd: { value: (i: number) => values[i] } });
  const { peer } = wire;
  for (let i = 0; i < values.length; i++) {
    const seq = 4 * i + 1;
    await peer.send(call(seq, "Odd.value", i), call(seq + 2, "Echo.echo", i));
    const [error, echo] = await peer.frames(2);
    assertEquals([error?.header.slice(0, 3), error?.header.length], [headerOf.error(seq, "internal"), 4]);
    assertEquals([echo?.header, bodyOf(echo!)], [headerOf.reply(seq + 2), i]);
  }
});

overBoth("wire: a result of undefined is a reply without body, null is one of null", async (open) => {
  await using wire = await open({
    No: { value: () => {}, null: () => null, later: () => Promise.resolve() },
  });
  await wire.peer.send(call(1, "No.value"), call(3, "No.null"), call(5, "No.later"));
  const replies = await wire.peer.frames(3);
  assertEquals(replies.map(({ header, body }) => [header, body]), [
    [headerOf.reply(1), bytes()],
    [headerOf.reply(3), bytes(0xf6)],
    [headerOf.reply(5), bytes()],
  ]);
});

overBoth("wire: a body that cannot be decoded fails its call alone, as not started", async (open) => {
  let started = 0;
  await using wire = await open({ ...ECHO, Count: { count: () => ++started } });
  const { peer } = wire;
  const bad = [
    bytes(0xff), // a break
    bytes(0x01, 0x02), // two items
    bytes(0x61, 0xff), // not UTF-8
    bytes(0x82, 0x01), // cut
    bytes(0xa2, 0x61, 0x61, 0x01, 0x61, 0x61, 0x02), // a key twice
    bytes(0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), // 2^64-1 items
    new Uint8Array(10_000).fill(0x81), // too deep
  ];
  for (const [i, body] of bad.entries()) {
    const seq = 4 * i + 1;
    await peer.send(frame(headerOf.call(seq, "Count.count", 0), body));
    const error = (await peer.frame())!;
    assertEquals([error.header.slice(0, 3), error.header[4]], [
      headerOf.error(seq, "invalid_argument"),
      NOT_STARTED,
    ]);
    await assertLives(peer, seq + 2);
  }
  assertEquals(started, 0);
});

overBoth(
  "wire: an invalid name, an unknown service and an unknown method are three errors",
  async (open) => {
    await using wire = await open({ ...ECHO, "a.b": { c: () => 1 } });
    const { peer } = wire;
    const messages = new Map<string, string>();
    let seq = 1;
    const names = ["", ".", "Echo", "Echo.", ".echo", "☺"];
    const services = [
      "echo.echo",
      "No.echo",
      "Echo.echo.echo",
      "constructor.name",
      "__proto__.echo",
      "Echo .echo",
    ];
    const methods = [
      "Echo.Echo",
      "Echo.constructor",
      "Echo.__proto__",
      "Echo.toString",
      "Echo.echo ",
      "a.b.d",
    ];
    for (const name of [...names, ...services, ...methods]) {
      await peer.send(call(seq, name));
      const { header } = (await peer.frame())!;
      assertEquals(
        [header.slice(0, 3), header[4]],
        [headerOf.error(seq, "unimplemented"), NOT_STARTED],
        name,
      );
      messages.set(name, header[3] as string);
      seq += 2;
    }
    for (const name of names) assert(messages.get(name)!.includes("Service.method"), messages.get(name));
    for (const name of services) assert(/^Unknown service/.test(messages.get(name)!), messages.get(name));
    for (const name of methods) assert(/has no method/.test(messages.get(name)!), messages.get(name));
    await peer.send(call(seq, "a.b.c"));
    assertEquals((await peer.frame())?.header, headerOf.reply(seq));
  },
);

overBoth("wire: a very long name is answered in few bytes", async (open) => {
  await using wire = await open(ECHO);
  const { peer } = wire;
  await peer.send(call(1, "x".repeat(16_000)), call(3, `Echo.${"y".repeat(16_000)}`));
  for (const { header } of await peer.frames(2)) {
    assertEquals(header[2], "unimplemented");
    assert((header[3] as string).length < 300);
  }
});

overBoth("wire: metadata of a call reach its handler, but for the protocol's own", async (open) => {
  let seen: unknown;
  await using wire = await open({
    Meta: { data: (_: unknown, { metadata }: { metadata: unknown }) => void (seen = metadata) },
  });
  const own: [string, Item][] = [["a", "x"], ["b", new Uint8Array([1, 2])]];
  const theirs: [string, Item][] = [["rpc-later", "1"], ["not-started", ""], ["rpc-", "2"]];
  await wire.peer.send(call(1, "Meta.data", null, 0, new Map<Item, Item>([...theirs, ...own])));
  await wire.peer.frame();
  assertEquals(seen, new Map(own));
  await wire.peer.send(call(3, "Meta.data"));
  await wire.peer.frame();
  assertEquals(seen, new Map());
});

overBoth("wire: every Ping gets a Pong with its number, between calls and amid them", async (open) => {
  const gate = Promise.withResolvers<number>();
  await using wire = await open({ Slow: { call: () => gate.promise } });
  const { peer } = wire;
  await peer.send(call(1, "Slow.call"));
  for (const n of [0, 1, 24, 2 ** 32, Number.MAX_SAFE_INTEGER]) assertEquals(await pingPong(peer, n), []);
  gate.resolve(7);
  assertEquals((await peer.frame())?.header, headerOf.reply(1));
});

overBoth(
  "wire: frames for finished or unknown calls are ignored where that is allowed",
  async (open) => {
    await using wire = await open(ECHO);
    const { peer } = wire;
    await assertLives(peer, 1);
    await peer.send(
      cancel(1), // Cancel of a call that is over
      cancel(999), // Cancel and Credit of calls that never were
      credit(1, 1, 1),
      credit(999, 0, 0),
      credit(2, 5, 5),
      cancel(2),
      item(1), // an Item and an End of a call that is over
      end(1),
      pong(12), // a Pong without a Ping
    );
    await assertLives(peer, 3);
    await assertLives(peer, 1_001);
    // 5 was skipped: it is treated like one that was used.
    await peer.send(item(5), end(999));
    await assertLives(peer, 1_003);
  },
);

overBoth("wire: a call without body is one whose arguments follow as items, up to its End", async (open) => {
  await using wire = await open({
    ...ECHO,
    Args: {
      collect: async (args: AsyncIterable<unknown>) => {
        const items: unknown[] = [];
        for await (const item of args) items.push(item);
        return items;
      },
    },
  });
  const { peer } = wire;
  await peer.send(emptyCall(1, "Args.collect"), item(1, 1), item(1, "two"));
  assertEquals(await pingPong(peer, 1), [], "not before the End");
  await peer.send(item(1), end(1));
  const reply = (await peer.frame())!;
  assertEquals([reply.header, bodyOf(reply)], [headerOf.reply(1), [1, "two", undefined]]);
  await assertLives(peer, 3);
});

overBoth(
  "wire: the connection of a peer that has methods of its own is still only answered",
  async (open) => {
    // Even numbers belong to this side, which has made no call: whatever answers one breaks the protocol.
    for (const answer of [reply(2), error(2, "internal"), item(2), end(2)]) {
      await using wire = await open(ECHO);
      await wire.peer.send(answer);
      await assertGoAway(wire.peer, "invalid_argument", 0);
    }
  },
);
