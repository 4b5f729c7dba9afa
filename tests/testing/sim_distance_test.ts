// Streams over long lines, in simulated time: they fill the line, and leave room for small calls.

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { type Client, connect, type ConnectOptions, Server } from "../../mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";

/** Bytes a second of the line: 100 Mbit/s. */
const BANDWIDTH = 12_500_000;
const ITEM = new Uint8Array(10_000);

/** A server and a client at the ends of a line with a round trip of `ms`. */
async function line(
  { network }: Simulation,
  ms: number,
  options: ConnectOptions = {},
): Promise<AsyncDisposable & { client: Client; taken: () => number }> {
  let taken = 0;
  const server = new Server({ network: network.host("server") }).register("S", {
    echo: (value: unknown) => value,
    async *down() {
      for (;;) yield ITEM;
    },
    async up(items: AsyncIterable<Uint8Array>) {
      for await (const { length } of items) taken += length;
    },
  });
  await server.listen("tcp@server:1");
  network.shape({ delay: ms / 2, bandwidth: BANDWIDTH, window: 4_194_304, chunk: 65_536 });
  const client = await connect("tcp@server:1", { network: network.host("client"), ...options });
  return {
    client,
    taken: () => taken,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
    },
  };
}

/** Takes the items of a stream until it is left. Returns how many bytes it has taken so far. */
function take(client: Client, signal: AbortSignal): () => number {
  let bytes = 0;
  const run = async () => {
    for await (const item of client.stream("S.down", null, { timeout: Infinity, signal })) {
      bytes += (item as Uint8Array).length;
    }
  };
  run().catch(() => {});
  return () => bytes;
}

/** The share of the line that `bytes` get in two seconds, after two more to grow. */
async function share({ sleep }: Simulation, bytes: () => number): Promise<number> {
  await sleep(2_000);
  const before = bytes();
  await sleep(2_000);
  return (bytes() - before) / (2 * BANDWIDTH);
}

for (const ms of [20, 100, 200]) {
  Deno.test(`distance: one stream fills a line of 100 Mbit/s with a round trip of ${ms} ms, either way`, () =>
    simulate(async (sim) => {
      await using at = await line(sim, ms);
      const stop = new AbortController();
      assertGreater(await share(sim, take(at.client, stop.signal)), 0.95);
      stop.abort();
      await sim.sleep(1_000);
      const stopUp = new AbortController();
      const sent = (async function* () {
        for (;;) yield ITEM;
      })();
      at.client.call("S.up", sent, { timeout: Infinity, signal: stopUp.signal }).catch(() => {});
      assertGreater(await share(sim, at.taken), 0.95);
      stopUp.abort();
    }));
}

Deno.test("distance: a small call beside a stream waits for about one more round trip", () =>
  simulate(async (sim) => {
    await using at = await line(sim, 40);
    const stop = new AbortController();
    take(at.client, stop.signal);
    await sim.sleep(3_000);
    for (let i = 0; i < 10; i++) {
      const asked = sim.time.now;
      await at.client.call("S.echo", i);
      assertLess(sim.time.now - asked, 40 * 3.5);
      await sim.sleep(50);
    }
    stop.abort();
  }));

Deno.test("distance: many streams share the line, and fill it within the budget of their windows", () =>
  simulate(async (sim) => {
    await using at = await line(sim, 100, { maxWindowBytes: 2_000_000 });
    const stop = new AbortController();
    const streams = Array.from({ length: 16 }, () => take(at.client, stop.signal));
    const all = () => streams.reduce((sum, bytes) => sum + bytes(), 0);
    assertGreater(await share(sim, all), 0.9);
    assert(streams.every((bytes) => bytes() > 500_000), "none starves");
    stop.abort();
  }));

Deno.test("distance: a stream follows a round trip that changes, and goes on after losses", () =>
  simulate(async (sim) => {
    await using at = await line(sim, 20);
    const { network, sleep } = sim;
    const stop = new AbortController();
    const bytes = take(at.client, stop.signal);
    assertGreater(await share(sim, bytes), 0.95);
    // A loss holds everything up until it is sent again.
    for (let i = 0; i < 20; i++) {
      network.stall("server", "client");
      await sleep(40);
      network.heal();
      await sleep(160);
    }
    assertGreater(await share(sim, bytes), 0.95);
    network.shape({ delay: 60 });
    // The old round trip counts for ten seconds.
    await sleep(11_000);
    assertGreater(await share(sim, bytes), 0.9);
    stop.abort();
    assertEquals(network.connections, 1);
  }));

Deno.test("distance: a small call beside sixteen echoes of 1 MiB waits for two of their frames at most, not for all", () =>
  simulate(async (sim) => {
    await using at = await line(sim, 20);
    const large = new Uint8Array(1_048_576);
    let over = false;
    const echoes = Array.from({ length: 16 }, async () => {
      while (!over) await at.client.call("S.echo", large);
    });
    await sim.sleep(2_000);
    const waits: number[] = [];
    for (let i = 0; i < 40; i++) {
      const asked = sim.time.now;
      await at.client.call("S.echo", i);
      waits.push(sim.time.now - asked);
      await sim.sleep(30);
    }
    over = true;
    await Promise.all(echoes);
    const frame = large.length / BANDWIDTH * 1_000;
    const median = waits.sort((a, b) => a - b)[20]!;
    assertLess(median, 20 + 2 * frame);
    // All sixteen take over 1400 ms.
    assertLess(waits.at(-1)!, 20 + 5 * frame);
  }));
