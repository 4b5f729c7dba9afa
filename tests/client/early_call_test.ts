// Calls that leave with the handshake: which do, what is on the wire, and what their errors claim when there is no session.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  connect,
  type ConnectOptions,
  MultiServers,
  RpcError,
  Server,
  type ServerOptions,
} from "../../mod.ts";
import { parseAddress } from "../../discovery/endpoint.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { ANSWER, bodyOf, type Frame, RawPeer } from "../support/raw_peer.ts";
import { goAway, headerOf, Kind, reply } from "../support/frames.ts";
import { fails } from "../support/session_pair.ts";
import { pem } from "../support/certs.ts";
import { until } from "../support/waiting.ts";

const ROUND_TRIP = 100;

/** Serves on host `name` after half a round trip for each packet. */
async function serve(sim: Simulation, name = "one", options: ServerOptions = {}, scheme = "tcp") {
  let calls = 0;
  const server = new Server({ network: sim.network.host(name), ...options }).register("S", {
    echo: (value: unknown) => {
      calls++;
      return value;
    },
    left: (_: unknown, { deadline }: { deadline: number }) => deadline - performance.now(),
    name: () => name,
    hang: (_: unknown, { signal }: { signal: AbortSignal }) =>
      new Promise((resolve) => signal.addEventListener("abort", resolve)),
    *items() {
      yield* [1, 2, 3];
    },
    total: async (items: AsyncIterable<number>) => {
      let sum = 0;
      for await (const item of items) sum += item;
      return sum;
    },
  });
  await server.listen(`${scheme}@${name}:1`);
  sim.network.shape({ delay: ROUND_TRIP / 2 });
  return {
    server,
    calls: () => calls,
    [Symbol.asyncDispose]: () => server.close(),
  };
}

function dial({ network }: Simulation, addresses: string[], options: ConnectOptions = {}) {
  return connect(new MultiServers(addresses), { network: network.host("client"), ...options });
}

/** A server by hand on `tcp@raw:1`: `serve` gets each connection. */
function raw({ network }: Simulation, serve: (peer: RawPeer) => Promise<void>): Disposable {
  const listener = network.host("raw").listen(parseAddress("tcp@raw:1"));
  const accept = async () => {
    for (let conn; (conn = await listener.accept()) !== null;) serve(new RawPeer(conn));
  };
  accept();
  return { [Symbol.dispose]: () => listener.close() };
}

async function took({ time }: Simulation, call: Promise<unknown>): Promise<number> {
  const began = time.now;
  await call;
  return time.now - began;
}

async function rejected(call: Promise<unknown>): Promise<RpcError> {
  return await assertRejects(() => call, RpcError);
}

for (const [scheme, trips] of [["tcp", 2], ["http", 4]] as const) {
  Deno.test(`early call: the first answer over ${scheme}@ arrives after ${trips} round trips`, () =>
    simulate(async (sim) => {
      await using _ = await serve(sim, "one", {}, scheme);
      await using client = await dial(sim, [`${scheme}@one:1`]);
      const call = client.call("S.echo", { text: "hello" }).then((value) =>
        assertEquals(value, { text: "hello" })
      );
      assertEquals(await took(sim, call), trips * ROUND_TRIP);
      assertEquals(await took(sim, client.call("S.echo", 1)), ROUND_TRIP);
    }));
}

Deno.test("early call: with several servers only idempotent calls leave with the handshake", () =>
  simulate(async (sim) => {
    await using _one = await serve(sim, "one");
    await using _two = await serve(sim, "two");
    for (const [idempotent, trips] of [[true, 2], [false, 3]] as const) {
      await using client = await dial(sim, ["tcp@one:1", "tcp@two:1"]);
      for (let n = 0; n < 2; n++) {
        assertEquals(await took(sim, client.call("S.echo", n, { idempotent })), trips * ROUND_TRIP);
      }
    }
  }));

Deno.test("early call: one with waitForReady waits for the handshake", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    await using client = await dial(sim, ["tcp@one:1"]);
    const call = client.call("S.echo", 1, { waitForReady: true, idempotent: true });
    assertEquals(await took(sim, call), 3 * ROUND_TRIP);
  }));

Deno.test("early call: a list that is not fixed may name another server, so calls wait", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    const endpoints = [{ address: "tcp@one:1" }];
    const discovery = {
      endpoints: () => Promise.resolve(endpoints),
      async *watch() {
        yield await Promise.resolve(endpoints);
      },
    };
    await using client = await connect(discovery, { network: sim.network.host("client") });
    assertEquals(await took(sim, client.call("S.echo", 1)), 3 * ROUND_TRIP);
  }));

