// How a server ends: in good order, after its grace, or now. Seen from the wire.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { connect } from "../../client/mod.ts";
import { Server, type ServerOptions } from "../../server/mod.ts";
import { enter } from "../support/handshake_live.ts";
import { call, cancel, credit, emptyCall, end, headerOf, item, Kind } from "../support/frames.ts";
import { bodyOf, bytes, type Frame, RawPeer } from "../support/raw_peer.ts";
import { soon, until } from "../support/waiting.ts";
import { pingPong, portOf } from "../support/wire_harness.ts";

/** A server with a call that waits until it is let go. */
async function open(options: ServerOptions = {}) {
  const server = new Server(options);
  const waiting: PromiseWithResolvers<unknown>[] = [];
  const reasons: string[] = [];
  server.register("Echo", { echo: (value: unknown) => value });
  server.register("Slow", {
    call: (_: unknown, { signal }: { signal: AbortSignal }) => {
      const gate = Promise.withResolvers<unknown>();
      waiting.push(gate);
      signal.addEventListener("abort", () => reasons.push((signal.reason as RpcError).code));
      return gate.promise;
    },
  });
  const listening = await server.listen("tcp@127.0.0.1:0");
  const port = portOf(listening.address);
  return { server, listening, port, waiting, reasons, [Symbol.asyncDispose]: () => server.close() };
}

function assertDraining(goAway: Frame | null, lastSeq: number): void {
  assertEquals(goAway?.header.slice(0, 3), headerOf.goAway(lastSeq, "unavailable"));
}

Deno.test("shutdown: sends GoAway, answers accepted calls, ignores later ones, then ends", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  peer.skipsPings = true;
  await peer.send(call(1, "Echo.echo", 1), call(3, "Slow.call"), call(5, "Slow.call"));
  assertEquals((await peer.frame())?.header, headerOf.reply(1));
  await until(() => at.waiting.length === 2, "the calls to be started");
  const ended = at.server.shutdown();
  assertDraining(await peer.frame(), 5);
  await peer.send(call(7, "Echo.echo", "late"), call(9, "No.such"), cancel(7), credit(9, 1, 1));
  assertEquals(await pingPong(peer, 1), [], "later calls get no answer, Pings do");
  const large = new Uint8Array(2_000_000).fill(9);
  at.waiting[1]!.resolve("second");
  at.waiting[0]!.resolve(large);
  const replies = await peer.rest();
  assertEquals(replies.map(({ header }) => header), [headerOf.reply(5), headerOf.reply(3)]);
  assertEquals(bodyOf(replies[1]!), large);
  await peer.end();
  await soon(ended, "the end");
  assertEquals({
    connections: at.server.stats().connections,
    reasons: at.reasons,
    calls: at.server.stats().methods[0]!.calls,
  }, { connections: 0, reasons: [], calls: 1 });
});

Deno.test("shutdown: items of ignored calls are ignored too", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await peer.send(call(1, "Slow.call"));
  await until(() => at.waiting.length === 1, "the call to be started");
  const ended = at.server.shutdown();
  assertDraining(await peer.frame(), 1);
  // Such as a client sends that has not seen the GoAway yet.
  await peer.send(emptyCall(3, "Log.append"), item(3, 1), end(3));
  assertEquals(await pingPong(peer, 1), []);
  at.waiting[0]!.resolve("done");
  assertEquals((await peer.rest()).map(({ header }) => header), [headerOf.reply(1)]);
  peer.close();
  await ended;
});

Deno.test("shutdown: a protocol error while draining is still reported", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await peer.send(call(1, "Slow.call"));
  await until(() => at.waiting.length === 1, "the call to be started");
  const ended = at.server.shutdown();
  assertDraining(await peer.frame(), 1);
  await peer.send(bytes(0x00));
  const [second, ...rest] = await peer.rest();
  assertEquals([second?.header.slice(0, 3), rest], [headerOf.goAway(1, "invalid_argument"), []]);
  peer.close();
  await ended;
  assertEquals(at.reasons, ["unavailable"]);
});

