// Connections that end in the middle, fall silent or are not read: pending work is given up, memory is freed, and
// no other client waits. Over memory and TCP.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { RpcError } from "../../call/error.ts";
import { Server } from "../../server/server.ts";
import { call, headerOf, Kind, ping, pong } from "../support/frames.ts";
import { bodyOf, bytes, cbor, dialAndReset, framed, OPTION, type RawPeer } from "../support/raw_peer.ts";
import { soon, until } from "../support/waiting.ts";
import {
  assertGoAway,
  assertLives,
  ECHO,
  openMemory,
  overBoth,
  overSimulated,
  pingPong,
  portOf,
  type Services,
} from "../support/wire_harness.ts";

/** Calls that never return but by their signal, and why that aborted. */
function hanging() {
  const reasons: string[] = [];
  const services: Services = {
    ...ECHO,
    Hang: {
      call: (_: unknown, { signal }: { signal: AbortSignal }) => {
        return new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            reasons.push((signal.reason as RpcError).code);
            reject(signal.reason);
          });
        });
      },
    },
  };
  return { reasons, services };
}

overBoth(
  "connection loss: an end inside a frame, wherever, runs no part of it and frees the connection",
  async (open) => {
    await using wire = await open(ECHO);
    wire.peer.close();
    const whole = bytes(call(1, "Echo.echo", "first"), call(3, "Echo.echo", "second"));
    const first = call(1, "Echo.echo", "first").length;
    const between = new Set([0, first, whole.length]);
    await Promise.all(Array.from({ length: whole.length + 1 }, async (_, offset) => {
      using peer = await wire.another();
      await peer.send(whole.slice(0, offset));
      await peer.end();
      if (between.has(offset)) {
        assertEquals((await peer.rest()).length, [...between].indexOf(offset), `end at ${offset}`);
      } else {
        await peer.gone();
      }
    }));
    await wire.idle();
    const taken = whole.length + 1 - first;
    assertEquals(wire.stats("Echo.echo").calls, taken + 1, "the calls that came whole");
  },
);

overBoth(
  "connection loss: a call in flight is aborted when its peer ends inside the next frame",
  async (open) => {
    const { reasons, services } = hanging();
    await using wire = await open(services);
    await wire.peer.send(call(1, "Hang.call"), call(3, "Echo.echo").slice(0, 9));
    await until(() => wire.stats("Hang.call").inFlight === 1, "the call to be started");
    await wire.peer.end();
    await until(() => reasons.length === 1, "the abort");
    assertEquals(reasons, ["unavailable"]);
    await wire.idle();
  },
);

Deno.test("connection loss: all calls in flight are aborted by a reset", async () => {
  const { reasons, services } = hanging();
  await using wire = await openMemory(services);
  const { peer } = wire;
  await peer.send(...Array.from({ length: 50 }, (_, i) => call(2 * i + 1, "Hang.call")), ping(1));
  // Closing over unread input is a reset: one byte of the Pong is read, the others are not.
  assertEquals(await peer.conn.read(new Uint8Array(1)), 1);
  assertEquals(wire.stats("Hang.call").inFlight, 50);
  peer.close();
  await wire.idle();
  assertEquals(reasons, new Array(50).fill("unavailable"));
  await until(() => wire.stats("Hang.call").inFlight === 0, "the handlers to return");
});

Deno.test("connection loss: resets at any point of a conversation leak nothing", async () => {
  const { reasons, services } = hanging();
  const server = new Server();
  for (const [name, methods] of Object.entries(services)) server.register(name, methods);
  await using _ = server;
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const whole = bytes(OPTION, call(1, "Hang.call"), ping(1), call(3, "Echo.echo", "x".repeat(50)));
  for (let i = 0; i <= whole.length; i += 5) await dialAndReset(portOf(address), whole.slice(0, i));
  const { calls } = server.stats().methods.find(({ method }) => method === "Hang.call")!;
  await until(() => server.stats().connections === 0, "no connection to be left");
  await until(() => reasons.length === calls, "all to be aborted");
});

overSimulated("heartbeat: a silent peer is pinged, and cut off when it stays silent", async (open) => {
  const { reasons, services } = hanging();
  await using wire = await open(services, { heartbeatInterval: 60, heartbeatTimeout: 60 });
  const { peer } = wire;
  await peer.send(call(1, "Hang.call"));
  const began = performance.now();
  assertEquals((await peer.frame())?.header, headerOf.ping(1));
  const pinged = performance.now() - began;
  await peer.gone();
  const cut = performance.now() - began;
  assert(pinged >= 50 && cut >= 110, `pinged after ${pinged} ms, cut after ${cut} ms`);
  await wire.idle();
  assertEquals(reasons, ["unavailable"]);
});

