// Clients of servers that are slow, fail at once, are spare or stream, exactly: who gets how many calls.

import { assert, assertEquals, assertLess } from "@std/assert";
import {
  type BalancerName,
  type Client,
  connect,
  type ConnectOptions,
  type Endpoint,
  MultiServers,
  RpcError,
  Server,
} from "../../mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";

/** Servers, the calls that each has got, and a client of them all. */
async function open(
  { network }: Simulation,
  methods: readonly object[],
  options: ConnectOptions,
  weights: readonly number[] = [],
) {
  network.shape({ delay: 1 });
  const servers = methods.map((methods, n) =>
    new Server({ network: network.host(`s${n}`) }).register("S", methods).register("Up", { ping: () => {} })
  );
  const endpoints: Endpoint[] = [];
  for (const [n, server] of servers.entries()) {
    const { address } = await server.listen(`tcp@s${n}:0`);
    endpoints.push({ address, weight: weights[n] });
  }
  const client = await connect(new MultiServers(endpoints), { ...options, network: network.host("client") });
  // All have a connection before anything is counted.
  await client.broadcast("Up.ping");
  return {
    client,
    calls: () =>
      servers.map((server) =>
        server.stats().methods.reduce((sum, { method, calls }) => method === "Up.ping" ? sum : sum + calls, 0)
      ),
    async [Symbol.asyncDispose]() {
      await client.close();
      for (const server of servers) await server.close();
    },
  };
}

const BACKUP = { idempotent: true, failMode: { backup: 20 } } as const;

/** Makes so many calls, one after the other; how many of them failed. */
async function call(client: Client, times: number, options?: Parameters<Client["call"]>[2]): Promise<number> {
  let failed = 0;
  for (let n = 0; n < times; n++) await client.call("S.work", null, options).catch(() => failed++);
  return failed;
}

Deno.test("balance: a server that fails at once gets no more than its share with any balancer", async () => {
  for (const balancer of ["round_robin", "random", "least_pending"] as BalancerName[]) {
    await simulate(async (simulation) => {
      const fails = () => {
        throw new Error("The database is away");
      };
      const works = () => simulation.sleep(20);
      await using at = await open(simulation, [{ work: fails }, { work: works }], { balancer });
      const failed = await Promise.all(Array.from({ length: 4 }, () => call(at.client, 100)));
      const share = failed.reduce((sum, failed) => sum + failed, 0) / 400;
      assert(share > 0.4 && share < 0.6, `${balancer}: ${share}`);
    });
  }
});

Deno.test("balance: with backups, round_robin offers each server the same number of first calls", () =>
  simulate(async (simulation) => {
    const slow = { work: () => simulation.sleep(200) };
    await using at = await open(simulation, [slow, { work: () => "fast" }], { balancer: "round_robin" });
    await call(at.client, 100, BACKUP);
    assertEquals(at.calls(), [50, 100]);
  }));

Deno.test("balance: with backups, least_pending learns from the calls that it gives up", () =>
  simulate(async (simulation) => {
    const slow = { work: () => simulation.sleep(200) };
    await using at = await open(simulation, [slow, { work: () => "fast" }], { balancer: "least_pending" });
    await call(at.client, 1_000, BACKUP);
    const [first = 0] = at.calls();
    assertLess(first, 10);
    assert(first > 0, "it has been tried");
  }));

for (
  const balancer of [
    "round_robin",
    "weighted_round_robin",
    "random",
    "least_pending",
    "consistent_hash",
  ] as BalancerName[]
) {
  Deno.test(`balance: with ${balancer}, a call that one server is handling is not also sent to one of weight 0`, () =>
    simulate(async (simulation) => {
      const order: number[] = [];
      const methods = [0, 1, 2].map((n) => ({
        work: () => {
          order.push(n);
          return simulation.sleep(40);
        },
      }));
      await using at = await open(simulation, methods, { balancer }, [1, 0, 1]);
      for (let n = 0; n < 20; n++) {
        order.length = 0;
        await at.client.call("S.work", null, { idempotent: true, key: `${n}`, failMode: { backup: 10 } });
        assertEquals(order.length, 2, "a second server gets it");
        // Balancers that do not weigh may pick it first.
        const second = balancer === "weighted_round_robin" ? order : order.slice(1);
        assert(!second.includes(1), `${order}`);
      }
    }));
}

