// Credit on the wire: what a stream costs, what is given back, and what breaks the protocol. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import { call, cancel, credit, emptyCall, end, headerOf, item, Kind } from "../support/frames.ts";
import { bodyOf, bytes, cbor, type Frame, frame } from "../support/raw_peer.ts";
import { until } from "../support/waiting.ts";
import { assertError, Feed, MOST } from "../support/wire_feed.ts";
import { assertGoAway, assertLives, overBoth, pingPong } from "../support/wire_harness.ts";

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
  await peer.send(cancel(1));
  await until(() => feed.finished === 1, "its finally");
});

overBoth("wire: the bytes of a stream may fall below 0 by one Item, and must be paid back", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  peer.skipsPings = true;
  await peer.send(call(1, "Feed.endless", new Uint8Array(99_995)));
  const items = await peer.frames(3);
  assertEquals(items.map(({ kind, body }) => [kind, body.length]), Array(3).fill([Kind.item, 100_000]));
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

overBoth("wire: Credit received before the handler starts its stream counts", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.late", 0), credit(1, 36, 0), credit(1, 0, 0));
  await pingPong(peer, 1);
  feed.gate.resolve();
  await peer.frames(100);
  assertEquals(await pingPong(peer, 2), []);
});

overBoth("wire: Credit is granted for items that a handler takes, and not for others", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  peer.skipsPings = true;
  await peer.send(emptyCall(1, "Feed.deaf"), ...Array.from({ length: 64 }, (_, i) => item(1, i)));
  assertEquals(await pingPong(peer, 1), []);
  await peer.send(emptyCall(3, "Feed.collect"));
  let left = 64;
  for (let sent = 0; sent < 5_000; sent++, left--) {
    while (left === 0) {
      const given = (await peer.frame())!;
      assertEquals({ kind: given.kind, seq: given.seq }, { kind: Kind.credit, seq: 3 });
      left += given.header[2] as number;
      assert(left <= 1_024, `${left}`);
    }
    await peer.send(item(3, sent));
  }
  await peer.send(end(3));
  let last: Frame | null;
  do last = await peer.frame(); while (last?.kind === Kind.credit);
  assertEquals([last?.header, bodyOf(last!)], [headerOf.reply(3), 5_000]);
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
  await peer.send(cancel(1));
  await until(() => feed.finished === 1, "its finally");
});

overBoth("wire: an Item without credit breaks the protocol, by items and by bytes", async (open_) => {
  for (const [count, size] of [[64, 0], [3, 100_000], [1, 262_144], [2, 262_143]] as const) {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    const body = size === 0 ? bytes() : cbor(new Uint8Array(size - 5));
    await peer.send(emptyCall(1, "Feed.deaf"));
    for (let i = 0; i < count; i++) await peer.send(frame(headerOf.item(1), body));
    assertEquals(await pingPong(peer, 1), [], `${count} of ${size}`);
    await peer.send(frame(headerOf.item(1), body));
    assertEquals(await assertGoAway(peer, "resource_exhausted", 1), []);
    feed.gate.resolve();
  }
});

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

overBoth("wire: a stream's deadline passes while it waits for credit", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless", 1, 500));
  await peer.frames(64);
  assertError(await peer.frame(), 1, "deadline_exceeded");
  await until(() => feed.finished === 1, "its finally");
  assertEquals(feed.reasons, ["deadline_exceeded"]);
  await assertLives(peer, 3);
});
