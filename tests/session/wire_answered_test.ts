// Streams on the wire as the calling side takes them, from a peer that answers by hand: what is an item, what is ignored,
// and what breaks the protocol. Over memory and TCP.

import { assertEquals } from "@std/assert";
import { credit, end, error, goAway, headerOf, item, Kind, pong, reply } from "../support/frames.ts";
import { bodyOf, cbor, frame } from "../support/raw_peer.ts";
import { fails } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { BAD, Feed, MOST } from "../support/wire_feed.ts";
import { answering, answeringSimulated, assertTold, take } from "../support/wire_answering.ts";
import { assertGoAway, pingPong } from "../support/wire_harness.ts";

answering(
  "answered: an item that cannot be decoded is data_loss after the items before it, and Cancel",
  async (open_) => {
    await using at = await open_();
    const stream = at.stream("Far.away", null, { timeout: Infinity });
    const first = stream.next();
    assertEquals((await at.peer.frame())?.header, headerOf.call(1, "Far.away", 0));
    await at.peer.send(item(1, "a"), item(1, "b"), frame(headerOf.item(1), BAD), item(1, "c"), end(1));
    assertEquals((await first).value, "a");
    assertEquals(await take(stream, 1), ["b"]);
    const error = await fails(stream.next(), "data_loss", "Far.away");
    assertEquals({ remote: error.remote, pending: at.pending() }, { remote: false, pending: 0 });
    await assertTold(at.peer, headerOf.cancel(1));
  },
);

answering("answered: Items and then Error give the items, then the error", async (open_) => {
  await using at = await open_();
  const stream = at.stream("Far.away");
  const first = stream.next();
  await at.peer.frame();
  await at.peer.send(item(1, 1), item(1, 2), error(1, "not_found", "No third", "details"));
  assertEquals([(await first).value, ...await take(stream, 1)], [1, 2]);
  const failure = await fails(stream.next(), "not_found", "No third");
  assertEquals({ remote: failure.remote, details: failure.details, pending: at.pending() }, {
    remote: true,
    details: "details",
    pending: 0,
  });
  assertEquals((await stream.next()).done, true);
  await assertTold(at.peer);
});

answering("answered: a Reply after Items breaks the protocol", async (open_) => {
  await using at = await open_();
  const stream = at.stream("Far.away");
  const first = stream.next();
  await at.peer.frame();
  await at.peer.send(item(1, 1), reply(1, 2));
  assertEquals((await first).value, 1);
  await fails(stream.next(), "unavailable", "a Reply follows Items of the same call");
  assertEquals(await assertGoAway(at.peer, "invalid_argument", 0), []);
});

answering(
  "answered: a Reply alone is a stream of one, and nothing may follow it but what is ignored",
  async (open_) => {
    await using at = await open_();
    const stream = at.stream("Far.away");
    const first = stream.next();
    await at.peer.frame();
    await at.peer.send(reply(1, "one"), item(1, 2), end(1), reply(1), credit(1, 1, 1));
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
    await at.peer.send(item(3, 1), item(3, 2), frame(headerOf.item(3), BAD), end(3));
    await streamed;
    await assertTold(at.peer, headerOf.cancel(3));
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
    for (let i = 0; i < count; i++) await at.peer.send(frame(headerOf.item(1), body));
    await first;
    assertEquals((await pingPong(at.peer, 1)).length, 0);
    await at.peer.send(frame(headerOf.item(1), body));
    await assertGoAway(at.peer, "resource_exhausted", 0);
    for (let i = 1; i < count; i++) assertEquals((await stream.next()).done, false);
    await fails(stream.next(), "unavailable", "without credit");
  }
});

