// A server that says nothing more, without ending its connection: who is asked, where calls go meanwhile, and what is not
// sent into a connection that may be gone.

import { assert, assertEquals } from "@std/assert";
import { type CallOptions, connect, type ConnectOptions, MultiServers, Server } from "../../mod.ts";
import type { Network } from "../../server/mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { headerOf, Kind, ping, pong, reply } from "../support/frames.ts";
import { ANSWER, RawPeer } from "../support/raw_peer.ts";
import { fails, Tap } from "../support/session_pair.ts";

/** Servers that note what they execute, and a client that has a connection to each. */
async function serve({ network, sleep }: Simulation, names: string[], options: ConnectOptions = {}) {
  const stack = new AsyncDisposableStack();
  const executed: [server: string, id: number][] = [];
  for (const name of names) {
    const server = stack.use(new Server({ network: network.host(name) }));
    server.register("S", {
      name: (id: number) => (executed.push([name, id]), name),
      nap: async (ms: number) => {
        await sleep(ms);
        return name;
      },
      follow: async function* () {
        yield name;
        await new Promise(() => {});
      },
    });
    await server.listen(`tcp@${name}:1`);
  }
  const list = new MultiServers(names.map((name) => `tcp@${name}:1`));
  const client = stack.use(await connect(list, { network: network.host("client"), ...options }));
  for (const _ of names) await client.call("S.name", 0);
  executed.length = 0;
  const { pending } = client.stats();
  assertEquals(pending, 0);
  return { client, executed, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

Deno.test("silent server: a machine that vanishes delays idempotent calls by 3 s, and later ones by nothing", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, ["gone", "there"]);
    const { client, executed } = here;
    await sim.sleep(10_000);
    sim.network.partition("gone");
    const began = sim.time.now;
    const calls = Array.from({ length: 10 }, (_, id) => client.call("S.name", id, { idempotent: true }));
    assertEquals(await Promise.all(calls), Array(10).fill("there"));
    // Asked after a second, doubtful after another.
    assertEquals(sim.time.now - began, 2_000);
    assertEquals(client.stats().retries, 5);
    for (let id = 0; id < 10; id++) assertEquals(await client.call("S.name", id), "there");
    assertEquals(sim.time.now - began, 2_000);
    // To be silent is not to fail, yet.
    assertEquals(client.stats().endpoints.map(({ failures, state }) => [failures, state]), [[0, "ready"], [
      0,
      "ready",
    ]]);
    // A pong that comes late brings it back.
    sim.network.heal();
    await sim.sleep(1_000);
    const who = [await client.call("S.name", 98), await client.call("S.name", 99)];
    assertEquals(who.toSorted(), ["gone", "there"]);
    // What was taken away from it was canceled there, and what it had received before that it may have executed.
    const ids = executed.filter(([name]) => name === "there").map(([, id]) => id);
    assert(ids.length >= 20, `${ids.length}`);
  }));

Deno.test("silent server: calls that are not idempotent are not moved, and fail with the connection", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, ["gone", "there"]);
    const { client } = here;
    await sim.sleep(10_000);
    sim.network.partition("gone");
    const began = sim.time.now;
    const calls = await Promise.allSettled([0, 1, 2, 3].map((id) => client.call("S.name", id)));
    const lost = calls.filter((call) => call.status === "rejected");
    for (const { reason } of lost) {
      assertEquals({ code: reason.code, notStarted: reason.notStarted }, {
        code: "unavailable",
        notStarted: false,
      });
    }
    // Asked after a second, and given up after heartbeatTimeout, not after the call's 30 s.
    assertEquals([lost.length, sim.time.now - began], [2, 11_000]);
  }));

const STAYS: [string, CallOptions, ConnectOptions?][] = [
  ["failMode fast", { idempotent: true, failMode: "failfast" }],
  ["failMode same", { idempotent: true, failMode: "retry" }],
  ["no retry budget", { idempotent: true }, { retryBudget: { ratio: 0, reserve: 0 } }],
  ["no heartbeat", { idempotent: true, timeout: 5_000 }, { heartbeatInterval: false }],
];
for (const [why, options, connectOptions] of STAYS) {
  Deno.test(`silent server: a call stays where it was sent, with ${why}`, () =>
    simulate(async (sim) => {
      await using here = await serve(sim, ["gone", "there"], connectOptions);
      const { client } = here;
      await sim.sleep(10_000);
      sim.network.stall("gone", "client");
      const calls = [client.call("S.name", 1, options), client.call("S.name", 2, options)];
      await sim.sleep(4_000);
      sim.network.heal();
      assertEquals((await Promise.all(calls)).toSorted(), ["gone", "there"]);
      assertEquals(client.stats().retries, 0);
    }));
}

