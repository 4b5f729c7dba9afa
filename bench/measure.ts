// One measurement: starts a server and a client process, runs a load, collects the result.

import type { ReadyContestant } from "./peers.ts";
import { type Cores, Process } from "./process.ts";
import type { Load, Workload } from "./workloads.ts";

/** The result of one run. */
export interface Sample {
  /** In the unit of the workload. */
  readonly rate: number;
  /** CPU time of both sides per call or item, in µs; absent if nothing is called. */
  readonly cpu?: number;
  /** CPU time of both sides per second of the measurement: 1 is a full core. */
  readonly share?: number;
  /** Median and 99th percentile of the time of a call, in µs; absent if single calls are not timed. */
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

/** How long memory is left to settle before it is measured, in ms. */
const SETTLE = 1_000;
/** How much longer than its measured time a run may take, in ms. */
const EXTRA_TIME = 60_000;

/**
 * Runs a workload once.
 *
 * @param load The complete load of the workload
 * @returns undefined if the peer does not support it
 * @throws {Error} If a process fails, or a response is wrong
 */
export async function measure(
  ready: ReadyContestant,
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
  return await runWithTimeout(load, [server, client], () => {
    return load.kind === "idle" ? idle(server, client, load) : calls([server], client, workload.factor);
  });
}

/**
 * Runs a load once against several servers that share a port. Processes are not pinned to cores.
 *
 * @throws {Error} If a process fails, or a response is wrong
 */
export async function measureShared(
  ready: ReadyContestant,
  load: Load,
  processes: number,
): Promise<Sample | undefined> {
  await using stack = new AsyncDisposableStack();
  const sharedPort = freePort();
  const start = () => stack.use(new Process(ready.server({ ...load, sharedPort }), []));
  const servers = Array.from({ length: processes }, start);
  for (const server of servers) await server.next();
  const client = stack.use(new Process(ready.client(load, sharedPort), []));
  return await runWithTimeout(load, [...servers, client], () => calls(servers, client, 1));
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
}

/** Kills the processes if the run takes too long. */
export async function runWithTimeout<T>(
  load: Load,
  processes: readonly Process[],
  run: () => Promise<T>,
): Promise<T> {
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    for (const process of processes) process.kill();
  }, (load.warm + load.seconds) * 1_000 + EXTRA_TIME);
  try {
    return await run();
  } catch (error) {
    throw timedOut ? new Error("timed out") : error;
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
    const usages = await Promise.all(servers.map((server) => server.request<ServerUsage>()));
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

/** Memory of the server per idle connection, in KiB, beyond the first ones. */
async function idle(server: Process, client: Process, { connections }: Load): Promise<Sample> {
  await client.next();
  await settle();
  const before = await server.request<ServerUsage>();
  await client.request<ClientResult>();
  await settle();
  const after = await server.request<ServerUsage>();
  return { rate: (after.rss - before.rss) / connections / 1_024 };
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE));
}
