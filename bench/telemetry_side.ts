// deno-lint-ignore-file no-console -- the output is read by the driver
// The measuring process of telemetry.ts; separate, because the environment belongs to a process: small calls
// between a client and a server without telemetry and between others with it, in turn. Prints the CPU time of
// each round.
//   telemetry_side.ts CONFIGURATION ROUNDS     CONFIGURATION is JSON: the option `telemetry` of both sides

import process from "node:process";
import { type Client, connect, Server, type TelemetryOptions } from "../mod.ts";

/** Calls in flight on the one connection. */
const OUTSTANDING = 128;
/** Calls of one round: some tens of ms. */
const CALLS = 20_000;
const WARM_CALLS = 100_000;
/** Time between two rounds for exporters to finish, in ms. */
const PAUSE = 40;

type Option = boolean | TelemetryOptions;

async function open(server: Option | undefined, client: Option | undefined): Promise<Client> {
  const services = new Server({ telemetry: server }).register("Arith", {
    sum: ({ a, b }: { a: number; b: number }) => ({ sum: a + b }),
  });
  const { address } = await services.listen("tcp@127.0.0.1:0");
  return await connect(address, { telemetry: client });
}

async function run(client: Client, calls: number): Promise<void> {
  let remaining = calls;
  const makeCalls = async () => {
    while (remaining-- > 0) {
      const { sum } = await client.call<{ sum: number }>("Arith.sum", { a: remaining, b: 2 });
      if (sum < 0) throw new Error(`Wrong response: ${sum}`);
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, makeCalls));
}

/** CPU time per call, in µs, all threads. */
async function measure(client: Client): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  const before = process.cpuUsage();
  await run(client, CALLS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / CALLS;
}

const [configuration, rounds] = Deno.args;
const { server, client }: { server?: Option; client?: Option } = JSON.parse(configuration!);
const off = { client: await open(false, false), samples: [] as number[] };
const on = { client: await open(server, client), samples: [] as number[] };
for (const { client } of [off, on]) await run(client, WARM_CALLS);
for (let round = 0; round < Number(rounds); round++) {
  // Alternate the order: the second may be affected by work left from the first.
  for (const each of round % 2 === 0 ? [off, on] : [on, off]) each.samples.push(await measure(each.client));
}
console.log(JSON.stringify({ off: off.samples, on: on.samples }));
Deno.exit();