Deno.test("balance: a server of weight 0 gets a call that has failed on all others, and not while one works on it", () =>
  simulate(async (simulation) => {
    const fails = () => {
      throw new RpcError("unavailable", "Not now");
    };
    const works = async () => {
      await simulation.sleep(40);
      return "works";
    };
    const standBy = { work: () => "stands by" };
    const options = { balancer: "weighted_round_robin", ejection: false } as const;
    for (const failMode of [{ backup: 10 }, { fork: 2 }, "failover"] as const) {
      const call = { idempotent: true, failMode };
      await using some = await open(simulation, [{ work: fails }, { work: works }, standBy], options, [
        1,
        1,
        0,
      ]);
      for (let n = 0; n < 10; n++) assertEquals(await some.client.call("S.work", null, call), "works");
      assertEquals(some.calls()[2], 0);
      await using none = await open(simulation, [{ work: fails }, { work: fails }, standBy], options, [
        1,
        1,
        0,
      ]);
      for (let n = 0; n < 10; n++) assertEquals(await none.client.call("S.work", null, call), "stands by");
      // If all have weight 0, all are alike.
      await using all = await open(simulation, [{ work: works }, { work: works }], options, [0, 0]);
      await all.client.call("S.work", null, call);
      assertEquals(all.calls().reduce((sum, calls) => sum + calls), failMode === "failover" ? 1 : 2);
    }
  }));

Deno.test("balance: a server whose stream ended after minutes gets its share of calls at once", () =>
  simulate(async (simulation) => {
    const { sleep } = simulation;
    const methods = {
      work: () => {},
      async *follow() {
        await sleep(300_000);
        yield "the only event";
      },
    };
    const options = { balancer: "least_pending", timeout: Infinity } as const;
    await using at = await open(simulation, [methods, methods], options);
    await call(at.client, 100);
    for await (const _ of at.client.stream("S.follow"));
    await sleep(5_000);
    const before = at.calls();
    await call(at.client, 1_000);
    const [one = 0, two = 0] = at.calls().map((calls, n) => calls - before[n]!);
    assert(Math.min(one, two) > 350, `${one} and ${two}`);
  }));

Deno.test("balance: a balancer of the user's own hears how long calls took, and which were streams", () =>
  simulate(async (simulation) => {
    const methods = {
      work: () => simulation.sleep(40),
      *count() {
        yield* [1, 2];
      },
      sum: async (items: AsyncIterable<number>) => {
        let sum = 0;
        for await (const item of items) sum += item;
        return sum;
      },
    };
    const heard: unknown[] = [];
    let servers: readonly Endpoint[] = [];
    const balancer = {
      update: (endpoints: readonly Endpoint[]) => void (servers = endpoints),
      pick: () => servers[0],
      done: (_: Endpoint, outcome: object) => void heard.push(outcome),
    };
    await using at = await open(simulation, [methods], { balancer });
    await at.client.call("S.work");
    await at.client.call("S.work", null, { timeout: 10 }).catch(() => {});
    for await (const _ of at.client.stream("S.count"));
    async function* numbers() {
      yield await Promise.resolve(1);
    }
    await at.client.call("S.sum", numbers());
    assertEquals(heard, [
      { code: undefined, duration: 42, streams: false },
      { code: "deadline_exceeded", duration: 10, streams: false },
      { code: undefined, duration: 2, streams: true },
      { code: undefined, duration: 2, streams: true },
    ]);
  }));

Deno.test("ejection: a stream that is read until its deadline is not a failure of the server", () =>
  simulate(async (simulation) => {
    const methods = {
      async *ticks() {
        for (let n = 0;; n++) {
          yield n;
          await simulation.sleep(1_000);
        }
      },
      async *silent() {
        await new Promise(() => {});
        yield 1;
      },
    };
    await using at = await open(simulation, [methods, methods], { ejection: { consecutiveFailures: 2 } });
    const follow = async (method: string) => {
      const items: unknown[] = [];
      const stream = at.client.stream(method, null, { timeout: 5_000 });
      const error = await (async () => {
        for await (const item of stream) items.push(item);
      })().catch((error) => error);
      assertEquals(error.code, "deadline_exceeded");
      return items.length;
    };
    const ejected = () => at.client.stats().endpoints.some(({ health }) => health !== undefined);
    for (let n = 0; n < 10; n++) assertEquals([await follow("S.ticks"), ejected()], [5, false]);
    for (let n = 0; n < 4; n++) assertEquals(await follow("S.silent"), 0);
    assertEquals(ejected(), true);
  }));
