// One measurement: a fresh server, a fresh client, a load, what it came to.

import type { Ready } from "./peers.ts";
import { type Cores, Process } from "./process.ts";
import type { Load, Workload } from "./workloads.ts";

/** What one run came to. */
export interface Sample {
  /** In the unit of the workload. */
  readonly rate: number;
  /** CPU time of both sides for each call or item, in µs; absent where nothing is called. */
  readonly cpu?: number;
  /** Time of a call in µs that half of all did not exceed, and that 99 % did not; absent where it is not one call's. */
  readonly p50?: number;
  readonly p99?: number;
}

interface ServerUsage {
  readonly cpu: number;
  readonly rss: number;
}

interface ClientResult {
  readonly unsupported?: boolean;
  readonly calls: number;
  readonly seconds: number;
  readonly cpu: number;
  readonly p50: number | null;
  readonly p99: number | null;
}

/** How long memory is left to settle before it is looked at, in ms. */
const SETTLE = 1_000;
/** How much longer than its measured time a run may take, in ms. */
const PATIENCE = 60_000;

/**
 * Runs a workload once.
 *
 * @param load The workload's, completed
 * @returns undefined if the peer cannot do that
 * @throws {Error} If a side fails, or an answer is wrong
 */
export async function measure(
  ready: Ready,
  workload: Pick<Workload, "factor" | "apart">,
  load: Load,
  cores: Cores,
): Promise<Sample | undefined> {
  const [serverCores, clientCores] = workload.apart
    ? [cores.server, cores.client]
    : [cores.shared, cores.shared];
  await using server = new Process(ready.server(load), serverCores);
  const { port } = await server.next<{ port: number }>();
  await using client = new Process(ready.client(load, port), clientCores);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    client.kill();
    server.kill();
  }, (load.warm + load.seconds) * 1_000 + PATIENCE);
  try {
    return load.kind === "idle"
      ? await idle(server, client, load)
      : await calls(server, client, workload.factor);
  } catch (error) {
    throw late ? new Error("it took too long") : error;
  } finally {
    clearTimeout(timer);
  }
}

async function calls(server: Process, client: Process, factor: number): Promise<Sample | undefined> {
  const { unsupported } = await client.next<ClientResult>();
  if (unsupported) return undefined;
  const before = await server.ask<ServerUsage>();
  const result = await client.next<ClientResult>();
  const after = await server.ask<ServerUsage>();
  const cpu = result.cpu + after.cpu - before.cpu;
  return {
    rate: result.calls * factor / result.seconds,
    cpu: cpu / result.calls * 1e6,
    p50: result.p50 ?? undefined,
    p99: result.p99 ?? undefined,
  };
}

/** KiB of the server for each connection beyond the first ones. */
async function idle(server: Process, client: Process, { connections }: Load): Promise<Sample> {
  await client.next();
  await settle();
  const before = await server.ask<ServerUsage>();
  await client.ask<ClientResult>();
  await settle();
  const after = await server.ask<ServerUsage>();
  return { rate: (after.rss - before.rss) / connections / 1_024 };
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE));
}
