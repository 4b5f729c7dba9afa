// A client with several connections to each server: which one a call takes, and what happens when one of them ends.

import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import {
  type Client,
  connect,
  type ConnectOptions,
  MultiServers,
  RpcError,
  Server,
  type ServerOptions,
} from "../../mod.ts";
import type { Network } from "../../transport/conn.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { answerHandshake } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

/** Bytes a second of each simulated connection. */
const BANDWIDTH = 1_250_000;
const ITEM = new Uint8Array(10_000);
const LARGE = new Uint8Array(200_000);

/** Servers behind one address, `tcp@shared:1`, as processes that share a port: each connection goes to the next. */
class Shared implements AsyncDisposable {
  readonly servers: Server[] = [];
  /** Calls of each server. */
  readonly calls: number[] = [];
  /** When connections were dialed. */
  readonly dials: number[] = [];
  /** The simulated machine of the client. */
  readonly network: Network;
  client!: Client;

  constructor({ network, time }: Simulation) {
    const host = network.host("client");
    this.network = {
      dial: (_address, signal) => {
        const n = this.dials.push(time.now) - 1;
        return host.dial({ transport: "tcp", hostname: `s${n % this.servers.length}`, port: 1 }, signal);
      },
      listen: (address) => host.listen(address),
    };
  }

  static async open(
    simulation: Simulation,
    count: number,
    options: ConnectOptions,
    serverOptions: ServerOptions = {},
  ): Promise<Shared> {
    const shared = new Shared(simulation);
    const { network, sleep } = simulation;
    network.shape({ delay: 10, bandwidth: BANDWIDTH });
    for (let n = 0; n < count; n++) {
      const server = new Server({ network: network.host(`s${n}`), ...serverOptions }).register("S", {
        who: () => (shared.calls[n]!++, n),
        slow: (ms: number | Uint8Array) => sleep(Number(ms) || 1).then(() => n),
        large: () => LARGE,
        length: ({ of }: { of: Uint8Array }) => of.length,
        async *down() {
          for (;;) yield ITEM;
        },
        async up(items: AsyncIterable<Uint8Array>) {
          for await (const _ of items);
        },
      });
      await server.listen(`tcp@s${n}:1`);
      shared.servers.push(server);
      shared.calls.push(0);
    }
    shared.client = await connect("tcp@shared:1", { network: shared.network, ...options });
    return shared;
  }

  get connections(): number {
    return this.client.stats().endpoints[0]!.connections;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await Promise.all(this.servers.map((server) => server.close()));
  }
}

Deno.test("connections: calls one after the other and at once are spread over all", () =>
  simulate(async (simulation) => {
    await using shared = await Shared.open(simulation, 4, { connections: 4 });
    assertEquals(shared.connections, 1, "connect waits for the first only");
    await simulation.sleep(1_000);
    assertEquals(shared.connections, 4);
    for (let n = 0; n < 40; n++) await shared.client.call("S.who");
    assertEquals(shared.calls, [10, 10, 10, 10]);
    await Promise.all(Array.from({ length: 400 }, () => shared.client.call("S.who")));
    assertEquals(shared.calls, [110, 110, 110, 110]);
  }));

Deno.test("connections: a call takes the one with the fewest calls in flight", () =>
  simulate(async (simulation) => {
    await using shared = await Shared.open(simulation, 3, { connections: 3 });
    await simulation.sleep(1_000);
    const slow = await Promise.all([0, 0].map(() => shared.client.call<number>("S.slow", 1)));
    assertEquals(new Set(slow).size, 2, "two calls at once take two connections");
    const held = Array.from({ length: 2 }, () => shared.client.call<number>("S.slow", 10_000));
    const free = await Promise.all(Array.from({ length: 3 }, () => shared.client.call<number>("S.slow", 1)));
    const busy = await Promise.all(held);
    assertEquals([...busy, free[0]].sort(), [0, 1, 2]);
  }));

