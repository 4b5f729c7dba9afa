// Connections that servers end by age or because they are idle, on simulated machines and time.

import { assert, assertEquals, assertLess } from "@std/assert";
import { type Client, connect, Server, type ServerOptions } from "../../mod.ts";
import type { Network } from "../../transport/conn.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";

/** Servers behind one address, `tcp@balancer:9000`: each connection goes to the next, as by a balancer of layer 4. */
class Balanced {
  readonly servers: Server[] = [];
  readonly calls: number[] = [];
  readonly #simulation: Simulation;
  readonly #options: ServerOptions;
  #next = 0;

  constructor(simulation: Simulation, options: ServerOptions) {
    this.#simulation = simulation;
    this.#options = options;
    simulation.network.shape({ delay: 1 });
  }

  async grow(count: number): Promise<void> {
    for (const end = this.servers.length + count; this.servers.length < end;) {
      const n = this.servers.length;
      const host = this.#simulation.network.host(`s${n}`);
      const server = new Server({ network: host, ...this.#options });
      server.register("S", { ok: () => void this.calls[n]!++ });
      await server.listen(`tcp@s${n}:9000`);
      this.calls.push(0);
      this.servers.push(server);
    }
  }

  network(name: string): Network {
    const host = this.#simulation.network.host(name);
    return {
      dial: (_address, signal) => {
        const n = this.#next++ % this.servers.length;
        return host.dial({ transport: "tcp", hostname: `s${n}`, port: 9_000 }, signal);
      },
      listen: (address) => host.listen(address),
    };
  }

  /** Calls of each server within the next `ms`. */
  async count(ms: number): Promise<number[]> {
    const before = [...this.calls];
    await this.#simulation.sleep(ms);
    return this.calls.map((calls, n) => calls - before[n]!);
  }
}

Deno.test("maxConnectionAge: after a scale-out shares are even within one age, and no call fails or waits", () =>
  simulate(async (simulation) => {
    const { sleep, time } = simulation;
    const balanced = new Balanced(simulation, { maxConnectionAge: 60_000 });
    await balanced.grow(2);
    const clients: Client[] = [];
    for (let n = 0; n < 20; n++) {
      const network = balanced.network(`c${n}`);
      clients.push(await connect("tcp@balancer:9000", { network }));
    }
    let [failed, longest, stopped] = [0, 0, false];
    const load = Promise.all(clients.map(async (client) => {
      while (!stopped) {
        const made = time.now;
        await client.call("S.ok").catch(() => failed++);
        longest = Math.max(longest, time.now - made);
        await sleep(100);
      }
    }));
    await sleep(30_000);
    await balanced.grow(2);
    // One age, with its jitter.
    await sleep(66_000);
    const calls = await balanced.count(10_000);
    const mean = calls.reduce((sum, count) => sum + count) / calls.length;
    assertLess(Math.max(...calls) / mean, 1.3, String(calls));
    assert(Math.min(...calls) / mean > 0.7, String(calls));
    assertEquals(failed, 0);
    // A round trip: the next connection is there before the last one ends.
    assertLess(longest, 10);
    assertEquals(clients.map((client) => client.stats().retries), clients.map(() => 0));
    stopped = true;
    await load;
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(balanced.servers.map((server) => server.close()));
  }));

Deno.test("maxConnectionAge: connections that are made together do not end together", () =>
  simulate(async (simulation) => {
    const balanced = new Balanced(simulation, { maxConnectionAge: 100_000 });
    await balanced.grow(1);
    const clients = await Promise.all(
      Array.from(
        { length: 20 },
        (_, n) => connect("tcp@balancer:9000", { network: balanced.network(`c${n}`) }),
      ),
    );
    const [server] = balanced.servers;
    const accepted: number[] = [];
    for (let second = 0; second < 120; second++) {
      const before = server!.stats().accepted;
      await simulation.sleep(1_000);
      accepted.push(server!.stats().accepted - before);
    }
    assertEquals(accepted.slice(0, 84).reduce((sum, count) => sum + count), 0);
    assertEquals(accepted.reduce((sum, count) => sum + count), 20);
    assertLess(Math.max(...accepted), 8);
    await Promise.all(clients.map((client) => client.close()));
    await server!.close();
  }));

Deno.test("maxConnectionAge: a call that takes longer than the age is answered", () =>
  simulate(async ({ network, sleep }) => {
    const server = new Server({ network: network.host("s"), maxConnectionAge: 10_000 });
    server.register("S", { slow: () => sleep(30_000).then(() => "done"), ok: () => "ok" });
    await server.listen("tcp@s:1");
    await using client = await connect("tcp@s:1", { network: network.host("c") });
    const slow = client.call("S.slow", null, { timeout: 60_000 });
    await sleep(15_000);
    assertEquals(await client.call("S.ok"), "ok");
    assertEquals(await slow, "done");
    await sleep(5_000);
    assertEquals(server.stats().connections, 1);
    await server.close();
  }));

Deno.test("maxConnectionIdle: an idle connection ends, is not opened again, and the next call opens one", () =>
  simulate(async ({ network, sleep }) => {
    const server = new Server({ network: network.host("s"), maxConnectionIdle: 60_000 });
    server.register("S", { ok: () => "ok" });
    await server.listen("tcp@s:1");
    await using client = await connect("tcp@s:1", { network: network.host("c") });
    for (let n = 0; n < 10; n++) {
      await client.call("S.ok");
      await sleep(30_000);
    }
    assertEquals([server.stats().accepted, server.stats().connections], [1, 1]);
    // The limit, its jitter, and a quarter.
    await sleep(84_000);
    assertEquals([server.stats().connections, client.stats().endpoints[0]!.state], [0, "idle"]);
    await sleep(600_000);
    assertEquals(server.stats().accepted, 1);
    assertEquals(await client.call("S.ok"), "ok");
    assertEquals(server.stats().accepted, 2);
    await server.close();
  }));

Deno.test("maxConnectionIdle: a connection with a call in flight is not idle", () =>
  simulate(async ({ network, sleep }) => {
    const server = new Server({ network: network.host("s"), maxConnectionIdle: 10_000 });
    server.register("S", { slow: () => sleep(100_000).then(() => "done") });
    await server.listen("tcp@s:1");
    await using client = await connect("tcp@s:1", { network: network.host("c") });
    assertEquals(await client.call("S.slow", null, { timeout: Infinity }), "done");
    assertEquals(server.stats().accepted, 1);
    await server.close();
  }));