Deno.test("silent server: a server whose handler takes minutes is pinged less and less often", () =>
  simulate(async (sim) => {
    const host = sim.network.host("client");
    const taps: Tap[] = [];
    const network: Network = {
      listen: (address) => host.listen(address),
      dial: async (address, signal) => {
        const tap = new Tap(await host.dial(address, signal));
        taps.push(tap);
        return tap;
      },
    };
    await using here = await serve(sim, ["slow"], { network });
    const [tap] = taps;
    const before = tap!.written;
    assertEquals(await here.client.call("S.nap", 200_000, { timeout: Infinity, idempotent: true }), "slow");
    // A call and ten pings of 7 bytes, not two hundred.
    assert(tap!.written - before < 130, `${tap!.written - before} bytes`);
    assertEquals(taps.length, 1);
  }));

Deno.test("silent server: while the only server is silent calls wait unsent, until it or another one answers", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, ["only"]);
    const { client, executed } = here;
    await sim.sleep(5_000);
    sim.network.stall("only", "client");
    const sent = client.call("S.name", 1);
    await sim.sleep(2_500);
    const waiting = [client.call("S.name", 2), client.call("S.name", 3, { idempotent: true })];
    const late = fails(client.call("S.name", 4, { timeout: 500 }), "deadline_exceeded", "is silent");
    assertEquals((await late).notStarted, true);
    assertEquals(executed, [["only", 1]]);
    sim.network.heal();
    assertEquals(await Promise.all([sent, ...waiting]), ["only", "only", "only"]);
    assertEquals(executed.map(([, id]) => id), [1, 2, 3]);

    await sim.sleep(5_000);
    executed.length = 0;
    sim.network.halfOpen(["client", "only"]);
    const lost = fails(client.call("S.name", 5), "unavailable");
    await sim.sleep(2_500);
    // Never sent, so it goes over the next connection.
    assertEquals(await client.call("S.name", 6), "only");
    await lost;
    assertEquals(executed, [["only", 6]]);
  }));

Deno.test("silent server: an idle stream is pinged at most once per interval", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, ["quiet"], { heartbeatInterval: 20_000 });
    const { client } = here;
    const stream = client.stream("S.follow", null, { timeout: Infinity });
    await stream.next();
    const next = fails(stream.next(), "unavailable", "silent for");
    await sim.sleep(100);
    const began = sim.time.now;
    sim.network.halfOpen(["client", "quiet"]);
    await next;
    assert(sim.time.now - began > 25_000, `${sim.time.now - began}`);
  }));

Deno.test("sleep: after this system was suspended, a connection that may be gone is pinged before a call is sent", () =>
  simulate(async (sim) => {
    for (const servers of [["one"], ["one", "two"]]) {
      await using here = await serve(sim, servers);
      const { client, executed } = here;
      await sim.sleep(5_000);
      const awake = globalThis.Date;
      // `performance.now()` and timers stop meanwhile, the date does not.
      globalThis.Date = new Proxy(awake, {
        get: (date, key) => key === "now" ? () => awake.now() + 3_600_000 : Reflect.get(date, key),
      });
      try {
        sim.network.halfOpen("client", "one");
        const began = sim.time.now;
        const calls = await Promise.all([1, 2, 3, 4].map((id) => client.call("S.name", id)));
        const took = sim.time.now - began;
        if (servers.length === 2) assertEquals([new Set(calls), took < 100], [new Set(["two"]), true]);
        // It is dialled again once its silence has lasted for heartbeatTimeout.
        else assert(took < 11_000, `${took}`);
        assertEquals(executed.map(([, id]) => id).toSorted(), [1, 2, 3, 4]);
      } finally {
        globalThis.Date = awake;
      }
    }
  }));

Deno.test("sleep: after this process was stopped, a connection that may be gone is pinged before a call is sent", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept().then(async (socket) => {
    const peer = RawPeer.of(socket);
    await peer.line();
    // It would give a silent client up soon.
    await peer.send(ANSWER.replace('"heartbeatInterval":30000', '"heartbeatInterval":50'));
    return peer;
  });
  await using client = await connect(`tcp@127.0.0.1:${listener.addr.port}`);
  using peer = await accepting;
  // What it had sent before is no sign that it is still there.
  await peer.send(ping(7));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_100);
  const calls = [client.call("S.name"), client.call("S.name")];
  assertEquals((await peer.frames(2)).map(({ header }) => header), [headerOf.ping(1), headerOf.pong(7)]);
  await peer.send(pong(1));
  assertEquals((await peer.frames(2)).map(({ header }) => header.slice(0, 2)), [[Kind.call, 1], [
    Kind.call,
    3,
  ]]);
  await peer.send(reply(1), reply(3));
  await Promise.all(calls);
});