Deno.test("connections: calls avoid one over which large arguments leave", () =>
  simulate(async (simulation) => {
    await using shared = await Shared.open(simulation, 2, { connections: 2 });
    const { sleep, time } = simulation;
    await sleep(1_000);
    const large = shared.client.call("S.slow", new Uint8Array(2_000_000));
    await sleep(100);
    const began = time.now;
    await Promise.all(Array.from({ length: 20 }, () => shared.client.call("S.who")));
    assertLess(time.now - began, 25);
    assertEquals(shared.calls.toSorted(), [0, 20]);
    await large;
  }));

/** What moves much, in each direction, until `signal` aborts; counts the bytes. */
const BULK = {
  "a stream that is sent": async (client: Client, signal: AbortSignal, moved: (bytes: number) => void) => {
    await client.call("S.up", upload(), { timeout: Infinity, signal });
    async function* upload() {
      for (;; moved(ITEM.length)) yield ITEM;
    }
  },
  "a stream that is received": async (
    client: Client,
    signal: AbortSignal,
    moved: (bytes: number) => void,
  ) => {
    const items = client.stream<Uint8Array>("S.down", null, { timeout: Infinity, signal });
    for await (const item of items) moved(item.length);
  },
  "large arguments": async (client: Client, signal: AbortSignal, moved: (bytes: number) => void) => {
    await severally(async () => {
      await client.call("S.length", { of: LARGE }, { timeout: Infinity, signal });
      moved(LARGE.length);
    });
  },
  "large results": async (client: Client, signal: AbortSignal, moved: (bytes: number) => void) => {
    await severally(async () => {
      moved((await client.call<Uint8Array>("S.large", null, { timeout: Infinity, signal })).length);
    });
  },
};

/** Repeats a call, four at a time, until it fails. */
async function severally(call: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (;;) await call();
  }));
}

/** How long the slowest of 400 small calls takes, eight at a time, while bulk uses the line; and the share that bulk gets. */
async function beside(
  simulation: Simulation,
  bulk: keyof typeof BULK,
  connections: number,
): Promise<{ longest: number; share: number }> {
  const { sleep, time } = simulation;
  await using shared = await Shared.open(simulation, 1, { connections });
  await sleep(1_000);
  const { client } = shared;
  const stop = new AbortController();
  let bytes = 0;
  const moving = BULK[bulk](client, stop.signal, (count) => bytes += count).catch(() => {});
  await sleep(5_000);
  bytes = 0;
  const began = time.now;
  let longest = 0;
  for (let n = 0; n < 50; n++) {
    const made = time.now;
    await Promise.all(Array.from({ length: 8 }, () => client.call("S.who")));
    longest = Math.max(longest, time.now - made);
    await sleep(50);
  }
  const share = bytes / (BANDWIDTH * (time.now - began) / 1_000);
  stop.abort();
  await moving;
  return { longest, share };
}

for (const bulk of Object.keys(BULK) as (keyof typeof BULK)[]) {
  Deno.test(`connections: small calls do not wait behind ${bulk}`, () =>
    simulate(async (simulation) => {
      const { longest, share } = await beside(simulation, bulk, 2);
      // The round trip, and a millisecond each way.
      assertLess(longest, 23);
      assertGreater(share, 0.7);
    }));

  Deno.test(`connections: over a single one small calls wait behind ${bulk}`, () =>
    simulate(async (simulation) => {
      const { longest } = await beside(simulation, bulk, 1);
      assertGreater(longest, 30);
    }));
}

