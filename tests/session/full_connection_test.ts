// A connection that has no room is not a failed server: calls go to a server with room, and if no server has room they wait,
// and their error says for what.

import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Balancer,
  type BalancerName,
  type CallContext,
  type CallOptions,
  type Client,
  connect,
  type ConnectOptions,
  type Endpoint,
  type FailMode,
  MultiServers,
  type Outcome,
  Server,
} from "../../mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { fails } from "../support/session_pair.ts";

/** The least that a server may take at once. */
const FEW = 16;

/** Servers by name that take so many calls at once, and a client of them. */
async function serve(
  { network, sleep }: Simulation,
  rooms: Record<string, number>,
  options: ConnectOptions = {},
) {
  const executed: string[] = [];
  const stack = new AsyncDisposableStack();
  const list = new MultiServers([]);
  for (const [name, maxInFlight] of Object.entries(rooms)) {
    const server = new Server({ network: network.host(name), maxInFlight }).register("S", {
      name: () => (executed.push(name), name),
      nap: async (ms: number) => {
        await sleep(ms);
        return name;
      },
      async *follow(_: undefined, { signal }: CallContext) {
        yield name;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    stack.use(server);
    await server.listen(`tcp@${name}:1`);
  }
  const names = async (...names: string[]) => {
    list.update(names.map((name) => `tcp@${name}:1`));
    await sleep(1);
  };
  const client = stack.use(
    await connect(list, { network: network.host("client"), timeout: 1_000, ...options }),
  );
  return { client, executed, names, list, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Fills the connection to the only server of the list with streams that stay quiet; returns what ends one of them. */
async function fill(client: Client): Promise<() => Promise<unknown>> {
  const streams = Array.from({ length: FEW }, () => client.stream("S.follow", null, { timeout: Infinity }));
  for (const stream of streams) await stream.next();
  return () => streams.pop()!.return!();
}

function failures(client: Client): (string | number)[] {
  return client.stats().endpoints.map(({ failures, health }) => health ?? failures);
}

/** Picks the first server of the list that is not excluded, and notes how attempts went. */
function inOrder(outcomes: Outcome["code"][] = []): Balancer {
  let servers: readonly Endpoint[] = [];
  return {
    update: (endpoints) => void (servers = endpoints),
    pick: ({ exclude }) => servers.find(({ address }) => !exclude?.has(address)),
    done: (_, { code }) => void outcomes.push(code),
  };
}

const BALANCERS: (BalancerName | Balancer)[] = [
  "round_robin",
  "random",
  "consistent_hash",
  "least_pending",
  "weighted_round_robin",
  inOrder(),
];

for (const balancer of BALANCERS) {
  const name = typeof balancer === "string" ? balancer : "a balancer of one's own";
  Deno.test(`full connection: calls go to a server with room, by ${name}`, () =>
    simulate(async (sim) => {
      await using here = await serve(sim, { full: FEW, free: 1_024 }, { balancer });
      const { client } = here;
      await here.names("full");
      await fill(client);
      await here.names("full", "free");
      for (let round = 0; round < 2; round++) {
        const calls = Array.from({ length: 40 }, (_, i) => client.call("S.name", null, { key: `k${i}` }));
        assertEquals(new Set(await Promise.all(calls)), new Set(["free"]));
      }
      assertEquals([failures(client), client.stats().retries], [[0, 0], 0]);
      assertEquals(sim.time.now < 500, true);
    }));
}

const MODES: [string, CallOptions][] =
  (["failover", "failfast", "retry", { backup: 5_000 }, { fork: 2 }] as FailMode[])
    .map((failMode) => [JSON.stringify(failMode), { failMode, idempotent: typeof failMode === "object" }]);

for (const [name, options] of MODES) {
  Deno.test(`full connection: calls go to a server with room, with failMode ${name}`, () =>
    simulate(async (sim) => {
      await using here = await serve(sim, { full: FEW, free: 1_024 }, { balancer: inOrder() });
      const { client } = here;
      await here.names("full");
      await fill(client);
      await here.names("full", "free");
      for (let n = 0; n < 5; n++) assertEquals(await client.call("S.name", null, options), "free");
      if (!options.idempotent) {
        assertEquals((await client.stream("S.follow", null, options).next()).value, "free");
      }
      assertEquals(failures(client), [0, 0]);
    }));

  Deno.test(`full connection: calls made before there is a connection find room too, with failMode ${name}`, () =>
    simulate(async (sim) => {
      await using here = await serve(sim, { few: FEW, free: 1_024 });
      await here.names("few", "free");
      // Each server is sent half of them, which is more than one takes.
      const calls = Array.from({ length: 4 * FEW }, () => here.client.call("S.nap", 800, options));
      assertEquals((await Promise.all(calls)).length, 4 * FEW);
      assertEquals(failures(here.client), [0, 0]);
    }));
}

Deno.test("full connection: waiting calls are sent by the first server of the list that has room", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, { full: FEW, busy: FEW, late: FEW });
    const { client } = here;
    await here.names("full");
    await fill(client);
    await here.names("full", "busy");
    const calls = Array.from({ length: 100 }, () => client.call("S.nap", 50));
    assertEquals(new Set(await Promise.all(calls)), new Set(["busy"]));
    // A server that comes takes those that wait, without any new call.
    await here.names("full");
    await sim.sleep(10);
    const waiting = Array.from({ length: 5 }, () => client.call("S.name"));
    await sim.sleep(10);
    await here.names("full", "late");
    assertEquals(await Promise.all(waiting), Array(5).fill("late"));
    assertEquals(failures(client), [0, 0]);
  }));

Deno.test("full connection: a call without room anywhere waits, and its error says what it waited for", () =>
  simulate(async (sim) => {
    const outcomes: Outcome["code"][] = [];
    await using here = await serve(sim, { full: FEW }, { balancer: inOrder(outcomes) });
    const { client, executed } = here;
    await here.names("full");
    const leave = await fill(client);
    for (let n = 0; n < 10; n++) {
      const error = await fails(client.call("S.name", null, { timeout: 50 }), "deadline_exceeded");
      assertEquals(error.notStarted, true);
      assertStringIncludes(error.message, "16 of 16 calls are in flight (the peer's maxInFlight)");
    }
    assertEquals([failures(client), new Set(outcomes), executed], [[0], new Set(["canceled"]), []]);
    const waiting = client.call("S.name");
    await leave();
    assertEquals(await waiting, "full");
  }));

Deno.test("full connection: waiting calls name the full limit when calls in flight expire with them", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, { full: FEW });
    const { client } = here;
    await here.names("full");
    await client.call("S.name");
    const calls = Array.from({ length: 40 }, () => client.call("S.nap", 1_000, { timeout: 50 }));
    const messages = (await Promise.all(calls.map((call) => fails(call, "deadline_exceeded"))))
      .map(({ message }) => message);
    const full = "the connection was full: 16 of 16 calls are in flight (the peer's maxInFlight)";
    assertEquals(messages, [
      ...Array(FEW).fill("S.nap was not answered within 50 ms (timeout)"),
      ...Array(40 - FEW).fill(`S.nap was not sent within 50 ms (timeout): ${full}`),
    ]);
  }));

