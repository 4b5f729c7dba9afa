// Streams through a real server and client: shutdown, fail-over, and what is left when a client goes.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect, MultiServers, Server } from "../../mod.ts";
import { freePort } from "../support/programs.ts";
import { answerHandshake, Fleet, Link, RawServer, readToEnd } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";
import { type Args, Endless, taken, ticks, turn, upTo } from "../support/stream_sources.ts";
import { goAway } from "../support/frames.ts";
import { until } from "../support/waiting.ts";

Deno.test("stream: a client and a server stream in all four shapes", async () => {
  await using link = await Link.open({
    up: ({ to }: { to: number }) => upTo(to),
    sum: async (args: Args) => (await taken(args)).items.reduce((a, b) => a + b, 0),
    double: async function* (args: Args) {
      for await (const item of args) yield item * 2;
    },
    ok: () => "ok",
  });
  const { client } = link;
  assertEquals(await link.call("ok"), "ok");
  assertEquals((await taken(client.stream("S.up", { to: 200 }))).items.length, 200);
  assertEquals(await link.call("sum", upTo(200)), 19_900);
  assertEquals((await taken(client.stream("S.double", upTo(3)))).items, [0, 2, 4]);
  assertEquals(await Array.fromAsync(ReadableStream.from(client.stream("S.up", { to: 3 }))), [0, 1, 2]);
  assertEquals(client.stats().pending, 0);
  assertEquals(link.server.stats().inFlight, 0);
  assertEquals(link.counts("up"), { calls: 2, errors: 0, inFlight: 0 });
});

Deno.test("stream: leaving it frees both sides, and the connection stays open", async () => {
  const endless = new Endless();
  await using link = await Link.open({ endless: endless.run, ok: () => "ok" });
  for await (const i of link.client.stream<number>("S.endless")) if (i === 3) break;
  assertEquals(link.client.stats().pending, 0);
  await until(() => link.server.stats().inFlight === 0, "the handler ends");
  assertEquals({ finished: endless.finished, reasons: endless.reasons }, {
    finished: 1,
    reasons: ["canceled"],
  });
  assertEquals(await link.call("ok"), "ok");
  assertEquals(link.server.stats().connections, 1);
});

Deno.test("stream: wrong arguments are thrown when it is made, and a closed client when it is iterated", async () => {
  await using link = await Link.open({ up: () => upTo(3) });
  const { client } = link;
  assertThrows(() => client.stream(1 as unknown as string), TypeError);
  assertThrows(() => client.stream("S.up", null, { timeout: -1 }), RangeError);
  assertThrows(() => client.stream("S.up", null, { signal: {} as AbortSignal }), TypeError);
  await fails(client.stream("S.up", null, { timeout: 0 }).next(), "deadline_exceeded");
  await fails(client.stream("S.up", null, { signal: AbortSignal.abort() }).next(), "canceled");
  assertEquals(link.counts("up").calls, 0);
  const late = client.stream("S.up");
  await client.close();
  await fails(late.next(), "unavailable", "The client is closed");
});

Deno.test("stream: a broadcast of one is a TypeError, and its source is not touched", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  let touched = false;
  const source = {
    [Symbol.asyncIterator]: () => {
      touched = true;
      return upTo(1);
    },
  };
  await assertRejects(() => link.client.broadcast("S.ok", source), TypeError, "Cannot broadcast a stream");
  assertEquals(touched, false);
});

Deno.test("stream: shutdown lets it finish within its grace", async () => {
  const gate = Promise.withResolvers<void>();
  await using link = await Link.open({
    slow: async function* () {
      yield 0;
      await gate.promise;
      yield* upTo(300);
    },
    eat: async (args: Args) => (await taken(args)).items.length,
  });
  async function* slowly() {
    await gate.promise;
    yield* upTo(300);
  }
  const stream = link.client.stream<number>("S.slow");
  await stream.next();
  const eating = link.call("eat", slowly());
  await until(() => link.server.stats().inFlight === 2, "both run");
  const ended = link.server.shutdown({ grace: 60_000 });
  await until(() => link.client.stats().endpoints[0]!.state !== "ready", "the client to notice it");
  gate.resolve();
  const { items, error } = await taken(stream);
  assertEquals([items.length, error, await eating], [300, undefined, 300]);
  await ended;
});

Deno.test("stream: shutdown aborts it when its grace is over", async () => {
  const endless = new Endless();
  await using link = await Link.open({ endless: endless.run });
  const consuming = taken(link.client.stream<number>("S.endless"));
  await until(() => endless.produced > 3, "it flows");
  await link.server.shutdown({ grace: 50 });
  const { items, error } = await consuming;
  assertEquals([error?.code, items.length > 3], ["unavailable", true]);
  await until(() => endless.finished === 1, "its finally");
  assertEquals(endless.reasons, ["unavailable"]);
});

