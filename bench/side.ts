// deno-lint-ignore-file no-console -- the output is read by the driver
// One side of a measurement, run as a process, so that the two sides share only the socket. measure.ts starts
// it and exchanges lines with it:
//   side.ts PEER server LOAD       prints {port}; then, for every line on stdin, {cpu, rss}: CPU seconds
//                                  used, bytes
//   side.ts PEER client LOAD PORT  prints {began} after the warm-up, then {calls, seconds, cpu, ...}; an idle
//                                  client waits for a line in between, and stays until stdin ends; a client of
//                                  bench:distance prints only a Crossing
// PEER is a file of peers/, LOAD is JSON; netrpc.go and grpc.go do the same.

import process from "node:process";
import { cross, isOverDistance } from "./crossing.ts";
import type { Peer } from "./peer.ts";
import { openAll, runLoad } from "./load.ts";
import type { Load } from "./workloads.ts";

/** Number of connections opened before those that are counted. */
const WARM_CONNECTIONS = 100;

function print(what: object): void {
  console.log(JSON.stringify(what));
}

/** CPU time used by this process so far, in s. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function serve(peer: Peer, load: Load): Promise<void> {
  print({ port: await peer.serve(load) });
  for await (const chunk of Deno.stdin.readable) {
    for (const _ of chunk) print({ cpu: cpu(), rss: Deno.memoryUsage().rss });
  }
}

async function beIdle(peer: Peer, port: number, load: Load): Promise<void> {
  const stdin = Deno.stdin.readable.getReader();
  const open = async (count: number) => {
    for (const client of await openAll(peer, port, load, count)) {
      if (await client.sum(1, 2) !== 3) throw new Error("Wrong response: 1 + 2 is not 3");
    }
  };
  await open(WARM_CONNECTIONS);
  print({ began: true });
  await stdin.read();
  const since = performance.now();
  await open(load.connections);
  print({ calls: load.connections, seconds: (performance.now() - since) / 1_000, cpu: 0 });
  await stdin.read();
}

async function call(peer: Peer, port: number, load: Load): Promise<void> {
  if (load.variant !== undefined && !peer.variants?.includes(load.variant)) {
    return print({ unsupported: true });
  }
  if (load.kind === "idle") return await beIdle(peer, port, load);
  if (isOverDistance(load)) return print(await cross(peer, port, load));
  await openAll(peer, port, load, load.idle);
  const clients = await openAll(peer, port, load, load.connections);
  let before = 0;
  const outcome = await runLoad(clients, load, () => {
    print({ began: true });
    before = cpu();
  });
  if (outcome === undefined) return print({ unsupported: true });
  const { calls, seconds, times } = outcome;
  const [p50, p99] = [times.quantile(0.5), times.quantile(0.99)];
  print({ calls, seconds, cpu: cpu() - before, p50, p99, max: times.max });
}

const [file, role, load, port] = Deno.args;
const peer: Peer = await import(new URL(`peers/${file}`, import.meta.url).href);
if (role === "server") await serve(peer, JSON.parse(load!));
else await call(peer, Number(port), JSON.parse(load!));
Deno.exit();