answering("answered: Items of calls that were never made break the protocol", async (open_) => {
  for (const stray of [item(3, 1), end(3), reply(3), item(2, 1), end(2)]) {
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
  await at.peer.send(reply(1, "enough"), credit(1, 50, 50));
  assertEquals(await calling, "enough");
  await assertTold(at.peer);
  await until(() => feed.finished === 1, "its finally");
});

answering("answered: arguments are Items and one End, and a source that fails is Cancel", async (open_) => {
  await using at = await open_();
  const calling = at.call("Far.away", ReadableStream.from([1, undefined, "three"]));
  const frames = await at.peer.frames(5);
  assertEquals(frames.slice(1).map((each) => [each.header, bodyOf(each)]), [
    [headerOf.item(1), 1],
    [headerOf.item(1), undefined],
    [headerOf.item(1), "three"],
    [headerOf.end(1), undefined],
  ]);
  await at.peer.send(reply(1));
  assertEquals(await calling, undefined);
  const failing = at.call(
    "Far.away",
    (async function* () {
      yield await Promise.resolve(1);
      throw new Error("torn");
    })(),
  );
  await fails(failing, "canceled", "torn");
  assertEquals((await at.peer.frames(3)).map(({ header }) => header.slice(0, 2)), [
    [Kind.call, 3],
    headerOf.item(3),
    headerOf.cancel(3),
  ]);
});

answering("answered: leaving a stream sends one Cancel, and later frames are ignored", async (open_) => {
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
  await at.peer.send(frame(headerOf.item(1), BAD), error(1, "internal"), end(1));
  await assertTold(at.peer, headerOf.cancel(1));
});

answering("answered: the end of the connection ends a stream after the items that arrived", async (open_) => {
  for (const how of ["end", "goaway"]) {
    await using at = await open_();
    const stream = at.stream("Far.away");
    const first = stream.next();
    await at.peer.frame();
    await at.peer.send(item(1, 1), item(1, 2));
    if (how === "goaway") await at.peer.send(goAway(1, "internal", "Out of order"));
    else await at.peer.end();
    assertEquals((await first).value, 1);
    assertEquals(await take(stream, 1), [2]);
    await fails(stream.next(), "unavailable");
    assertEquals(at.pending(), 0);
  }
});

answering("answered: a drain lets an accepted stream finish, Credit included", async (open_) => {
  await using at = await open_();
  const stream = at.stream("Far.away");
  const first = stream.next();
  await at.peer.frame();
  await at.peer.send(goAway(1, "unavailable", "Draining"), item(1, 0));
  assertEquals((await first).value, 0);
  for (let i = 1; i < 40; i++) await at.peer.send(item(1, i));
  assertEquals(await take(stream, 39), Array.from({ length: 39 }, (_, i) => i + 1));
  const given = (await at.peer.frame())!;
  assertEquals({ kind: given.kind, seq: given.seq }, { kind: Kind.credit, seq: 1 });
  await at.peer.send(end(1));
  assertEquals((await stream.next()).done, true);
});

answeringSimulated(
  "heartbeat: a peer is pinged while a call waits for it for a second, one that answers is not",
  async (open_) => {
    await using at = await open_();
    // What arrives in the same millisecond as the call is sent counts as a sign of life since then.
    await new Promise((resolve) => setTimeout(resolve, 1));
    const late = fails(at.call("Far.away", null, { timeout: 1_050 }), "deadline_exceeded");
    assertEquals((await at.peer.frame())?.header.slice(0, 3), headerOf.call(1, "Far.away"));
    await late;
    assertEquals([(await at.peer.frame())?.header, (await at.peer.frame())?.header], [
      headerOf.ping(1),
      headerOf.cancel(1),
    ]);
    await at.peer.send(pong(1));
    const other = fails(at.call("Far.away", null, { timeout: 50 }), "deadline_exceeded");
    assertEquals((await at.peer.frame())?.header.slice(0, 3), headerOf.call(3, "Far.away"));
    await other;
    await assertTold(at.peer, headerOf.cancel(3));
  },
);

answering("answered: a peer that received GoAway ends as soon as its last call is settled", async (open_) => {
  for (const settle of ["reply", "error", "end", "leave"]) {
    await using at = await open_();
    const leaving = new AbortController();
    const streams = settle === "end";
    const calling = streams
      ? at.stream("Far.away").next()
      : at.call("Far.away", null, { signal: leaving.signal }).catch(({ code }) => code);
    await at.peer.frame();
    await at.peer.send(goAway(1, "unavailable", "Leaving"));
    if (settle === "leave") leaving.abort();
    else {await at.peer.send(
        settle === "reply" ? reply(1) : streams ? end(1) : error(1, "aborted", "no"),
      );}
    await calling;
    // The peer has not ended its side, and says nothing more.
    const rest = (await at.peer.rest()).map(({ header }) => header);
    assertEquals(rest, settle === "leave" ? [headerOf.cancel(1)] : [], settle);
  }
});
