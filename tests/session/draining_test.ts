// context.draining and untilDraining: how handlers learn that their server drains, and streams that end because of it.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type CallContext, connect, RpcError, Server, type ServerOptions } from "../../mod.ts";
import { untilDraining } from "../../server/mod.ts";
import type { Interceptor } from "../../mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";

async function open({ network }: Simulation, methods: object, options: ServerOptions = {}) {
  const server = new Server({ network: network.host("s"), ...options }).register("S", methods);
  await server.listen("tcp@s:1");
  return { server, client: await connect("tcp@s:1", { network: network.host("c") }) };
}

/** Ticks that never end, one a second. */
function ticks({ sleep }: Simulation) {
  const seen = { left: false };
  return {
    seen,
    async *items() {
      try {
        for (let tick = 1;; tick++) {
          yield tick;
          await sleep(1_000);
        }
      } finally {
        seen.left = true;
      }
    },
  };
}

Deno.test("draining: a handler that stops on it ends its stream in good order, and the shutdown does not wait", () =>
  simulate(async (simulation) => {
    const { sleep, time } = simulation;
    const { server, client } = await open(simulation, {
      async *ticks(_: unknown, { draining }: CallContext) {
        for (let tick = 1; !draining.aborted; tick++) {
          yield tick;
          const woken = new AbortController();
          draining.addEventListener("abort", () => woken.abort());
          await Promise.race([
            sleep(1_000),
            new Promise((resolve) => woken.signal.addEventListener("abort", resolve)),
          ]);
        }
      },
    });
    const items = Array.fromAsync(client.stream<number>("S.ticks", null, { timeout: Infinity }));
    await sleep(2_500);
    const began = time.now;
    await server.shutdown({ grace: 60_000 });
    assertEquals(await items, [1, 2, 3]);
    assert(time.now - began < 100, `${time.now - began} ms`);
    await client.close();
  }));

Deno.test("draining: untilDraining ends an endless stream with unavailable, and leaves its source", () =>
  simulate(async (simulation) => {
    const { sleep, time } = simulation;
    const { items, seen } = ticks(simulation);
    const { server, client } = await open(simulation, {
      ticks: (_: unknown, context: CallContext) => untilDraining(items(), context),
    });
    const got: number[] = [];
    const stream = (async () => {
      for await (const tick of client.stream<number>("S.ticks", null, { timeout: Infinity })) got.push(tick);
    })();
    stream.catch(() => {});
    await sleep(2_500);
    const began = time.now;
    await server.shutdown({ grace: 60_000 });
    const error = await assertRejects(() => stream, RpcError);
    assertEquals({ code: error.code, got, left: seen.left }, {
      code: "unavailable",
      got: [1, 2, 3],
      left: true,
    });
    // A generator finishes what it awaits.
    assert(time.now - began <= 1_000, `${time.now - began} ms`);
    await client.close();
  }));

Deno.test("draining: maxConnectionAge drains, too, and the next stream is over the next connection", () =>
  simulate(async (simulation) => {
    const { items } = ticks(simulation);
    const { server, client } = await open(simulation, {
      ticks: (_: unknown, context: CallContext) => untilDraining(items(), context),
    }, { maxConnectionAge: 10_000 });
    for (let n = 0; n < 3; n++) {
      const stream = Array.fromAsync(client.stream<number>("S.ticks", null, { timeout: Infinity }));
      const error = await assertRejects(() => stream, RpcError);
      assertEquals(error.code, "unavailable");
      assertEquals(server.stats().draining, false);
    }
    await simulation.sleep(5_000);
    assertEquals(server.stats().connections, 1);
    await client.close();
    await server.close();
  }));

Deno.test("draining: a handler that looks only later, or behind interceptors, still learns of it", () =>
  simulate(async (simulation) => {
    const { sleep } = simulation;
    const { server, client } = await open(simulation, {
      late: async (_: unknown, context: CallContext) => {
        await sleep(2_000);
        const { aborted, reason } = context.draining;
        return { aborted, code: (reason as RpcError).code };
      },
    });
    const changed: Interceptor = (call, next) => next({ ...call });
    server.use(changed);
    const late = client.call("S.late");
    await sleep(1_000);
    const ended = server.shutdown({ grace: 10_000 });
    assertEquals(server.stats().draining, true);
    assertEquals(await late, { aborted: true, code: "unavailable" });
    await ended;
    await client.close();
  }));

Deno.test("draining: the signal of a call that ended before does not abort, nor does close() abort it", () =>
  simulate(async (simulation) => {
    const signals: AbortSignal[] = [];
    const { server, client } = await open(simulation, {
      ok: (_: unknown, { draining }: CallContext) => void signals.push(draining),
      wait: (_: unknown, { draining, signal }: CallContext) => {
        signals.push(draining);
        return new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    await client.call("S.ok");
    const waiting = client.call("S.wait", null, { timeout: 60_000 });
    await simulation.sleep(10);
    await server.close();
    await assertRejects(() => waiting, RpcError);
    assertEquals(signals.map(({ aborted }) => aborted), [false, false]);
    await client.close();
  }));