Deno.test("connections: streams leave one to other calls, and use it while there is no other", () =>
  simulate(async (simulation) => {
    const { sleep } = simulation;
    await using shared = await Shared.open(simulation, 3, { connections: 3 });
    const { client, servers } = shared;
    const streams = () => servers.map((server) => server.stats().inFlight);
    const stop = new AbortController();
    const open = async () => {
      for await (const _ of client.stream("S.down", null, { signal: stop.signal, timeout: Infinity }));
    };
    const opened = [open().catch(() => {})];
    await sleep(1_000);
    assertEquals([shared.connections, ...streams()], [3, 1, 0, 0], "the first was the only one");
    for (let n = 0; n < 4; n++) {
      opened.push(open().catch(() => {}));
      await sleep(50);
    }
    // The second connection, which carried none, became the free one.
    assertEquals(streams().toSorted(), [0, 2, 3]);
    const free = streams().indexOf(0);
    for (let n = 0; n < 10; n++) assertEquals(await client.call("S.who"), free);
    simulation.network.cut("client", `s${free}`);
    await sleep(1_000);
    // The one that is dialed instead becomes the free one.
    assertEquals(shared.connections, 3);
    for (let n = 0; n < 10; n++) await client.call("S.who");
    stop.abort();
    await Promise.all(opened);
    await sleep(1_000);
    const before = [...shared.calls];
    for (let n = 0; n < 30; n++) await client.call("S.who");
    const since = shared.calls.map((calls, n) => calls - before[n]!);
    assertEquals(since.reduce((sum, calls) => sum + calls), 30);
    assertGreater(since.filter((calls) => calls >= 10).length, 1, "streams that have ended do not count");
  }));

Deno.test("connections: a stream that began while there was one connection shares it with later streams", () =>
  simulate(async (simulation) => {
    const { sleep } = simulation;
    await using shared = await Shared.open(simulation, 2, { connections: 2 });
    const { client, servers } = shared;
    const stop = new AbortController();
    const options = { timeout: Infinity, signal: stop.signal };
    async function* upload() {
      for (;; await sleep(100)) yield ITEM;
    }
    const streams = [client.call("S.up", upload(), options).catch(() => {})];
    await sleep(1_000);
    streams.push(
      (async () => {
        for await (const _ of client.stream("S.down", null, options));
      })().catch(() => {}),
    );
    await sleep(1_000);
    assertEquals(servers.map((server) => server.stats().inFlight), [2, 0]);
    stop.abort();
    await Promise.all(streams);
  }));

Deno.test("connections: when one is lost, only its calls fail, and the server is not ejected", () =>
  simulate(async (simulation) => {
    const { network, sleep } = simulation;
    await using shared = await Shared.open(simulation, 2, {});
    await using other = new Server({ network: network.host("other") }).register("S", { slow: () => "other" });
    await other.listen("tcp@other:1");
    const host = network.host("client");
    const servers = new MultiServers(["tcp@shared:1", "tcp@other:1"]);
    await using client = await connect(servers, {
      connections: 2,
      balancer: { update: () => {}, pick: () => ({ address: "tcp@shared:1" }) },
      network: {
        dial: (address, signal) => {
          const toOther = address.transport === "tcp" && address.hostname === "other";
          return toOther ? host.dial(address, signal) : shared.network.dial(address, signal);
        },
        listen: (address) => host.listen(address),
      },
    });
    await client.call("S.slow", 1);
    await sleep(1_000);
    assertEquals(client.stats().endpoints[0]!.connections, 2);
    const results = Promise.allSettled(Array.from({ length: 20 }, () => client.call("S.slow", 1_000)));
    const repeated = Promise.all(
      Array.from({ length: 20 }, () => client.call<number>("S.slow", 1_000, { idempotent: true })),
    );
    await sleep(500);
    network.cut("client", "s0");
    await sleep(1);
    const { state, failures, health, connections } = client.stats().endpoints[0]!;
    assertEquals({ state, failures, health, connections }, {
      state: "ready",
      failures: 0,
      health: undefined,
      connections: 1,
    });
    const failed = (await results).filter(({ status }) => status === "rejected").length;
    assertEquals(failed, 10);
    await repeated;
    await sleep(1_000);
    const [endpoint] = client.stats().endpoints;
    assertEquals([endpoint!.connections, endpoint!.failures], [2, 0]);
  }));

Deno.test("connections: idempotent calls leave one that is silent for another to the same server", () =>
  simulate(async (simulation) => {
    const { network, sleep, time } = simulation;
    await using shared = await Shared.open(simulation, 2, { connections: 2 });
    const { client } = shared;
    await sleep(1_000);
    const calls = Array.from({ length: 4 }, () => client.call("S.slow", 500, { idempotent: true }));
    await sleep(100);
    network.halfOpen("client", "s0");
    const began = time.now;
    assertEquals(await Promise.all(calls), [1, 1, 1, 1]);
    // Sooner than the silent connection counts as lost.
    assertLess(time.now - began, 5_000);
    for (let n = 0; n < 10; n++) assertEquals(await client.call("S.slow", 1), 1, "calls avoid it");
    await sleep(30_000);
    assertEquals(shared.connections, 2);
  }));