Deno.test("full connection: a broadcast waits for room at every server", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, { full: FEW, free: FEW });
    const { client, executed } = here;
    await here.names("full");
    const leave = await fill(client);
    await here.names("full", "free");
    const error = await fails(client.broadcast("S.name"), "deadline_exceeded", "16 of 16 calls");
    assertEquals(error.notStarted, true);
    assertEquals(failures(client), [0, 0]);
    const waiting = client.broadcast("S.name");
    await leave();
    await waiting;
    assertEquals(executed.toSorted(), ["free", "free", "full"]);
  }));

Deno.test("full connection: a connection that accepts no more bytes is skipped too", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, { slow: FEW, free: FEW }, {
      balancer: inOrder(),
      maxUnsentBytes: 100_000,
    });
    const { client } = here;
    await here.names("slow");
    await client.call("S.name");
    sim.network.stall("client", "slow");
    const big = fails(client.call("S.nap", "x".repeat(400_000)), "deadline_exceeded");
    // More than fits into the system's buffers waits to be written.
    await sim.sleep(1);
    const error = await fails(client.call("S.name", null, { timeout: 50 }), "deadline_exceeded");
    assertStringIncludes(error.message, "bytes wait to be written (maxUnsentBytes)");
    await here.names("slow", "free");
    for (let n = 0; n < 5; n++) assertEquals(await client.call("S.name"), "free");
    await big;
  }));

Deno.test("full connection: a call that moved to another server is canceled once when its signal aborts", () =>
  simulate(async (sim) => {
    await using here = await serve(sim, { full: FEW, busy: FEW });
    const { client } = here;
    await here.names("full");
    await fill(client);
    const stop = new AbortController();
    const waiting = Array.from(
      { length: 3 },
      () => fails(client.call("S.nap", 500, { signal: stop.signal }), "canceled"),
    );
    await here.names("full", "busy");
    assertEquals(await client.call("S.name"), "busy");
    await sim.sleep(1);
    stop.abort();
    await Promise.all(waiting);
    assertEquals(client.stats().pending, FEW);
  }));