Deno.test("early call: a lost connection is made again with the calls that wait for it", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    await using client = await connect("tcp@one:1", { network: sim.network.host("client") });
    await sim.sleep(2_000);
    sim.network.cut("client");
    await sim.sleep(1);
    // The first redial begins within 100 ms.
    const elapsed = await took(sim, client.call("S.echo", 1));
    assert(elapsed >= 2 * ROUND_TRIP && elapsed <= 2 * ROUND_TRIP + 100, `${elapsed} ms`);
  }));

Deno.test("early call: 16 calls leave, and the others after the server's line", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    await using client = await dial(sim, ["tcp@one:1"]);
    const times = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const value = { n };
        const elapsed = took(sim, client.call("S.echo", value).then((echo) => assertEquals(echo, { n })));
        value.n = -1;
        return await elapsed;
      }),
    );
    assertEquals(times, [...Array(16).fill(2 * ROUND_TRIP), ...Array(4).fill(3 * ROUND_TRIP)]);
  }));

Deno.test("early call: they are in the same write as the option, numbered from 1", () =>
  simulate(async (sim) => {
    const reads: Frame[][] = [];
    using _ = raw(sim, async (peer) => {
      const chunk = new Uint8Array(4_096);
      const count = (await peer.conn.read(chunk))!;
      const frames = new RawPeer({
        ...peer.conn,
        read: (into) => {
          const rest = chunk.subarray(chunk.indexOf(10) + 1, count);
          chunk[0] = 10;
          into.set(rest);
          return Promise.resolve(rest.length);
        },
      });
      reads.push(await frames.frames(3));
      await peer.send(ANSWER, reply(1, 1), reply(3, 2), reply(5, 3));
      await peer.gone();
      peer.close();
    });
    await using client = await dial(sim, ["tcp@raw:1"]);
    const calls = ["a", "b", "c"].map((text) => client.call("S.echo", text, { timeout: 500 }));
    assertEquals(await Promise.all(calls), [1, 2, 3]);
    assertEquals(
      reads.flat().map(({ header }) => header),
      [1, 3, 5].map((n) => headerOf.call(n, "S.echo", 500)),
    );
    assertEquals(reads.flat().map(bodyOf), ["a", "b", "c"]);
  }));

Deno.test("early call: a frame above 64 KiB waits for the server's line", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    // The header, [1, 1, "S.echo", 29900], takes 13 bytes, and the head of the text 3.
    for (const [length, trips] of [[65_536 - 16, 2], [65_536 - 15, 3]] as const) {
      await using client = await dial(sim, ["tcp@one:1"], { timeout: 30_000 });
      sim.network.shape({ window: 1_048_576 });
      const text = "x".repeat(length);
      const call = client.call("S.echo", text).then((echo) => assert(echo === text));
      assertEquals(await took(sim, call), trips * ROUND_TRIP, `${length}`);
    }
  }));

Deno.test("early call: what was not written when the server's line arrives leaves after it, in order", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    // 2 Mbit/s: a frame takes a quarter of a second, and the server's line arrives long before the last one has left.
    sim.network.shape({ delay: ROUND_TRIP / 2, bandwidth: 250_000, window: 65_536, chunk: 16_384 });
    await using client = await dial(sim, ["tcp@one:1"]);
    const calls = Array.from({ length: 18 }, (_, n) => client.call("S.echo", new Uint8Array(60_000).fill(n)));
    const first = await took(sim, calls[0]!);
    assert(first < 1_200, `the first answer took ${first} ms`);
    const values = await Promise.all(calls) as Uint8Array[];
    assertEquals(values.map((value) => value.at(-1)), values.map((_, n) => n));
  }));

Deno.test("early call: an answer that is a stream may be asked for, arguments that are one wait", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    await using client = await dial(sim, ["tcp@one:1"]);
    const [items, total] = [client.stream<number>("S.items"), client.call("S.total", one())];
    const whole = Array.fromAsync(items).then((all) => assertEquals(all, [1, 2, 3]));
    assertEquals(await took(sim, whole), 2 * ROUND_TRIP);
    assertEquals(await total, 6);

    async function* one() {
      yield* [1, 2, 3];
    }
  }));

Deno.test("early call: its timeout is what is left when it leaves", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim);
    await using client = await dial(sim, ["tcp@one:1"]);
    // Connecting has taken a round trip.
    assertEquals(await client.call("S.left", null, { timeout: 1_000 }), 1_000 - ROUND_TRIP);
  }));