overSimulated("heartbeat: a peer that answers is kept, for as long as it answers", async (open) => {
  await using wire = await open(ECHO, { heartbeatInterval: 30, heartbeatTimeout: 60 });
  const { peer } = wire;
  let last = 0;
  for (let i = 0; i < 6; i++) {
    const ping = (await peer.frame())!;
    assertEquals(ping.kind, 8);
    assert(ping.seq > last, "each Ping has a number of its own");
    await peer.send(pong(last = ping.seq));
  }
  await assertAlive(peer, 1);
});

/** Shows that a connection lives on which Pings may come at any time. */
async function assertAlive(peer: RawPeer, seq: number): Promise<void> {
  await peer.send(call(seq, "Echo.echo", seq));
  for (;;) {
    const next = await peer.frame();
    assert(next !== null, "the connection has ended");
    if (next.kind === Kind.ping) await peer.send(pong(next.seq));
    else return assertEquals([next.header, bodyOf(next)], [headerOf.reply(seq), seq]);
  }
}

overSimulated("heartbeat: any byte is a sign of life, those of an unfinished frame too", async (open) => {
  await using wire = await open(ECHO, { heartbeatInterval: 40, heartbeatTimeout: 40 });
  const { peer } = wire;
  // Within a frame no Pong can be sent. What is written a byte at a time takes half a second.
  const long = call(1, "Echo.echo", "x".repeat(10));
  for (const byte of long) {
    await peer.send(bytes(byte));
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  for (;;) {
    const next = await peer.frame();
    assert(next !== null, "it was cut off though it kept sending");
    if (next.kind === Kind.reply) break;
  }
});

overSimulated("heartbeat: 0 switches it off", async (open) => {
  await using wire = await open(ECHO, { heartbeatInterval: false, heartbeatTimeout: 1 });
  await assertLives(wire.peer, 1);
  // There is nothing to wait for but time; any Ping within it would come before the Pong.
  await new Promise((resolve) => setTimeout(resolve, 60));
  assertEquals(await pingPong(wire.peer, 1), []);
});

overSimulated(
  "frameTimeout: a frame that does not end in time ends the connection, however its bytes come",
  async (open) => {
    const { reasons, services } = hanging();
    await using wire = await open(services, { frameTimeout: 120 });
    const { peer } = wire;
    await peer.send(call(1, "Hang.call"));
    const began = performance.now();
    const frames = assertGoAway(peer, "deadline_exceeded", 1);
    let over = false;
    const trickle = (async () => {
      for (const byte of call(3, "Echo.echo", "x".repeat(1_000))) {
        if (over) return;
        await peer.send(bytes(byte));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    assertEquals(await frames, []);
    over = true;
    const took = performance.now() - began;
    assert(took >= 110, `${took} ms`);
    assertEquals(reasons, ["unavailable"]);
    await trickle;
  },
);

overSimulated(
  "frameTimeout: it is counted for each frame, not for a stream that always ends inside one",
  async (open) => {
    await using wire = await open(ECHO, { frameTimeout: 100 });
    const { peer } = wire;
    const frames = Array.from({ length: 20 }, (_, i) => call(2 * i + 1, "Echo.echo", i));
    let rest = bytes();
    for (const [i, each] of frames.entries()) {
      // The end of the last frame and the beginning of this one leave in one write.
      await peer.send(rest, each.slice(0, 7));
      rest = each.slice(7);
      if (i > 0) assertEquals((await peer.frame())?.header, headerOf.reply(2 * i - 1));
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    await peer.send(rest);
    assertEquals((await peer.frame())?.header, headerOf.reply(39));
  },
);

overSimulated("frameTimeout: a frame that keeps arriving gets a second for each 64 KiB", async (open) => {
  await using wire = await open(ECHO, { frameTimeout: 60 });
  const { peer } = wire;
  peer.skipsPings = true;
  const header = cbor(headerOf.call(1, "Echo.echo", 0));
  const large = framed(bytes(header, cbor(new Uint8Array(200_000))));
  await peer.send(large.slice(0, 150_000));
  await new Promise((resolve) => setTimeout(resolve, 200));
  await peer.send(large.slice(150_000));
  assertEquals((await peer.frame())?.header, headerOf.reply(1));
});

overBoth(
  "writeTimeout: a peer that does not read is cut off, and others are not kept waiting",
  async (open) => {
    const { reasons, services } = hanging();
    await using wire = await open({ ...services, Large: { make: () => new Uint8Array(4_000_000) } }, {
      writeTimeout: 150,
      heartbeatInterval: false,
    });
    using stuck = await wire.another();
    const began = performance.now();
    await stuck.send(
      call(1, "Hang.call"),
      call(3, "Large.make"),
      call(5, "Large.make"),
      call(7, "Large.make"),
    );
    await until(() => wire.stats("Large.make").calls > 0, "the large reply to be made");
    for (let seq = 1; reasons.length === 0; seq += 2) {
      await assertLives(wire.peer, seq);
      assert(seq < 10_000, "It was never cut off");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert(performance.now() - began >= 149);
    assertEquals(reasons, ["unavailable"]);
  },
);

overSimulated("writeTimeout: a peer that reads slowly is not cut off while it reads", async (open) => {
  await using wire = await open({ Large: { make: () => new Uint8Array(3_000_000) } }, {
    writeTimeout: 150,
    heartbeatInterval: false,
  });
  const { peer } = wire;
  await peer.send(call(1, "Large.make"));
  // 3 MB in about half a second.
  const chunk = new Uint8Array(262_144);
  let read = 0;
  while (read < 3_000_013) {
    const count = await soon(peer.conn.read(chunk), "bytes");
    assert(count !== null, `The end came after ${read} bytes`);
    read += count;
    if (read < 3_000_013) await new Promise((resolve) => setTimeout(resolve, count / 6_000));
  }
});

overBoth(
  "unsent bytes: a peer that calls and does not read is not read from, and loses nothing",
  async (open) => {
    const maxUnsentBytes = 262_144;
    await using wire = await open(ECHO, { maxUnsentBytes, heartbeatInterval: false });
    using greedy = await wire.another();
    const count = 800;
    const body = new Uint8Array(32_768);
    const sending = (async () => {
      for (let i = 0; i < count; i++) await greedy.send(call(2 * i + 1, "Echo.echo", body.fill(i)));
    })();
    // It has stopped when the number of calls stays the same over several calls of another client.
    let before = -1, still = 0, seq = 1;
    while (still < 5) {
      await assertLives(wire.peer, seq);
      seq += 2;
      await new Promise((resolve) => setTimeout(resolve, 10));
      const { calls } = wire.stats("Echo.echo");
      still = calls - (seq - 1) / 2 === before ? still + 1 : 0;
      before = calls - (seq - 1) / 2;
    }
    assert(before < count, "The calls of a peer that does not read were all started");
    const replies = await greedy.frames(count);
    await sending;
    assertEquals(replies.map(({ seq }) => seq), Array.from({ length: count }, (_, i) => 2 * i + 1));
    assert(replies.every((reply, i) => (bodyOf(reply) as Uint8Array)[17] === i % 256));
  },
);

overBoth(
  "unsent bytes: calls that have arrived already are not started while too much waits",
  async (open) => {
    let started = 0;
    await using wire = await open({
      Large: {
        make: () => {
          started++;
          return new Uint8Array(1_000_000);
        },
      },
    }, { maxUnsentBytes: 1_000_000, heartbeatInterval: false });
    const { peer } = wire;
    peer.skipsPings = true;
    // All in one read.
    await peer.send(...Array.from({ length: 50 }, (_, i) => call(2 * i + 1, "Large.make")));
    await until(() => started > 0, "the first to be started");
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert(started < 25, `${started} calls were started of a peer that reads nothing`);
    assertEquals(
      (await peer.frames(50)).map(({ seq }) => seq),
      Array.from({ length: 50 }, (_, i) => 2 * i + 1),
    );
  },
);

overBoth("connection loss: the log says which peer was cut off and why", async (open) => {
  await using wire = await open(ECHO);
  await wire.peer.send(bytes(0x47));
  await assertGoAway(wire.peer, "invalid_argument");
  assertEquals(wire.log.length, 1);
  assertStringIncludes(wire.log[0]!, "0x47");
});

Deno.test("connection loss: a client that is gone after what looked like a half-close is found by probing (TCP)", async () => {
  const { services, reasons } = hanging();
  await using server = new Server();
  for (const [name, methods] of Object.entries(services)) server.register(name, methods);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: portOf(address) });
  await conn.write(new TextEncoder().encode(OPTION));
  await conn.read(new Uint8Array(1_024));
  await conn.write(call(1, "Hang.call"));
  await until(() => server.stats().inFlight === 1, "the call");
  conn.close();
  await until(() => reasons.length > 0, "the abort");
  assertEquals(reasons, ["unavailable"]);
});