for (
  const [when, failMode] of [
    ["over a connection", "failover"],
    ["before there is a connection", "failover"],
    ["over a connection", "retry"],
  ] as const
) {
  Deno.test(`connections: calls made ${when} that wait for room leave one that is silent (${failMode})`, () =>
    simulate(async (simulation) => {
      const { network, sleep, time } = simulation;
      await using shared = await Shared.open(simulation, 2, { connections: 2 }, { maxInFlight: 16 });
      await sleep(1_000);
      await using client = await connect(new MultiServers(["tcp@shared:1"]), {
        network: shared.network,
        connections: 2,
      });
      if (when === "over a connection") {
        await client.call("S.who");
        await sleep(1_000);
      }
      const began = time.now;
      const took: number[] = [];
      const calls = Array.from({ length: 40 }, async () => {
        const answer = await client.call("S.slow", 500, { failMode }).catch((error) => error);
        if (answer instanceof RpcError) return assertEquals(answer.notStarted, false);
        assertEquals(answer, 1);
        took.push(time.now - began);
      });
      await sleep(100);
      network.halfOpen("client", "s0");
      await Promise.all(calls);
      assertEquals(took.length, 24);
      // Sooner than the silent connection counts as lost.
      assertLess(took.at(-1)!, 5_000);
    }));
}

Deno.test("connections: a server that shuts down costs no call, and its connection is dialed again", () =>
  simulate(async (simulation) => {
    const { sleep } = simulation;
    await using shared = await Shared.open(simulation, 3, { connections: 3 });
    const { client, servers } = shared;
    await sleep(1_000);
    const calls = Array.from({ length: 30 }, () => client.call<number>("S.slow", 500));
    await sleep(100);
    const ended = servers[1]!.shutdown();
    for (let n = 0; n < 20; n++) {
      assert(await client.call("S.who") !== 1);
      await sleep(20);
    }
    assertEquals((await Promise.all(calls)).filter((n) => n === 1).length, 10);
    await ended;
    servers.splice(1, 1);
    // The next dial may go to the one that is gone.
    await sleep(20_000);
    assertEquals(shared.connections, 3);
  }));

Deno.test("connections: a server that is away is dialed as often as by a client with a single connection", async () => {
  const dialed = (connections: number) =>
    simulate(async (simulation) => {
      const { network, sleep } = simulation;
      await using shared = await Shared.open(simulation, 1, { connections });
      await sleep(1_000);
      assertEquals(shared.dials.length, connections);
      network.partition("client");
      network.cut("client", "s0");
      network.shape({ refuse: 1 }, "client", "s0");
      network.heal();
      await sleep(600_000);
      const { length } = shared.dials;
      await fails(shared.client.call("S.who"), "unavailable");
      network.shape({ refuse: 0 }, "client", "s0");
      await sleep(30_000);
      assertEquals(shared.connections, connections);
      return length - connections;
    });
  const [one, eight] = [await dialed(1), await dialed(8)];
  assert(one > 50 && eight > 50 && eight < one + 20, `${one} and ${eight} dials`);
});

Deno.test("connections: a server that drops each after the handshake is dialed ever less often", async () => {
  const dialed = (connections: number) =>
    simulate(async ({ network, sleep }) => {
      const listener = network.host("flapping").listen({ transport: "tcp", hostname: "flapping", port: 1 });
      let accepted = 0;
      const accepting = (async () => {
        for (let conn = await listener.accept(); conn !== null; conn = await listener.accept()) {
          accepted++;
          // Some of them last until the next one is dialed.
          answerHandshake(conn).then(() => sleep(5)).then(() => conn.close());
        }
      })();
      const servers = new MultiServers(["tcp@flapping:1"]);
      await using client = await connect(servers, { connections, network: network.host("client") });
      await client.call("S.ok", null, { timeout: 50 }).catch(() => {});
      await sleep(600_000);
      listener.close();
      await accepting;
      return accepted;
    });
  const [one, eight] = [await dialed(1), await dialed(8)];
  assert(one > 50 && one < 100, `${one} dials`);
  assert(eight > 50 && eight < one + 20, `${one} and ${eight} dials`);
});