Deno.test("early call: a server of the smallest limits takes them, and the next ones wait for room", () =>
  simulate(async (sim) => {
    await using _ = await serve(sim, "one", { maxInFlight: 16, maxFrameBytes: 65_536 });
    await using client = await dial(sim, ["tcp@one:1"]);
    const stop = new AbortController();
    const hanging = Array.from(
      { length: 16 },
      () => fails(client.call("S.hang", null, { signal: stop.signal }), "canceled"),
    );
    const text = "x".repeat(65_400);
    const echo = client.call("S.echo", text);
    await sim.sleep(1_000);
    assertEquals(client.stats().pending, 17);
    stop.abort();
    assertEquals(await echo, text);
    await fails(client.call("S.echo", text + text), "resource_exhausted", "maxFrameBytes (65536)");
    for (const error of await Promise.all(hanging)) assertEquals(error.notStarted, false);
  }));

Deno.test("early call: a refused handshake has started none of them", () =>
  simulate(async (sim) => {
    await using at = await serve(sim, "one", { authenticate: () => false });
    await using client = await dial(sim, ["tcp@one:1"]);
    const calls = Array.from({ length: 20 }, () => client.call("S.echo", 1));
    for (const call of calls) {
      const { notStarted, remote } = await fails(call, "unauthenticated", "Cannot connect to tcp@one:1");
      assertEquals({ notStarted, remote }, { notStarted: true, remote: true });
    }
    assertEquals(at.calls(), 0);
  }));

Deno.test("early call: an idempotent one goes to another server after a refused handshake", () =>
  simulate(async (sim) => {
    await using _one = await serve(sim, "one", { authenticate: () => false });
    await using _two = await serve(sim, "two");
    await using client = await dial(sim, ["tcp@one:1", "tcp@two:1"]);
    for (let n = 0; n < 2; n++) {
      assertEquals(await client.call("S.name", null, { idempotent: true }), "two");
    }
    assertEquals(client.stats().retries, 0, "it was started nowhere else");
  }));

const LOSSES: Record<string, (peer: RawPeer) => Promise<void>> = {
  "the connection ends": async () => {},
  "the answer is cut off": (peer) => peer.send(ANSWER.slice(0, 40)),
  "the answer is invalid": (peer) => peer.send('{"magicNumber":3927900,"version":2}\n'),
};

for (const [what, lose] of Object.entries(LOSSES)) {
  Deno.test(`early call: it may have been started when ${what} before the server's line`, () =>
    simulate(async (sim) => {
      using _ = raw(sim, async (peer) => {
        await peer.line();
        await lose(peer);
        await peer.end();
        await peer.gone();
        peer.close();
      });
      await using client = await dial(sim, ["tcp@raw:1"]);
      const calls = Array.from({ length: 17 }, () => rejected(client.call("S.echo", 1)));
      const errors = await Promise.all(calls);
      assertEquals(errors.map(({ notStarted }) => notStarted), [...Array(16).fill(false), true]);
      for (const { message } of errors) assertStringIncludes(message, "Cannot connect to tcp@raw:1");
      await using _two = await serve(sim, "two");
      await using both = await dial(sim, ["tcp@raw:1", "tcp@two:1"]);
      for (let n = 0; n < 2; n++) {
        assertEquals(await both.call("S.name", null, { idempotent: true }), "two");
      }
      assertEquals(both.stats().retries, 1);
    }));
}

Deno.test("early call: while a server keeps the handshake waiting, an idempotent call goes to another one", () =>
  simulate(async (sim) => {
    const slow = () => sim.sleep(3_000).then(() => true);
    await using _one = await serve(sim, "one", { authenticate: slow });
    await using _two = await serve(sim, "two");
    await using client = await dial(sim, ["tcp@one:1", "tcp@two:1"]);
    const calls = [1, 2].map(() => client.call("S.name", null, { idempotent: true }));
    const times = await Promise.all(calls.map((call) => took(sim, call)));
    // Connecting, 250 ms, and a call over the connection that the other server has then.
    assertEquals(times.sort(), [2 * ROUND_TRIP, ROUND_TRIP + 250 + ROUND_TRIP]);
    assertEquals(await Promise.all(calls), ["two", "two"]);
    await sim.sleep(3_000);
    assertEquals(client.stats().endpoints.map(({ state, pending }) => [state, pending]), [["ready", 0], [
      "ready",
      0,
    ]]);
    await using alone = await dial(sim, ["tcp@one:1"]);
    assertEquals(await alone.call("S.name", null, { idempotent: true }), "one");
  }));

