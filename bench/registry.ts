// deno-lint-ignore-file no-console -- the output is this program's purpose
// Measures a registry with 5 000 servers: its CPU time under their heartbeats, how long listing takes
// meanwhile, how fast watches are notified, and how soon a dead server is removed. Run by `deno task
// bench:registry`, with a process each for the registry, the servers and the client; the exit code is 0 only
// if every figure is within its documented limit.

import { cpuUsage } from "node:process";
import { announce, MemoryStore, Registry } from "../registry/mod.ts";
import { type Endpoint, RegistryDiscovery } from "../discovery/mod.ts";

const SERVERS = 5_000;
const LEASE = 10_000;
/** Duration of the measurement, in ms. */
const DURATION = 20_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The registry process: serves the registry as the program does, and its CPU time so far, in µs, at /cpu. */
function serve(): void {
  const registry = new Registry({ ttl: LEASE, store: new MemoryStore() });
  Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => console.log(`http://127.0.0.1:${port}`),
  }, (request) => {
    if (!request.url.endsWith("/cpu")) return registry.fetch(request);
    const { user, system } = cpuUsage();
    return Response.json(user + system);
  });
}

/** The servers' process: each server announces itself as a program would; prints a line once all have. */
async function runServers(url: string): Promise<void> {
  for (let first = 0; first < SERVERS; first += 50) {
    const group = Array.from({ length: 50 }, (_, i) => addressOf(first + i));
    await Promise.all(
      group.map((address) =>
        announce(url, {
          address,
          services: ["Arith"],
          weight: 2,
          version: "1.2.3",
          metadata: { zone: "eu-west-1" },
        })
      ),
    );
    // Spread the heartbeats over an interval, as with servers that started at different times.
    await sleep(LEASE / 3 / (SERVERS / 50));
  }
  console.log("all servers are registered");
}

function addressOf(index: number): string {
  return `tcp@10.0.${index >> 8}.${index & 255}:9000`;
}

/** The client process: requests the list regularly. */
async function runClient(url: string): Promise<void> {
  const times: number[] = [];
  const end = performance.now() + DURATION;
  while (performance.now() < end) {
    const startedAt = performance.now();
    const response = await fetch(`${url}/_rpc_/registry`);
    const text = await response.text();
    times.push(performance.now() - startedAt);
    if (JSON.parse(text).servers.length !== SERVERS) throw new Error("A live server is missing");
    await sleep(40);
  }
  times.sort((a, b) => a - b);
  console.log(
    JSON.stringify({ count: times.length, p50: at(times, 0.5), p99: at(times, 0.99), max: times.at(-1) }),
  );
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/** How long watches take to notice servers that join and leave, in ms. */
async function watch(url: string): Promise<number[]> {
  const stop = new AbortController();
  const servers = new RegistryDiscovery(url).watch({ signal: stop.signal })[Symbol.asyncIterator]();
  await servers.next();
  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    const startedAt = performance.now();
    const next = servers.next();
    const method = i % 2 === 0 ? "POST" : "DELETE";
    const response = await fetch(`${url}/_rpc_/registry`, {
      method,
      headers: { "X-Rpc-Server": "tcp@10.1.0.1:1" },
    });
    await response.body?.cancel();
    await next;
    times.push(performance.now() - startedAt);
    await sleep(20);
  }
  stop.abort();
  return times.sort((a, b) => a - b);
}

/** How long a server stays on the list after its last heartbeat, in leases. */
async function measureRemoval(url: string): Promise<number> {
  const ttl = 2_000;
  const servers = new RegistryDiscovery(url).watch()[Symbol.asyncIterator]();
  await servers.next();
  const response = await fetch(`${url}/_rpc_/registry`, {
    method: "POST",
    body: JSON.stringify({ address: "tcp@10.1.0.2:1", ttl }),
  });
  await response.body?.cancel();
  const startedAt = performance.now();
  for (let seen = false;;) {
    const { value } = await servers.next();
    const there = (value ?? []).some(({ address }: Endpoint) => address === "tcp@10.1.0.2:1");
    if (seen && !there) break;
    seen ||= there;
  }
  await servers.return?.();
  return (performance.now() - startedAt) / ttl;
}

/** Starts another role of this file as a process, and reads the first line of its output. */
async function start(...args: string[]): Promise<{ process: Deno.ChildProcess; line: string }> {
  const process = new Deno.Command("deno", {
    args: ["run", "--quiet", "-P=bench-registry", new URL(import.meta.url).pathname, ...args],
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`The process ${args[0]} has failed`);
    text += value;
  }
  return { process, line: text.trim() };
}

async function main(): Promise<void> {
  const registry = await start("serve");
  const url = registry.line;
  const servers = await start("beat", url);
  const cpu = async () => await fetch(`${url}/cpu`).then((response) => response.json()) as number;
  let [before, startedAt] = [await cpu(), performance.now()];
  await sleep(DURATION);
  const share = (await cpu() - before) / 1_000 / (performance.now() - startedAt);
  [before, startedAt] = [await cpu(), performance.now()];
  const client = await start("ask", url);
  const lists = JSON.parse(client.line);
  const shareWithLists = (await cpu() - before) / 1_000 / (performance.now() - startedAt);
  const watched = await watch(url);
  const leases = await measureRemoval(url);
  const figures: [string, number, string, number][] = [
    [`CPU, heartbeats of ${SERVERS} servers`, share * 100, "% of a core", 20],
    ["listing, p99", lists.p99, "ms", 20],
    ["watch notified, slowest of 50", watched.at(-1)!, "ms", 100],
    ["dead server removed after", leases, "leases", 1.5],
  ];
  for (const [what, value, unit, limit] of figures) {
    console.log(`${what.padEnd(44)} ${value.toFixed(2).padStart(8)} ${unit} (limit: ${limit})`);
    if (!(value < limit)) Deno.exitCode = 1;
  }
  console.log(
    `lists: ${lists.count} requests, p50 ${lists.p50.toFixed(2)} ms, max ${lists.max.toFixed(2)} ms`,
  );
  console.log(`CPU while listing: ${(shareWithLists * 100).toFixed(2)} % of a core`);
  for (const { process } of [registry, servers]) process.kill("SIGKILL");
}

const [role, url = ""] = Deno.args;
switch (role) {
  case undefined:
    await main();
    break;
  case "serve":
    serve();
    break;
  case "beat":
    await runServers(url);
    break;
  case "ask":
    await runClient(url);
}
