// Clients that find servers by a DNS name, on simulated machines and time: how soon new servers get calls and dead ones none.

import { assert, assertEquals } from "@std/assert";
import { connect, Server } from "../../mod.ts";
import { DnsDiscovery } from "../../discovery/mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";

/** Servers named by one DNS name, whose calls are counted, and a client of the name that calls every 10 ms. */
async function open({ network, sleep, time }: Simulation, ips: readonly string[]) {
  network.shape({ delay: 1 });
  const servers = new Map<string, { server: Server; calls: number }>();
  let records: readonly string[] = ips;
  const start = async (ip: string) => {
    const counted = { server: new Server({ network: network.host(ip) }), calls: 0 };
    counted.server.register("S", { ok: () => void counted.calls++ });
    await counted.server.listen(`tcp@${ip}:9000`);
    servers.set(ip, counted);
  };
  for (const ip of ips) await start(ip);
  const discovery = new DnsDiscovery("api.example", {
    port: 9000,
    resolver: {
      addresses: (_name, type) => Promise.resolve(type === "A" ? [...records] : []),
      services: () => Promise.resolve([]),
    },
  });
  const client = await connect(discovery, { network: network.host("client"), balancer: "round_robin" });
  let failed = 0;
  let stopped = false;
  /** When calls that took longer than a round trip of 2 ms were made. */
  const slow: number[] = [];
  const load = (async () => {
    while (!stopped) {
      const made = time.now;
      client.call("S.ok", null, { idempotent: true }).catch(() => failed++).finally(() => {
        if (time.now - made > 10) slow.push(made);
      });
      await sleep(10);
    }
  })();
  return {
    start,
    server: (ip: string) => servers.get(ip)!.server,
    publish: (ips: readonly string[]) => void (records = ips),
    failed: () => failed,
    slow,
    /** Calls of each server within the next `ms`. */
    async calls(ms: number) {
      const before = new Map([...servers].map(([ip, { calls }]) => [ip, calls]));
      await sleep(ms);
      return [...servers].map(([ip, { calls }]) => calls - before.get(ip)!);
    },
    async [Symbol.asyncDispose]() {
      stopped = true;
      await load;
      await client.close();
      for (const { server } of servers.values()) await server.close();
    },
  };
}

Deno.test("names: a new address gets its share of the calls within one refresh", () =>
  simulate(async (simulation) => {
    await using at = await open(simulation, ["10.0.0.1", "10.0.0.2"]);
    await simulation.sleep(5_000);
    await at.start("10.0.0.3");
    at.publish(["10.0.0.3", "10.0.0.2", "10.0.0.1"]);
    // 30 s and the jitter of a tenth.
    await simulation.sleep(33_000);
    const calls = await at.calls(3_000);
    assert(calls.every((count) => Math.abs(count - 100) <= 1), String(calls));
    assertEquals(at.failed(), 0);
  }));

Deno.test("names: a server that is closed gets no call after 1 s, although DNS still has its address", () =>
  simulate(async (simulation) => {
    const { time, sleep } = simulation;
    await using at = await open(simulation, ["10.0.0.1", "10.0.0.2"]);
    await sleep(20_000);
    await at.server("10.0.0.2").close();
    const closed = time.now;
    await sleep(20_000);
    // A call to a dead server takes until it has moved to another.
    assertEquals(at.slow.filter((made) => made > closed + 1_000), []);
    assertEquals(at.failed(), 0);
  }));
