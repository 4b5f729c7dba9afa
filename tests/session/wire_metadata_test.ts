// The metadata of End on the wire, frame by frame, seen from a peer that calls by hand. Over memory and TCP.

import { assertEquals } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { call, emptyCall, end, headerOf, item } from "../support/frames.ts";
import { bodyOf, cbor, frame, type Item } from "../support/raw_peer.ts";
import { assertError, Feed } from "../support/wire_feed.ts";
import { assertGoAway, assertLives, ECHO, overBoth } from "../support/wire_harness.ts";

overBoth("wire: an End has metadata only if a handler set some", async (open_) => {
  await using wire = await open_({
    ...ECHO,
    Row: {
      *all(rows: number, { replyMetadata }: CallContext) {
        for (let i = 0; i < rows; i++) yield i;
        // A Map that was read and left empty is not sent.
        if (rows > 0) replyMetadata.set("rows", `${rows}`);
      },
    },
  });
  const { peer } = wire;
  await peer.send(call(1, "Row.all", 2), call(3, "Row.all", 0));
  const frames = await peer.frames(4);
  const of = (seq: number) =>
    frames.filter((each) => each.seq === seq).map((each) => [each.header, bodyOf(each)]);
  assertEquals(of(1), [
    [headerOf.item(1), 0],
    [headerOf.item(1), 1],
    [headerOf.end(1, new Map([["rows", "2"]])), undefined],
  ]);
  assertEquals(of(3), [[headerOf.end(3), undefined]]);
});

overBoth("wire: metadata at the End of arguments are ignored, whatever their names", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  const { peer } = wire;
  const given = new Map<Item, Item>([["a", "x"], ["rpc-later", "1"], ["not-started", ""], [
    "b",
    new Uint8Array(3),
  ]]);
  await peer.send(emptyCall(1, "Feed.collect"), item(1, "it"), end(1, given));
  const reply = (await peer.frame())!;
  assertEquals([reply.header, bodyOf(reply), feed.taken], [headerOf.reply(1), 1, ["it"]]);
  // And where the call is over.
  await peer.send(end(1, given));
  await assertLives(peer, 3);
});

overBoth(
  "wire: malformed metadata of an End break the protocol, also where they are ignored",
  async (open_) => {
    const many = new Map(Array.from({ length: 65 }, (_, i) => [`n${i}`, ""]));
    for (
      const [bad, code] of [
        [end(1, null), "invalid_argument"],
        [end(1, new Map([["A", "x"]])), "invalid_argument"],
        [end(1, new Map([["a", 1]])), "invalid_argument"],
        [frame([5, 1, new Map(), 1]), "invalid_argument"],
        [frame([5, 1, new Map()], cbor(1)), "invalid_argument"],
        [end(1, many), "resource_exhausted"],
        [end(1, new Map([["a", "x".repeat(16_384)]])), "resource_exhausted"],
      ] as const
    ) {
      const feed = new Feed();
      await using wire = await open_(feed.services);
      await wire.peer.send(emptyCall(1, "Feed.deaf"), bad);
      assertEquals(await assertGoAway(wire.peer, code, 1), []);
      feed.gate.resolve();
    }
  },
);

overBoth("wire: an End with metadata for a call that had a body fails that call alone", async (open_) => {
  const feed = new Feed();
  await using wire = await open_(feed.services);
  await wire.peer.send(call(1, "Feed.late"), end(1, new Map([["a", "x"]])), end(1));
  assertError(await wire.peer.frame(), 1, "invalid_argument");
  feed.gate.resolve();
  await assertLives(wire.peer, 3);
});

overBoth("wire: an End over the caller's maxFrameBytes is an Error without its metadata", async (open_) => {
  const services = {
    ...ECHO,
    Row: {
      *one(length: number, { replyMetadata }: CallContext) {
        yield 1;
        replyMetadata.set("a", "x".repeat(length));
      },
    },
  };
  await using wire = await open_(services, { peerMaxFrameBytes: 600 });
  const { peer } = wire;
  // The header but for the text takes 9 bytes.
  await peer.send(call(1, "Row.one", 591), call(3, "Row.one", 592));
  const frames = await peer.frames(4);
  const last = (seq: number) => frames.findLast((each) => each.seq === seq);
  assertEquals(last(1)?.header, headerOf.end(1, new Map([["a", "x".repeat(591)]])));
  assertError(last(3), 3, "resource_exhausted");
  await assertLives(peer, 5);
});