Deno.test("connections: several that are lost together soon after their dial count as one failure", () =>
  simulate(async (simulation) => {
    await using shared = await Shared.open(simulation, 2, { connections: 16 });
    await simulation.sleep(900);
    assertEquals(shared.connections, 16);
    simulation.network.cut("client", "s0");
    await simulation.sleep(1);
    assertEquals(shared.connections, 8);
    await simulation.sleep(2_000);
    assertEquals(shared.connections, 16);
  }));

Deno.test("connections: a server that refuses further ones is called over the first, and asked less and less", () =>
  simulate(async (simulation) => {
    const options = { maxConnectionsPerPeer: 1 };
    await using shared = await Shared.open(simulation, 1, { connections: 3 }, options);
    await simulation.sleep(600_000);
    assertEquals(shared.connections, 1);
    assertEquals(await shared.client.call("S.who"), 0);
    const { failures, state } = shared.client.stats().endpoints[0]!;
    assertEquals({ failures, state }, { failures: 0, state: "ready" });
    assertLess(shared.dials.length, 100);
    // When the first is lost, the next is not dialed later because of that.
    const before = simulation.time.now;
    simulation.network.cut("client", "s0");
    await simulation.sleep(1);
    assertEquals(await shared.client.call("S.who"), 0);
    assertLess(simulation.time.now - before, 250);
  }));

Deno.test("connections: each is replaced before its server ends it, and no call fails or waits", () =>
  simulate(async (simulation) => {
    const { sleep, time } = simulation;
    const options = { maxConnectionAge: 60_000 };
    await using shared = await Shared.open(simulation, 2, { connections: 4 }, options);
    await sleep(1_000);
    let longest = 0;
    for (let n = 0; n < 6_000; n++) {
      const made = time.now;
      await shared.client.call("S.who");
      longest = Math.max(longest, time.now - made);
      await sleep(100);
    }
    assertLess(longest, 25);
    assertEquals(shared.connections, 4);
    assertGreater(shared.dials.length, 36);
    assertLess(shared.dials.length, 60);
  }));

Deno.test("connections: idle ones end, are not dialed again, and the next call opens all", () =>
  simulate(async (simulation) => {
    const { sleep } = simulation;
    const options = { maxConnectionIdle: 50_000, heartbeatInterval: false as const };
    await using shared = await Shared.open(simulation, 1, { connections: 3 }, options);
    // The limit, its jitter, and a quarter.
    await sleep(70_000);
    assertEquals([shared.connections, shared.dials.length], [0, 3]);
    await sleep(600_000);
    assertEquals(shared.dials.length, 3);
    assertEquals(await shared.client.call("S.who"), 0);
    await sleep(1_000);
    assertEquals([shared.connections, shared.dials.length], [3, 6]);
    const long = shared.client.call("S.slow", 100_000, { timeout: Infinity });
    await sleep(70_000);
    assertEquals([shared.connections, shared.dials.length], [1, 6]);
    await shared.client.call("S.who");
    await sleep(1_000);
    assertEquals([shared.connections, shared.dials.length], [3, 8]);
    await long;
  }));

Deno.test("connections: when the only one is lost, the one that is being dialed is used", () =>
  simulate(async (simulation) => {
    await using shared = await Shared.open(simulation, 2, { connections: 2 });
    simulation.network.cut("client", "s0");
    await simulation.sleep(1);
    assertEquals([shared.connections, shared.dials.length], [0, 2]);
    assertEquals(await shared.client.call("S.who"), 1);
    await simulation.sleep(500);
    assertEquals([shared.connections, shared.dials.length], [1, 2]);
    await simulation.sleep(2_000);
    assertEquals([shared.connections, shared.dials.length], [2, 3]);
  }));

