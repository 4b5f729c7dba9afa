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
  /** CPU time of both sides for each second that was measured: 1 is a core of their own. */
  readonly share?: number;
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
  return await inTime(load, [server, client], () => {
    return load.kind === "idle" ? idle(server, client, load) : calls([server], client, workload.factor);
  });
}

/**
 * Runs a load once against several servers that share a port, all of them and the client wherever the system puts them.
 *
 * @throws {Error} If a side fails, or an answer is wrong
 */
export async function measureShared(
  ready: Ready,
  load: Load,
  processes: number,
): Promise<Sample | undefined> {
  await using stack = new AsyncDisposableStack();
  const sharedPort = freePort();
  const start = () => stack.use(new Process(ready.server({ ...load, sharedPort }), []));
  const servers = Array.from({ length: processes }, start);
  for (const server of servers) await server.next();
  const client = stack.use(new Process(ready.client(load, sharedPort), []));
  return await inTime(load, [...servers, client], () => calls(servers, client, 1));
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}

/** Ends processes that take too long. */
async function inTime<T>(load: Load, processes: readonly Process[], run: () => Promise<T>): Promise<T> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    for (const process of processes) process.kill();
  }, (load.warm + load.seconds) * 1_000 + PATIENCE);
  try {
    return await run();
  } catch (error) {
    throw late ? new Error("it took too long") : error;
  } finally {
    clearTimeout(timer);
  }
}

async function calls(
  servers: readonly Process[],
  client: Process,
  factor: number,
): Promise<Sample | undefined> {
  const used = async () => {
    const usages = await Promise.all(servers.map((server) => server.ask<ServerUsage>()));
    return usages.reduce((sum, { cpu }) => sum + cpu, 0);
  };
  const { unsupported } = await client.next<ClientResult>();
  if (unsupported) return undefined;
  const before = await used();
  const result = await client.next<ClientResult>();
  const cpu = result.cpu + await used() - before;
  return {
    rate: result.calls * factor / result.seconds,
    cpu: cpu / result.calls * 1e6,
    share: cpu / result.seconds,
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