Deno.test("early call: one that ends before the server's line is canceled, and its number is not used again", () =>
  simulate(async (sim) => {
    const frames: Frame[] = [];
    using _ = raw(sim, async (peer) => {
      await peer.line();
      frames.push(...await peer.frames(4));
      // The first two answers are late.
      await peer.send(ANSWER, reply(1, 1), reply(3, 2));
      frames.push(...await peer.frames(1));
      await peer.send(reply(5, "third"));
      await peer.gone();
      peer.close();
    });
    await using client = await dial(sim, ["tcp@raw:1"]);
    const stop = new AbortController();
    const aborted = fails(client.call("S.echo", 1, { signal: stop.signal }), "canceled");
    const late = fails(client.call("S.echo", 2, { timeout: 50 }), "deadline_exceeded", "still connecting");
    await sim.sleep(10);
    stop.abort();
    assertEquals((await aborted).notStarted, false);
    assertEquals((await late).notStarted, false);
    assertEquals(await client.call("S.echo", 3), "third");
    assertEquals(frames.map(({ kind, seq }) => [kind, seq]), [
      [Kind.call, 1],
      [Kind.call, 3],
      [Kind.cancel, 1],
      [Kind.cancel, 3],
      [Kind.call, 5],
    ]);
  }));

Deno.test("early call: a server that leaves the list answers what has left with the handshake", () =>
  simulate(async (sim) => {
    await using _one = await serve(sim, "one");
    await using _two = await serve(sim, "two");
    const list = new MultiServers(["tcp@one:1"]);
    await using client = await connect(list, { network: sim.network.host("client") });
    const call = client.call("S.name");
    await sim.sleep(ROUND_TRIP + 10);
    list.update(["tcp@two:1"]);
    assertEquals(await took(sim, call), ROUND_TRIP - 10);
    assertEquals([await call, await client.call("S.name")], ["one", "two"]);
    await sim.sleep(ROUND_TRIP);
    assertEquals(sim.network.connections, 1, "the first connection is closed");
  }));

Deno.test("early call: it ends with its client, and with connectTimeout", () =>
  simulate(async (sim) => {
    using _ = raw(sim, (peer) => peer.gone());
    for (const close of [true, false]) {
      await using client = await dial(sim, ["tcp@raw:1"], { connectTimeout: 1_000 });
      const message = close ? "The client is closed" : "no answer within 1000 ms (connectTimeout)";
      const failed = fails(client.call("S.echo", 1), "unavailable", message);
      await sim.sleep(10);
      assertEquals(client.stats().pending, 1);
      if (close) await client.close();
      assertEquals((await failed).notStarted, false);
      assertEquals(client.stats().pending, 0);
    }
  }));

for (const ends of ["an answer", "the end of its client"]) {
  Deno.test(`early call: a server that shuts down with its line delays neither others nor ${ends}`, () =>
    simulate(async (sim) => {
      let peers = 0;
      using _ = raw(sim, async (peer) => {
        const first = ++peers === 1;
        await peer.line();
        if (first) await peer.frame();
        await peer.send(ANSWER, ...first ? [goAway(1, "unavailable", "bye")] : []);
        if (first) await sim.sleep(10_000);
        else await peer.frame();
        await peer.send(reply(1, first ? "first" : "second"));
        await peer.gone();
        peer.close();
      });
      await using client = await dial(sim, ["tcp@raw:1"]);
      const first = client.call("S.first", null, { timeout: 20_000 });
      first.catch(() => {});
      await sim.sleep(10);
      assertEquals(await client.call("S.second", null, { waitForReady: true, timeout: 5_000 }), "second");
      assertEquals(client.stats().pending, 1);
      if (ends === "an answer") assertEquals(await first, "first");
      else {
        await client.close();
        assertEquals((await fails(first, "unavailable", "The client is closed")).notStarted, false);
      }
      assertEquals(client.stats().pending, 0);
    }));
}

for (const transport of ["tcp", "tls", "http", "ws"]) {
  const leaves = transport === "tcp" || transport === "tls";
  Deno.test(`early call: over ${transport}@ it ${leaves ? "leaves" : "waits"} while the server checks the token`, async () => {
    const gate = Promise.withResolvers<true>();
    let asked = false;
    await using server = new Server({
      authenticate: () => {
        asked = true;
        return gate.promise;
      },
      tls: { cert: pem("server.pem"), key: pem("server.key") },
    }).register("S", { echo: (value: unknown) => value });
    const scheme = transport === "ws" ? "http" : transport;
    const address = (await server.listen(`${scheme}@127.0.0.1:0`)).address.replace(scheme, transport);
    const tls = transport === "tls" ? { caCerts: [pem("ca.pem")] } : undefined;
    await using client = await connect(new MultiServers([address]), tls && { tls });
    const stop = new AbortController();
    const aborted = fails(client.call("S.echo", 1, { signal: stop.signal }), "canceled");
    const call = client.call("S.echo", 2);
    await until(() => asked, "the option");
    stop.abort();
    assertEquals((await aborted).notStarted, !leaves);
    gate.resolve(true);
    assertEquals(await call, 2);
  });
}
