// One event loop serves all connections: a busy one leaves it to the others, and to timers, in time.

import { assert, assertEquals } from "@std/assert";
import { connect, Server } from "../../mod.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

/** Runs `tests/support/flooder.ts` against a port, for `ms` at most. */
function flood(port: number, ms: number): Deno.ChildProcess {
  const script = new URL("../support/flooder.ts", import.meta.url);
  const args = ["run", "--no-check", "-P=test", script.href, String(port), String(ms)];
  return new Deno.Command("deno", { args, stdout: "null", stderr: "null" }).spawn();
}

/** Counts the turns that a timer of 5 ms gets as long as `more` holds. */
async function timerTurns(more: (turns: number) => boolean): Promise<number> {
  let turns = 0;
  for (; more(turns); turns++) await new Promise((resolve) => setTimeout(resolve, 5));
  return turns;
}

Deno.test("fairness: a flooded connection leaves turns for timers and other calls", async () => {
  await using server = new Server({ maxUselessFrames: 1_000_000_000 })
    .register("S", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  // Without fairness, neither gets a turn before the flood is over. How soon they get one, this machine's load decides.
  await using flooder = flood(portOf(address), 30_000);
  const flooded = () => server.stats().connections === 2;
  await until(flooded, "the flooder to come");
  let calls = 0;
  const calling = (async () => {
    while (calls < 20 && flooded()) assertEquals(await client.call("S.echo", calls++), calls - 1);
  })();
  const turns = await timerTurns((turns) => turns < 20 && flooded());
  await calling;
  assert(flooded(), `only ${turns} turns of a timer and ${calls} answered calls during the flood`);
  flooder.kill("SIGKILL");
});

Deno.test("fairness: handlers that compute for long leave turns for timers between calls", async () => {
  const burn = (ms: number) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  };
  await using server = new Server({ maxQueueTime: Infinity }).register("S", { burn });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  let over = false;
  const calls = Promise.all(Array.from({ length: 100 }, () => client.call("S.burn", 10)))
    .finally(() => over = true);
  const turns = await timerTurns(() => !over);
  // Without fairness, one turn follows after all 100 calls.
  assert(turns > 5, `only ${turns} turns of a timer`);
  await calls;
});
