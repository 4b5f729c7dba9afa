// Handlers that wait for their callers do not keep the places of others, and one peer's calls do not take all of them.

import { assertEquals, assertRejects } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { connect } from "../../client/mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { Server } from "../../server/mod.ts";

const MAX = 80;

/** A server with streams that never end by themselves, and clients on hosts of their own. */
async function open({ network }: Simulation) {
  const host = network.host("server");
  const server = new Server({ maxInFlightTotal: MAX, maxInFlight: 1_000, network: host }).register("Feed", {
    async *follow() {
      for (let i = 0;; i++) yield i;
    },
    async collect(items: AsyncIterable<unknown>) {
      for await (const _ of items);
    },
    wait: (_: unknown, { signal }: CallContext) =>
      new Promise((resolve) => signal.addEventListener("abort", resolve)),
    get: async () => await null,
  });
  const { address } = await server.listen("tcp@server:1");
  const dial = (name: string) => connect(address, { network: network.host(name), failMode: "failfast" });
  return { server, dial };
}

/** Arguments that do not come. */
function quiet(): ReadableStream<unknown> {
  return new ReadableStream();
}

/** Begins so many streams and takes one item of each, so that the rest of their items wait for credit. */
async function follow(client: Awaited<ReturnType<typeof connect>>, count: number) {
  const streams = Array.from(
    { length: count },
    () => client.stream("Feed.follow", undefined, { timeout: Infinity }),
  );
  await Promise.all(streams.map((stream) => stream.next()));
  return streams;
}

Deno.test("stalled: streams that wait for credit lose their slots while few are free", () =>
  simulate(async (simulation) => {
    const { server, dial } = await open(simulation);
    const [greedy, other] = await Promise.all([dial("greedy"), dial("other")]);
    const streams = await follow(greedy, MAX);
    assertEquals((await assertRejects(() => other.call("Feed.get"), RpcError)).code, "resource_exhausted");
    await simulation.sleep(11_000);
    await other.call("Feed.get");
    assertEquals(server.stats().limits.stallTimeout, MAX);
    const error = await assertRejects(() => Array.fromAsync(streams[0]!), RpcError, "(stallTimeout)");
    assertEquals(error.code, "resource_exhausted");
    await Promise.all([greedy.close(), other.close()]);
    await server.close();
  }));

Deno.test("stalled: streams of arguments that do not arrive lose their slots likewise", () =>
  simulate(async (simulation) => {
    const { server, dial } = await open(simulation);
    const client = await dial("quiet");
    const calls = Array.from(
      { length: MAX },
      () =>
        assertRejects(
          () => client.call("Feed.collect", quiet(), { timeout: Infinity }),
          RpcError,
        ),
    );
    await simulation.sleep(12_000);
    assertEquals(
      new Set((await Promise.all(calls)).map(({ code }) => code)),
      new Set(["resource_exhausted"]),
    );
    await client.call("Feed.get");
    await client.close();
    await server.close();
  }));

Deno.test("stalled: while slots are free, or items are taken, streams may wait without limit", () =>
  simulate(async (simulation) => {
    const { server, dial } = await open(simulation);
    const client = await dial("patient");
    const quiet = await follow(client, 40);
    await simulation.sleep(60_000);
    assertEquals(server.stats().limits.stallTimeout, 0);
    // These get on: between two looks each has sent something.
    const busy = await follow(client, 40);
    for (let second = 0; second < 20; second++) {
      for (const stream of busy) for (let i = 0; i < 40; i++) await stream.next();
      await simulation.sleep(1_000);
    }
    assertEquals(server.stats().limits.stallTimeout, 40);
    await assertRejects(() => Array.fromAsync(quiet[0]!), RpcError, "(stallTimeout)");
    await client.close();
    await server.close();
  }));

Deno.test("stalled: a handler that does not wait for its caller keeps its slot", () =>
  simulate(async (simulation) => {
    const { server, dial } = await open(simulation);
    const client = await dial("busy");
    const calls = Array.from(
      { length: MAX },
      () => client.call("Feed.wait", undefined, { timeout: 60_000 }).catch(() => {}),
    );
    await simulation.sleep(30_000);
    assertEquals({ inFlight: server.stats().inFlight, stallTimeout: server.stats().limits.stallTimeout }, {
      inFlight: MAX,
      stallTimeout: 0,
    });
    await client.close();
    await Promise.all(calls);
    await server.close();
  }));
