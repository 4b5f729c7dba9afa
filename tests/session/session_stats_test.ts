// The statistics of sessions and their streams.

import { assert, assertEquals } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { CborCodec } from "../../codec/cbor.ts";
import { ByteBuffer } from "../../codec/bytes.ts";
import { connect, Server } from "../../mod.ts";
import { RecvStream } from "../../session/recv_stream.ts";
import { SendStream } from "../../session/send_stream.ts";
import { fails, Patient, testSession } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { streamOwner, testWindows } from "../support/windows.ts";

const FIRST = { itemCredit: 64, byteCredit: 262_144 };

Deno.test("stream stats: the sender counts sent items, and says what it waits for", async () => {
  let room = false;
  const flow = new SendStream({ hasRoom: () => room, streaming: () => {}, writeItem: () => 10 });
  const waitsFor = () => flow.stats().waitsFor;
  assertEquals(flow.stats(), { items: 0, bytes: 0, ...FIRST, waiting: 0, waitsFor: "handler" });
  const gate = Promise.withResolvers<void>();
  const sent = flow.send((async function* () {
    for (let n = 0; n < 100; n++) yield n;
    await gate.promise;
  })());
  assertEquals(waitsFor(), "room");
  room = true;
  flow.resume();
  await until(() => waitsFor() === "credit", "its credit to be used up");
  assertEquals(flow.stats(), {
    items: 64,
    bytes: 640,
    itemCredit: 0,
    byteCredit: 262_144 - 640,
    waiting: 0,
    waitsFor: "credit",
  });
  flow.credit(50, 1_000);
  await until(() => flow.stats().items === 100, "the rest");
  assertEquals(flow.stats(), {
    items: 100,
    bytes: 1_000,
    itemCredit: 14,
    byteCredit: 262_144,
    waiting: 0,
    waitsFor: "handler",
  });
  flow.stop();
  gate.resolve();
  assertEquals([await sent, waitsFor()], [false, "nothing"]);
});

Deno.test("stream stats: the receiver counts received items, through every grant of credit", async () => {
  const flow = new RecvStream();
  flow.attach(streamOwner(), testWindows());
  assertEquals(flow.stats(), { items: 0, bytes: 0, ...FIRST, waiting: 0, waitsFor: "handler" });
  const first = flow.next();
  assertEquals(flow.stats().waitsFor, "peer");
  const arrive = (size: number) => {
    assert(flow.spend(size));
    flow.push("x", size);
  };
  arrive(7);
  await first;
  for (let n = 0; n < 3; n++) arrive(7);
  assertEquals(flow.stats(), {
    items: 4,
    bytes: 28,
    itemCredit: 60,
    byteCredit: 262_144 - 28,
    waiting: 3,
    waitsFor: "handler",
  });
  for (let n = 0; n < 3; n++) await flow.next();
  for (let n = 4; n < 5_000; n++) {
    arrive(7);
    await flow.next();
  }
  const { items, bytes, itemCredit } = flow.stats();
  assertEquals({ items, bytes }, { items: 5_000, bytes: 35_000 });
  assert(itemCredit > 64, `its window has grown: ${itemCredit}`);
  arrive(7);
  flow.end();
  assertEquals(
    [flow.stats().waiting, flow.stats().waitsFor],
    [1, "handler"],
    "the last is still to be taken",
  );
  await flow.next();
  assertEquals({ waiting: flow.stats().waiting, waitsFor: flow.stats().waitsFor }, {
    waiting: 0,
    waitsFor: "nothing",
  });
});

testSession("stats: the state of a session and the calls that it is answering", async (open) => {
  const patient = new Patient();
  const back = new Patient();
  const methods = {
    wait: patient.wait,
    ask: (_: unknown, { peer }: CallContext) => peer.call("S.back").catch(() => {}),
  };
  await using pair = await open({ methods, callbacks: { back: back.wait } });
  const { dialled, accepted } = pair;
  assertEquals([...accepted.calls], []);
  const stop = new AbortController();
  const { signal } = stop;
  for (let n = 0; n < 5; n++) await pair.call("echo", n);
  const calls = [pair.call("wait", null, { signal }), pair.call("ask", null, { signal })];
  await until(() => patient.started === 1 && back.started === 1, "both to be at work");
  const { age, silence, address, ...stats } = accepted.stats();
  assertEquals(stats, {
    state: "open",
    codec: "application/cbor",
    calls: 7,
    inFlight: 2,
    callsBack: 1,
    unsentBytes: 0,
  });
  assert(age >= silence && silence >= 0 && age < 10_000, `${age}, ${silence}`);
  assertEquals(address, accepted.address);
  assertEquals([...accepted.calls].map(({ method, seq }) => [method, seq]), [["S.wait", 11], ["S.ask", 13]]);
  assertEquals(
    [dialled.stats().calls, dialled.stats().inFlight],
    [1, 1],
    "numbers of the accepting side are even",
  );
  accepted.drain();
  assertEquals(accepted.stats().state, "draining");
  stop.abort();
  await Promise.all(calls.map((call) => fails(call, "canceled")));
  accepted.close(new RpcError("unavailable", "It is over"));
  assertEquals(accepted.stats().state, "closing");
  await accepted.closed;
  assertEquals(accepted.stats().state, "closed");
});

Deno.test("stats and snapshots of a server, and stats of a client, are data that JSON and CBOR carry as they are", async () => {
  const patient = new Patient();
  await using server = new Server().register("S", {
    wait: patient.wait,
    fail: () => {
      throw new RpcError("aborted", "No");
    },
    feed: function* () {
      for (;;) yield 1;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  server.show("client", client);
  await fails(client.call("S.fail"), "aborted");
  const call = fails(client.call("S.wait"), "unavailable");
  const items = client.stream("S.feed");
  await items.next();
  await until(() => patient.started === 1, "all to be under way");
  const codec = new CborCodec();
  for (const stats of [server.stats(), server.snapshot(), client.stats()]) {
    assertEquals(JSON.parse(JSON.stringify(stats)), stats);
    const out = new ByteBuffer(64);
    codec.encode(stats, out);
    assertEquals(codec.decode(out.bytes, 0, out.length), stats as unknown);
  }
  await items.return?.();
  await client.close();
  await call;
});