Deno.test("stream: closing the client ends it after what has arrived, and aborts its handler", async () => {
  const endless = new Endless();
  const seen = { produced: 0, finished: 0 };
  await using link = await Link.open({
    endless: endless.run,
    eat: async (args: Args) => void await taken(args),
  });
  const stream = link.client.stream<number>("S.endless");
  await stream.next();
  const eating = fails(link.call("eat", ticks(seen)), "unavailable", "The client is closed");
  await until(() => endless.produced > 10 && seen.produced > 3, "both flow");
  await link.client.close();
  await eating;
  const { items, error } = await taken(stream);
  assertEquals({ code: error?.code, message: error?.message }, {
    code: "unavailable",
    message: "The client is closed",
  });
  assertEquals(items, Array.from({ length: items.length }, (_, i) => i + 1));
  await until(() => link.server.stats().inFlight === 0, "both handlers end");
  await until(() => seen.finished === 1 && endless.finished === 1, "both producers end");
});

Deno.test("stream: one that was not started goes to another server", async () => {
  const gate = Promise.withResolvers<void>();
  const methods = { hold: () => gate.promise, up: () => upTo(3) };
  await using full = new Server({ maxInFlight: 16 }).register("S", methods);
  await using roomy = new Server().register("S", methods);
  const addresses = [full, roomy].map(async (server) => (await server.listen("tcp@127.0.0.1:0")).address);
  const down = `tcp@127.0.0.1:${freePort()}`;
  await using client = await connect(new MultiServers([...await Promise.all(addresses), down]));
  // Calls that were given up hold their places at the servers.
  const stop = new AbortController();
  const { signal } = stop;
  const held = Array.from({ length: 32 }, () => fails(client.call("S.hold", null, { signal }), "canceled"));
  await until(() => full.stats().inFlight === 16 && roomy.stats().inFlight === 16, "one is full");
  stop.abort();
  await Promise.all(held);
  for (let i = 0; i < 9; i++) assertEquals(await taken(client.stream("S.up")), { items: [0, 1, 2] });
  const [refused, served] = [full, roomy].map((server) => server.stats().methods[1]!.calls);
  assertEquals({ refused, served }, { refused: 0, served: 9 });
  gate.resolve();
});

Deno.test("stream: it is not restarted once items were taken, even if it is idempotent", async () => {
  let drop = () => {};
  const seen = { produced: 0, finished: 0 };
  await using fleet = await Fleet.open(1, () => ({ ticks: () => ticks(seen) }));
  const port = Number(fleet.addresses[0]!.split(":")[1]);
  await using way = new RawServer(async (conn) => {
    const there = await Deno.connect({ hostname: "127.0.0.1", port });
    drop = () => conn.close();
    const back = there.readable.pipeTo(conn.writable).catch(() => {});
    await conn.readable.pipeTo(there.writable).catch(() => {});
    await back;
  });
  await using client = await connect(way.address);
  const stream = client.stream<number>("S.ticks", null, { idempotent: true });
  assertEquals((await stream.next()).value, 0);
  drop();
  const { items, error } = await taken(stream);
  assertEquals(error?.code, "unavailable");
  assertEquals(items, Array.from({ length: items.length }, (_, i) => i + 1));
  assertEquals(fleet.calls, [1]);
  await until(() => seen.finished === 1, "the end of the handler");
});

Deno.test("stream: arguments are not sent twice, though the call was not started", async () => {
  let connections = 0;
  await using refusing = new RawServer(async (conn) => {
    connections++;
    await answerHandshake(conn);
    await conn.read(new Uint8Array(1_024));
    // No call was taken up.
    await conn.write(goAway(0, "unavailable"));
    await readToEnd(conn);
  });
  await using fleet = await Fleet.open(1, () => ({
    count: async (args: Args) => (await taken(args)).items.length,
  }));
  let finished = 0;
  async function* source() {
    try {
      yield* upTo(3);
      await turn();
      yield 3;
    } finally {
      finished++;
    }
  }
  await using client = await connect(new MultiServers([refusing.address, fleet.addresses[0]!]));
  const outcomes = await Promise.allSettled(
    [1, 2].map(() => client.call("S.count", source(), { idempotent: true })),
  );
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assertEquals(refused.map(({ reason }) => [reason.code, reason.notStarted]), [["unavailable", true]]);
  assertEquals(outcomes.filter((outcome) => outcome.status === "fulfilled").map(({ value }) => value), [4]);
  assertEquals({ connections, calls: fleet.calls }, { connections: 1, calls: [1] });
  await until(() => finished === 2, "the finally of both sources");
});

Deno.test("stream: leaving one while its client still connects ends it at once, and it is never sent", async () => {
  await using silent = new RawServer();
  await using client = await connect(new MultiServers([silent.address]), { connectTimeout: 60_000 });
  const items = client.stream("S.items");
  const first = items.next();
  assertEquals(client.stats().pending, 1);
  await items.return?.();
  assertEquals(await first, { value: undefined, done: true });
  await until(() => client.stats().pending === 0, "the call to be over");
});
