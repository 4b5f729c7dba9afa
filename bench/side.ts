// deno-lint-ignore-file no-console -- what it prints is how it talks to the driver
// One side of one measurement, as a process of its own, so that nothing but the socket is shared. measure.ts starts it
// and talks to it in lines:
//   side.ts server PEER LOAD       prints {port}; then, for every line on stdin, {cpu, rss}: s used so far, bytes held
//   side.ts client PEER LOAD PORT  prints {began} when it has warmed up, then {calls, seconds, cpu, ...}; a client that
//                                  is to be idle waits for a line in between, and stays until stdin ends
// PEER is a file of peers/, LOAD is JSON; netrpc.go does the same for Go.

import process from "node:process";
import type { Peer } from "./peer.ts";
import { openAll, runLoad } from "./load.ts";
import type { Load } from "./workloads.ts";

/** Connections that are open before those that are counted. */
const WARM_CONNECTIONS = 100;

function say(what: object): void {
  console.log(JSON.stringify(what));
}

/** CPU time used by this process so far, in s. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function serve(peer: Peer, load: Load): Promise<void> {
  say({ port: await peer.serve(load) });
  for await (const chunk of Deno.stdin.readable) {
    for (const _ of chunk) say({ cpu: cpu(), rss: Deno.memoryUsage().rss });
  }
}

async function beIdle(peer: Peer, port: number, load: Load): Promise<void> {
  const stdin = Deno.stdin.readable.getReader();
  const open = async (count: number) => {
    for (const client of await openAll(peer, port, load, count)) {
      if (await client.sum(1, 2) !== 3) throw new Error("Wrong answer: 1 + 2 is not 3");
    }
  };
  await open(WARM_CONNECTIONS);
  say({ began: true });
  await stdin.read();
  const since = performance.now();
  await open(load.connections);
  say({ calls: load.connections, seconds: (performance.now() - since) / 1_000, cpu: 0 });
  await stdin.read();
}

async function call(peer: Peer, port: number, load: Load): Promise<void> {
  if (load.kind === "idle") return await beIdle(peer, port, load);
  await openAll(peer, port, load, load.idle);
  const clients = await openAll(peer, port, load, load.connections);
  let before = 0;
  const outcome = await runLoad(clients, load, () => {
    say({ began: true });
    before = cpu();
  });
  if (outcome === undefined) return say({ unsupported: true });
  const { calls, seconds, times } = outcome;
  const [p50, p99] = [times.quantile(0.5), times.quantile(0.99)];
  say({ calls, seconds, cpu: cpu() - before, p50, p99, max: times.max });
}

const [role, file, load, port] = Deno.args;
const peer: Peer = await import(new URL(`peers/${file}`, import.meta.url).href);
if (role === "server") await serve(peer, JSON.parse(load!));
else await call(peer, Number(port), JSON.parse(load!));
Deno.exit();
