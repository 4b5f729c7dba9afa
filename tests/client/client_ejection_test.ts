// Servers that fail again and again, as a client's calls meet them: ejected, probed, re-admitted; and what balancers are
// notified of.

import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import {
  type Balancer,
  type BalancerName,
  type Client,
  connect,
  type Endpoint,
  MultiServers,
  RpcError,
  Server,
} from "../../mod.ts";
import { type SimNetwork, simulate } from "../../testing/mod.ts";
import { freePort } from "../support/programs.ts";
import { Fleet } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

/** Servers, the first of which can be made to fail. */
async function fleet(size: number, network?: SimNetwork) {
  const trouble = { on: true };
  const servers = await Fleet.open(
    size,
    (index) => ({
      who: () => {
        if (index === 0 && trouble.on) throw new RpcError("unavailable", "Not now");
        return index;
      },
    }),
    undefined,
    network,
  );
  return {
    trouble,
    servers,
    addresses: servers.addresses,
    [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
  };
}

const ejected = (client: Client) => client.stats().endpoints.map(({ health }) => health !== undefined);

/** How many of the calls failed. */
async function failed(client: Client, calls: number, key?: (n: number) => string): Promise<number> {
  let failed = 0;
  for (let n = 0; n < calls; n++) await client.call("S.who", null, { key: key?.(n) }).catch(() => failed++);
  return failed;
}

for (
  const balancer of [
    "random",
    "round_robin",
    "weighted_round_robin",
    "least_pending",
    "consistent_hash",
  ] as BalancerName[]
) {
  Deno.test(`ejection: with ${balancer}, a server whose calls fail is ejected, and used again when it works`, () =>
    simulate(async ({ network }) => {
      await using here = await fleet(3, network);
      const ejection = { baseTime: 400 };
      await using client = await connect(new MultiServers(here.addresses), {
        network: network.host("client"),
        balancer,
        ejection,
      });
      const key = (n: number) => `${n}`;
      const errors = await failed(client, 100, key);
      // Least pending may go elsewhere by itself after a failure or two.
      assert(balancer === "least_pending" ? errors <= 5 : errors === 5, `${errors} errors`);
      assertEquals(ejected(client), [errors === 5, false, false]);
      assertEquals(client.stats().endpoints[0]!.state, "ready");
      here.trouble.on = false;
      // Of ten keys one time in sixty none would be its own.
      await until(() => (failed(client, 50, key), !ejected(client)[0]), "it is let in");
      const before = here.servers.calls[0]!;
      assertEquals(await failed(client, 400, key), 0);
      // What least pending takes a server for that has just failed depends on how busy this machine is.
      if (balancer !== "least_pending") assertGreater(here.servers.calls[0]! - before, 40);
    }));
}

Deno.test("ejection: a server that keeps failing gets one call after each ejection time", () =>
  simulate(async ({ network }) => {
    await using here = await fleet(2, network);
    await using client = await connect(new MultiServers(here.addresses), {
      network: network.host("client"),
      ejection: { baseTime: 50 },
    });
    const began = performance.now();
    let calls = 0;
    let errors = 0;
    while (performance.now() - began < 700) {
      errors += await failed(client, 10);
      calls += 10;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    // 5 at first, then after about 50, 150, 350 and 750 ms.
    assert(errors >= 6 && errors <= 9, `${errors} errors of ${calls} calls`);
  }));

Deno.test("ejection: consecutive timeouts count, errors of the service and cancellation do not", () =>
  simulate(async ({ network }) => {
    const waiting = new Patient();
    await using here = await Fleet.open(
      2,
      () => ({
        wait: waiting.wait,
        fail: () => {
          throw new RpcError("internal", "Broken");
        },
      }),
      undefined,
      network,
    );
    const all = new MultiServers(here.addresses);
    await using client = await connect(all, { network: network.host("client") });
    for (let n = 0; n < 50; n++) await fails(client.call("S.fail"), "internal");
    const stop = new AbortController();
    const calls = Array.from(
      { length: 20 },
      () => client.call("S.wait", null, { signal: stop.signal }).catch(() => {}),
    );
    await until(() => waiting.started === 20, "they run");
    stop.abort();
    await Promise.all(calls);
    assertEquals(ejected(client), [false, false]);
    await Promise.all(
      Array.from(
        { length: 20 },
        () => fails(client.call("S.wait", null, { timeout: 30 }), "deadline_exceeded"),
      ),
    );
    assertEquals(ejected(client).filter((each) => each).length, 1, "one of two, never both");
    await using off = await connect(all, { network: network.host("client"), ejection: false });
    await Promise.all(
      Array.from({ length: 20 }, () => fails(off.call("S.wait", null, { timeout: 30 }), "deadline_exceeded")),
    );
    assertEquals(ejected(off), [false, false]);
  }));

Deno.test("ejection: an unreachable server is ejected until it can be reached, and is back with its first call", async () => {
  await using here = await fleet(1);
  here.trouble.on = false;
  const address = `tcp@127.0.0.1:${freePort()}`;
  // However long it would be ejected: its connection is what counts.
  const ejection = { baseTime: 60_000 };
  await using client = await connect(new MultiServers([...here.addresses, address]), { ejection });
  assertEquals(await failed(client, 20), 0);
  assertEquals(ejected(client), [false, true]);
  await using server = new Server().register("S", { who: () => 1 });
  await server.listen(address);
  await until(() => client.stats().endpoints[1]!.state === "ready", "it is connected to");
  assertEquals(await failed(client, 20), 0);
  assertEquals(ejected(client), [false, false]);
  assertEquals(server.stats().methods[0]!.calls, 10);
});

Deno.test("ejection: a server that shuts down in order is not ejected", async () => {
  const { address } = await new Server().listen("tcp@127.0.0.1:0").then(async (listening) => {
    await listening.close();
    return listening;
  });
  await using here = await fleet(1);
  here.trouble.on = false;
  await using client = await connect(new MultiServers([...here.addresses, address]), {
    balancer: "round_robin",
  });
  for (let round = 0; round < 3; round++) {
    const server = new Server().register("S", { who: () => 1 });
    await server.listen(address);
    await until(() => (failed(client, 2), server.stats().methods[0]!.calls > 0), "it gets calls");
    const calls = Promise.all(Array.from({ length: 50 }, () => client.call("S.who")));
    await server.shutdown({ grace: 60_000 });
    assertEquals((await calls).length, 50);
  }
});

Deno.test("ejection: a call goes to an ejected server if there is no other", async () => {
  await using here = await fleet(2);
  const options = { ejection: { baseTime: 60_000 } };
  await using client = await connect(new MultiServers(here.addresses), options);
  await failed(client, 20);
  assertEquals(ejected(client), [true, false]);
  here.trouble.on = false;
  await here.servers.servers[1]!.close();
  assertEquals(await client.call("S.who"), 0);
  assertEquals(ejected(client)[0], false, "it has shown that it works");
  assertEquals(await failed(client, 20), 0);
});

/** A balancer that goes round, and remembers its notifications. */
class Witness implements Balancer {
  readonly #began = performance.now();
  readonly picked: string[] = [];
  readonly done_: [address: string, code: string | undefined, duration: number][] = [];
  #servers: readonly Endpoint[] = [];
  #next = 0;

  update(endpoints: readonly Endpoint[]): void {
    this.#servers = endpoints;
  }

  pick(): Endpoint | undefined {
    const endpoint = this.#servers[this.#next++ % this.#servers.length];
    if (endpoint !== undefined) this.picked.push(endpoint.address);
    return endpoint;
  }

  done({ address }: Endpoint, { code, duration }: { code?: string; duration: number }): void {
    this.done_.push([address, code, duration]);
  }

  /** The codes of notifications since the last time. */
  take(): (string | undefined)[] {
    assertEquals(this.done_.map(([address]) => address).sort(), this.picked.splice(0).sort());
    return this.done_.splice(0).map(([, code, duration]) => {
      assert(duration >= 0 && duration <= performance.now() - this.#began, `${duration} ms`);
      return code;
    });
  }
}

Deno.test("balancer: is notified once per picked server of how the call ended, in every way it can end", () =>
  simulate(async ({ network }) => {
    const waiting = new Patient();
    await using here = await Fleet.open(
      3,
      () => ({
        ok: () => "ok",
        wait: waiting.wait,
        fail: () => {
          throw new RpcError("not_found", "Nobody");
        },
        busy: () => {
          throw new RpcError("unavailable", "Not now");
        },
        count: function* () {
          yield* [1, 2, 3];
        },
      }),
      undefined,
      network,
    );
    const balancer = new Witness();
    await using client = await connect(new MultiServers(here.addresses), {
      network: network.host("client"),
      balancer,
      ejection: false,
    });
    for (let n = 0; n < 9; n++) await client.call("S.ok");
    assertEquals(balancer.take(), Array(9).fill(undefined));
    await fails(client.call("S.fail"), "not_found");
    await fails(client.call("S.wait", null, { timeout: 20 }), "deadline_exceeded");
    await fails(client.call("S.ok", null, { timeout: 0 }), "deadline_exceeded");
    await fails(client.call("S.ok", null, { signal: AbortSignal.abort() }), "canceled");
    assertEquals(balancer.take(), ["not_found", "deadline_exceeded", "canceled", "canceled"]);
    await fails(client.call("S.busy", null, { idempotent: true }), "unavailable");
    assertEquals(new Set(balancer.take().filter((code) => code !== "canceled")), new Set(["unavailable"]));
    for await (const item of client.stream("S.count")) assert(Number(item) > 0);
    for await (const _ of client.stream("S.count")) break;
    await client.call("S.ok", null, { failMode: { fork: 3 }, idempotent: true });
    await client.call("S.ok", null, { failMode: "retry" });
    await client.broadcast("S.ok");
    await until(() => client.stats().pending === 0, "all is over");
    await until(() => balancer.picked.length === balancer.done_.length, "it has heard of all");
    balancer.take();
    const held = client.call("S.wait").catch(() => {});
    await until(() => waiting.started === 2, "it runs");
    await client.close();
    await held;
    assertEquals(balancer.take(), ["unavailable"]);
  }));

Deno.test("balancer: is notified of servers that cannot be reached", async () => {
  const down = [freePort(), freePort()].map((port) => `tcp@127.0.0.1:${port}`);
  await using here = await fleet(1);
  here.trouble.on = false;
  const balancer = new Witness();
  await using client = await connect(new MultiServers([...down, ...here.addresses]), { balancer });
  assertEquals(await client.call("S.who"), 0);
  assertEquals(balancer.take(), ["unavailable", "unavailable", undefined]);
});

Deno.test("balancer: an error thrown by a custom balancer's notification is logged and harms no call", async () => {
  await using here = await fleet(2);
  const logged: unknown[] = [];
  let servers: readonly Endpoint[] = [];
  let updates = 0;
  const balancer: Balancer = {
    update: (list) => {
      servers = list;
      if (++updates > 1) throw new Error("No more");
    },
    pick: () => servers[0],
    done: () => {
      throw new Error("Do not tell me");
    },
  };
  const log = (message: string, error?: unknown) =>
    void logged.push(`${message}: ${(error as Error)?.message}`);
  await using client = await connect(new MultiServers(here.addresses), { balancer, log });
  assertEquals(await failed(client, 20), 5);
  assertEquals(
    new Set(logged),
    new Set(["The balancer failed: Do not tell me", "The balancer failed: No more"]),
  );
});

Deno.test("ejection: connect refuses invalid options", async () => {
  const address = "tcp@127.0.0.1:1";
  await assertRejects(() => connect(address, { ejection: { maxShare: 2 } }), RangeError, "ejection.maxShare");
  await assertRejects(
    () => connect(address, { retryBudget: { ratio: -1 } }),
    RangeError,
    "retryBudget.ratio",
  );
});