Deno.test("shutdown: idle clients receive GoAway and are closed at once, however many they are", async () => {
  await using at = await open();
  const peers = await Promise.all(Array.from({ length: 50 }, () => enter(at.port)));
  const ended = at.server.shutdown();
  await Promise.all(peers.map(async (peer) => {
    assertDraining(await peer.frame(), 0);
    assertEquals(await peer.frame(), null);
    peer.close();
  }));
  await soon(ended, "the end");
});

Deno.test("shutdown: it ends although a peer keeps its connection open", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await soon(at.server.shutdown(), "the end");
  assertDraining(await peer.frame(), 0);
});

Deno.test("shutdown: new connections are refused", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await peer.send(call(1, "Slow.call"));
  await until(() => at.waiting.length === 1, "the call to be started");
  const ended = at.server.shutdown();
  // Refused, or reset if it was waiting to be accepted.
  await assertRejects(() => RawPeer.dial(at.port));
  await assertRejects(() => at.server.listen("tcp@127.0.0.1:0"), TypeError);
  at.waiting[0]!.resolve(1);
  await peer.gone();
  peer.close();
  await ended;
});

Deno.test("shutdown: called three times at once is one end, with the first grace", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await peer.send(call(1, "Slow.call"));
  await until(() => at.waiting.length === 1, "the call to be started");
  const ends = [
    at.server.shutdown({ grace: 60_000 }),
    at.server.shutdown({ grace: 1 }),
    at.server.shutdown(),
  ];
  assertDraining(await peer.frame(), 1);
  assertEquals(await pingPong(peer, 1), []);
  at.waiting[0]!.resolve(1);
  assertEquals(
    (await peer.rest()).map(({ header }) => header),
    [headerOf.reply(1)],
    "one GoAway, one answer",
  );
  peer.close();
  await Promise.all(ends);
  await at.server.shutdown();
});

Deno.test("shutdown: when the grace is over handlers are aborted and not waited for", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await peer.send(call(1, "Slow.call"), call(3, "Slow.call"));
  await until(() => at.waiting.length === 2, "the calls to be started");
  const began = performance.now();
  const ended = at.server.shutdown({ grace: 1_000 });
  assertDraining(await peer.frame(), 3);
  at.waiting[0]!.resolve("in time");
  assertEquals((await peer.rest()).map(({ header }) => header), [headerOf.reply(1)]);
  peer.close();
  await soon(ended, "the end");
  const took = performance.now() - began;
  assert(took >= 990, `${took} ms`);
  assertEquals({ reasons: at.reasons, inFlight: at.server.stats().inFlight }, {
    reasons: ["unavailable"],
    inFlight: 1,
  });
  at.waiting[1]!.resolve("too late");
});

Deno.test("shutdown: a grace of 0 aborts at once, and an invalid one is refused", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await peer.send(call(1, "Slow.call"));
  await until(() => at.waiting.length === 1, "the call to be started");
  for (const grace of [-1, NaN, 1.5, Infinity, 2 ** 31]) {
    assertThrows(() => void at.server.shutdown({ grace }), RangeError, "grace");
  }
  const ended = at.server.shutdown({ grace: 0 });
  await peer.gone();
  peer.close();
  await soon(ended, "the end");
  assertEquals(at.reasons, ["unavailable"]);
});

Deno.test("close: ends at once, after sending what had been written", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  peer.skipsPings = true;
  await peer.send(call(1, "Echo.echo", "x".repeat(100_000)), call(3, "Slow.call"));
  await until(() => at.waiting.length === 1, "the call to be started");
  const ended = at.server.close();
  assertEquals(at.reasons, ["unavailable"], "the handler is notified before close has returned");
  const frames = await peer.rest();
  assertEquals(frames.filter(({ kind }) => kind !== Kind.goAway).map(({ header }) => header), [
    headerOf.reply(1),
  ]);
  peer.close();
  await soon(ended, "the end");
  await at.server.close();
});

Deno.test("close: cuts a shutdown short", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await peer.send(call(1, "Slow.call"));
  await until(() => at.waiting.length === 1, "the call to be started");
  const draining = at.server.shutdown({ grace: 60_000 });
  assertDraining(await peer.frame(), 1);
  const closed = at.server.close();
  assertEquals((await peer.rest()).filter(({ kind }) => kind !== Kind.goAway), []);
  peer.close();
  await soon(Promise.all([draining, closed]), "both ends");
  assertEquals(at.reasons, ["unavailable"]);
});

