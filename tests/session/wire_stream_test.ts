// Streams on the wire, frame by frame, seen from a peer that calls by hand: what is ignored, and what breaks the
// protocol. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import { call, cancel, credit, emptyCall, end, headerOf, item, Kind } from "../support/frames.ts";
import { bodyOf, frame } from "../support/raw_peer.ts";
import { until } from "../support/waiting.ts";
import { assertError, BAD, Feed, MOST } from "../support/wire_feed.ts";
import { assertGoAway, assertLives, ECHO, overBoth, pingPong } from "../support/wire_harness.ts";

overBoth("wire: an answer is Items and End, and arguments Items and End before a Reply", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.three"), emptyCall(3, "Feed.collect"), item(3, "a"), item(3), end(3));
  const frames = await peer.frames(5);
  const of = (seq: number) => frames.filter((each) => each.seq === seq);
  assertEquals(of(1).map((each) => [each.header, bodyOf(each)]), [
    [headerOf.item(1), 1],
    [headerOf.item(1), 2],
    [headerOf.item(1), 3],
    [headerOf.end(1), undefined],
  ]);
  assertEquals(of(3).map((each) => [each.header, bodyOf(each)]), [[headerOf.reply(3), 2]]);
  assertEquals(feed.taken, ["a", undefined]);
});

overBoth("wire: both directions may use one number at once", async (open_) => {
  await using wire = await open_(ECHO);
  const { peer } = wire;
  peer.skipsPings = true;
  await peer.send(emptyCall(1, "Echo.echo"));
  for (let i = 0; i < 200; i++) {
    await peer.send(item(1, i), credit(1, 1, 10));
    for (;;) {
      const next = (await peer.frame())!;
      if (next.kind === Kind.credit) continue;
      assertEquals([next.header, bodyOf(next)], [headerOf.item(1), i]);
      break;
    }
  }
  await peer.send(end(1));
  assertEquals((await peer.frame())?.header, headerOf.end(1));
});

overBoth("wire: Cancel stops a stream: Items in transit may arrive, and no End", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(call(1, "Feed.endless", "x".repeat(5_000)), credit(1, MOST - 64, MOST - 262_144));
  await peer.frames(100);
  await peer.send(cancel(1));
  await until(() => feed.finished === 1, "its finally");
  const { produced } = feed;
  const late = await pingPong(peer, 1);
  assertEquals(late.every(({ kind, seq }) => kind === Kind.item && seq === 1), true);
  assert(100 + late.length <= produced + 1, `${late.length} of ${produced}`);
  assertEquals(await pingPong(peer, 2), []);
  assertEquals({ produced: feed.produced, reasons: feed.reasons }, { produced, reasons: ["canceled"] });
  await assertLives(peer, 3);
  assertEquals(wire.stats("Feed.endless").inFlight, 0);
});

overBoth("wire: an Item after End, and a second End, break the protocol", async (open_) => {
  for (const further of [item(1, 2), end(1), item(1)]) {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    await wire.peer.send(emptyCall(1, "Feed.deaf"), item(1, 1), end(1), further);
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
  "wire: Items, End and Credit of finished calls are ignored, even if malformed",
  async (open_) => {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    await peer.send(emptyCall(1, "Feed.first"), item(1, "it"));
    const reply = (await peer.frame())!;
    assertEquals([reply.header, bodyOf(reply)], [headerOf.reply(1), "it"]);
    for (let i = 0; i < 100; i++) await peer.send(item(1, i));
    await peer.send(
      frame(headerOf.item(1), BAD),
      end(1),
      end(1),
      item(1, 0),
      credit(1, MOST, MOST),
      cancel(1),
    );
    assertEquals(await pingPong(peer, 1), []);
    // Refused calls were used up as well.
    await peer.send(emptyCall(3, "No.such"), item(3, 1), end(3), end(3));
    const { header } = (await peer.frame())!;
    assertEquals([header.slice(0, 3), header[4]], [
      headerOf.error(3, "unimplemented"),
      new Map([["not-started", ""]]),
    ]);
    // And canceled ones, though their handlers still run.
    await peer.send(emptyCall(5, "Feed.deaf"), cancel(5));
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
  "wire: an Item that cannot be decoded fails only its call, and aborts its handler",
  async (open_) => {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    await peer.send(
      emptyCall(1, "Feed.collect"),
      item(1, "good"),
      frame(headerOf.item(1), BAD),
      item(1, "late"),
      end(1),
    );
    assertError(await peer.frame(), 1, "invalid_argument");
    await until(() => feed.failures.length === 1, "its handler");
    assertEquals({ failures: feed.failures, reasons: feed.reasons }, {
      failures: ["invalid_argument"],
      reasons: ["invalid_argument"],
    });
    await assertLives(peer, 3);
  },
);

overBoth("wire: an item that cannot be encoded is an Error after the items before it", async (open_) => {
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
  assertEquals(first?.header, headerOf.item(1));
  assertError(error, 1, "internal");
  await peer.send(call(3, "Odd.late"));
  assertError((await peer.frames(3))[2], 3, "internal");
  await assertLives(peer, 5);
});

overBoth("wire: after a half-close a stream continues while it has credit, then fails", async (open_) => {
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
  assertEquals(of(5).at(-1)!.header, headerOf.end(5));
  await until(() => feed.finished === 2, "their finally");
});

overBoth(
  "wire: after a half-close a stream with just enough credit completes, since an End needs none",
  async (open_) => {
    await using wire = await open_({
      Feed: { full: () => Array.from({ length: 64 }, (_, i) => i).values() },
    });
    await wire.peer.send(call(1, "Feed.full"));
    await wire.peer.end();
    const frames = await wire.peer.rest();
    assertEquals([frames.length, frames.at(-1)?.header], [65, headerOf.end(1)]);
  },
);

overBoth(
  "wire: after a half-close unfinished arguments fail, after the items that arrived",
  async (open_) => {
    const feed = new Feed();
    await using wire = await open_(feed.services);
    const { peer } = wire;
    await peer.send(
      emptyCall(1, "Feed.collect"),
      item(1, 1),
      item(1, 2),
      emptyCall(3, "Feed.first"),
      item(3, "enough"),
    );
    await peer.end();
    const frames = await peer.rest();
    assertError(frames.find(({ seq }) => seq === 1), 1, "unavailable");
    assertEquals(frames.find(({ seq }) => seq === 3)?.header, headerOf.reply(3));
    assertEquals({ taken: feed.taken, failures: feed.failures }, {
      taken: [1, 2],
      failures: ["unavailable"],
    });
  },
);

overBoth("wire: the end inside an Item aborts its call", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  await peer.send(emptyCall(1, "Feed.collect"), item(1, 1), item(1, "torn").slice(0, -1));
  await peer.end();
  await until(() => feed.failures.length === 1, "the handler to be aborted");
  assertEquals({ failures: feed.failures, reasons: feed.reasons }, {
    failures: ["unavailable"],
    reasons: ["unavailable"],
  });
});
