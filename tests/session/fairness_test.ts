// One event loop serves all connections: a busy one leaves it to the others, and to timers, in time.

import { assert, assertEquals } from "@std/assert";
import { connect, Server } from "../../mod.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

/** Runs `tests/support/flooder.ts` against a port, for `ms`. */
function flood(port: number, ms: number): Deno.ChildProcess {
  const script = new URL("../support/flooder.ts", import.meta.url);
  const args = ["run", "--no-check", "-P=test", script.href, String(port), String(ms)];
  return new Deno.Command("deno", { args, stdout: "null", stderr: "null" }).spawn();
}

/** Counts the turns that a timer of 5 ms gets until `done` resolves. */
async function timerTurns(done: Promise<unknown>): Promise<number> {
  let turns = 0;
  let over = false;
  done.finally(() => over = true);
  while (!over) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    turns++;
  }
  return turns;
}

Deno.test("fairness: a flooded connection leaves turns for timers and other calls", async () => {
  await using server = new Server({ maxUselessFrames: 1_000_000_000 })
    .register("S", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  await using flooder = flood(portOf(address), 1_500);
  await until(() => server.stats().connections === 2, "the flooder to come");
  let calls = 0;
  const calling = (async () => {
    while (server.stats().connections === 2) {
      assertEquals(await client.call("S.echo", calls++), calls - 1);
    }
  })();
  const turns = await timerTurns(calling);
  await calling;
  assert((await flooder.status).success);
  // Without fairness, neither got a turn before the flood was over.
  assert(turns > 20, `only ${turns} turns of a timer`);
  assert(calls > 20, `only ${calls} calls were answered`);
});

Deno.test("fairness: handlers that compute for long leave turns for timers between calls", async () => {
  const burn = (ms: number) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  };
  await using server = new Server({ maxQueueTime: Infinity }).register("S", { burn });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const calls = Promise.all(Array.from({ length: 100 }, () => client.call("S.burn", 10)));
  const turns = await timerTurns(calls);
  // Without fairness, one turn follows after all 100 calls.
  assert(turns > 5, `only ${turns} turns of a timer`);
  await calls;
});