Deno.test("connections: maxInFlight of the server holds for each", () =>
  simulate(async (simulation) => {
    const { sleep, time } = simulation;
    await using shared = await Shared.open(simulation, 1, { connections: 2 }, { maxInFlight: 16 });
    await sleep(1_000);
    const began = time.now;
    await Promise.all(Array.from({ length: 32 }, () => shared.client.call("S.slow", 1_000)));
    assertLess(time.now - began, 1_100);
    await Promise.all(Array.from({ length: 33 }, () => shared.client.call("S.slow", 1_000)));
    assertGreater(time.now - began, 3_000);
  }));

Deno.test("connections: close ends all, those being dialed too, and leaves no timer", () =>
  simulate(async ({ network, sleep, time }) => {
    network.shape({ delay: 10 });
    for (const wait of [0, 15, 30, 45, 1_000]) {
      const server = new Server({ network: network.host("s"), maxConnectionAge: 60_000 });
      server.register("S", { wait: () => new Promise(() => {}) });
      await server.listen("tcp@s:1");
      const client = await connect("tcp@s:1", { network: network.host("c"), connections: 8 });
      await sleep(wait);
      const calls = Array.from({ length: 8 }, () => fails(client.call("S.wait"), "unavailable"));
      if (wait === 1_000) {
        // Another is dialed soon.
        network.cut("c", "s");
        await sleep(1);
      }
      await client.close();
      await Promise.all(calls);
      await server.close();
      assertEquals([server.stats().connections, client.stats().endpoints[0]!.state], [0, "closed"]);
      assertEquals(time.timers, 0);
    }
  }));

Deno.test("connections: a server that leaves the list finishes the calls on all of them", () =>
  simulate(async (simulation) => {
    const { network, sleep } = simulation;
    await using server = new Server({ network: network.host("s") }).register("S", {
      slow: () => sleep(1_000).then(() => "done"),
    });
    await server.listen("tcp@s:1");
    const servers = new MultiServers(["tcp@s:1"]);
    await using client = await connect(servers, { network: network.host("c"), connections: 4 });
    await client.call("S.slow");
    const calls = Promise.all(Array.from({ length: 8 }, () => client.call("S.slow")));
    await sleep(500);
    servers.update([]);
    assertEquals(await calls, Array(8).fill("done"));
    await sleep(1_000);
    assertEquals(server.stats().connections, 0);
  }));

for (const transport of ["tcp", "ws", "http"]) {
  Deno.test(`connections: over ${transport}@ too, and the server can call back over each`, async () => {
    await using server = new Server();
    const names = new Set<string>();
    server.register("S", {
      async ask(
        _: undefined,
        { peer }: { peer: { call(method: string): Promise<string>; address: string } },
      ) {
        names.add(peer.address);
        return await peer.call("Back.name");
      },
    });
    const { address } = await server.listen(`${transport === "ws" ? "http" : transport}@127.0.0.1:0`);
    await using client = await connect(transport === "ws" ? address.replace("http", "ws") : address, {
      connections: 3,
      services: { Back: { name: () => "the client" } },
    });
    await until(() => client.stats().endpoints[0]!.connections === 3, "three connections");
    assertEquals(server.stats().connections, 3);
    for (let n = 0; n < 6; n++) assertEquals(await client.call("S.ask"), "the client");
    assertEquals(names.size, 3);
  });
}

Deno.test("connections: 1 to 64, whole numbers", async () => {
  for (const connections of [0, 65, 1.5, -1, NaN, Infinity]) {
    const error = await assertRejects(() => connect("tcp@127.0.0.1:9", { connections }), RangeError);
    assertEquals(
      error.message,
      `Cannot use connections ${connections}: expected a whole number from 1 to 64`,
    );
  }
  const text = { connections: "2" } as unknown as ConnectOptions;
  await assertRejects(() => connect("tcp@127.0.0.1:9", text), TypeError, 'Cannot use connections "2"');
});