Deno.test("close: works on servers that are unused or idle", async () => {
  await new Server().close();
  await new Server().shutdown();
  await using at = await open();
  (await enter(at.port)).close();
  await until(() => at.server.stats().connections === 0, "the peer to be gone");
});

Deno.test("listening: after close() it accepts no connection, existing ones stay, and closing twice is fine", async () => {
  await using at = await open();
  using peer = await enter(at.port);
  await at.listening.close();
  await at.listening.close();
  await assertRejects(() => RawPeer.dial(at.port), Deno.errors.ConnectionRefused);
  await peer.send(call(1, "Echo.echo", 1));
  assertEquals((await peer.frame())?.header, headerOf.reply(1));
  await using again = await at.server.listen(`tcp@127.0.0.1:${at.port}`);
  assertEquals(again.address, at.listening.address);
  using other = await enter(at.port);
  peer.close();
  other.close();
});

Deno.test("listening: at two addresses is one server, and an address in use is refused", async () => {
  await using at = await open({ maxConnections: 2 });
  await using second = await at.server.listen("tcp@127.0.0.1:0");
  await assertRejects(() => at.server.listen(second.address), Deno.errors.AddrInUse, second.address);
  using one = await enter(at.port);
  using two = await enter(portOf(second.address));
  assertEquals(at.server.stats().connections, 2);
  using three = await RawPeer.dial(at.port);
  assertEquals(JSON.parse((await three.line())!).error.code, "resource_exhausted");
  one.close();
  two.close();
});

Deno.test("drain: no accepted call is lost, over 20 drains amid traffic", async () => {
  for (let run = 0; run < 20; run++) {
    await using at = await open();
    using peer = await enter(at.port);
    let seq = -1;
    const sending = (async () => {
      try {
        for (let i = 0; i < 200; i++) {
          await peer.send(call(seq += 2, "Echo.echo", i), call(seq += 2, "Echo.echo", i));
        }
      } catch {
        // The server has gone meanwhile.
      }
    })();
    const frames: Frame[] = await peer.frames(1 + run * 3);
    const ended = at.server.shutdown();
    frames.push(...await peer.rest());
    await peer.end().catch(() => {});
    await sending;
    await ended;
    const [goAway, ...more] = frames.filter(({ kind }) => kind === Kind.goAway);
    assertEquals(more, []);
    const answered = frames.filter(({ kind }) => kind === Kind.reply).map(({ seq }) => seq);
    assertEquals(answered, Array.from({ length: answered.length }, (_, i) => 2 * i + 1));
    assertEquals(goAway?.header[1], answered.at(-1), "lastSeq is the last that was answered");
    assertEquals(at.server.stats().methods[0]!.calls, answered.length, "and the last that was run");
  }
});

for (
  const [how, stop] of [
    ["at once", (end: () => unknown) => void end()],
    ["after an await", async (end: () => unknown) => void (await null, end())],
  ] as const
) {
  for (const [what, answer] of [["a value", "stopped"], ["a promise", Promise.resolve("stopped")]] as const) {
    Deno.test(`drain: a handler that calls shutdown ${how} is answered, with ${what}`, async () => {
      const server = new Server();
      let ended: Promise<void> | undefined;
      server.register("Admin", {
        stop: () => {
          const stopping = stop(() => ended = server.shutdown({ grace: 60_000 }));
          return stopping === undefined ? answer : stopping.then(() => answer);
        },
      });
      const { address } = await server.listen("tcp@127.0.0.1:0");
      await using client = await connect(address, { failMode: "failfast" });
      assertEquals(await client.call("Admin.stop"), "stopped");
      await ended;
    });
  }
}

Deno.test("drain: a handler that closes its server before it returns a promise is aborted", async () => {
  const server = new Server();
  const aborted = Promise.withResolvers<string>();
  let closed: Promise<void> | undefined;
  server.register("Admin", {
    stop: (_: unknown, { signal }: CallContext) => {
      signal.addEventListener("abort", () => aborted.resolve((signal.reason as RpcError).code));
      closed = server.close();
      return aborted.promise;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { failMode: "failfast" });
  assertEquals((await assertRejects(() => client.call("Admin.stop"), RpcError)).code, "unavailable");
  assertEquals(await aborted.promise, "unavailable");
  await closed;
});
