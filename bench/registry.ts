// deno-lint-ignore-file no-console -- what it prints is what it is for
// What a registry of 5 000 servers costs: its processor time under their heartbeats, how long lists take meanwhile, how
// soon a watch knows, and how soon a dead server is gone. `deno task bench:registry` runs it, with a process each for
// the registry, the servers and who asks, and exits with 0 only if every figure is what was promised.

import { cpuUsage } from "node:process";
import { announce, MemoryStore, Registry } from "../registry/mod.ts";
import { type Endpoint, RegistryDiscovery } from "../discovery/mod.ts";

const SERVERS = 5_000;
const LEASE = 10_000;
/** How long is measured, in ms. */
const DURATION = 20_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The registry: as the program serves it, and at /cpu what it has cost so far, in µs. */
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

/** The servers: each announces itself as a program would, and says so once all have. */
async function beat(url: string): Promise<void> {
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
    // Spread over an interval, as servers are that have not started together.
    await sleep(LEASE / 3 / (SERVERS / 50));
  }
  console.log("all are there");
}

function addressOf(index: number): string {
  return `tcp@10.0.${index >> 8}.${index & 255}:9000`;
}

/** Asks for the list now and then, in a process that does nothing else. */
async function ask(url: string): Promise<void> {
  const times: number[] = [];
  const end = performance.now() + DURATION;
  while (performance.now() < end) {
    const began = performance.now();
    const response = await fetch(`${url}/_rpc_/registry`);
    const text = await response.text();
    times.push(performance.now() - began);
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

/** How long watches take to know of servers that come and go, in ms. */
async function watch(url: string): Promise<number[]> {
  const stop = new AbortController();
  const servers = new RegistryDiscovery(url).watch({ signal: stop.signal })[Symbol.asyncIterator]();
  await servers.next();
  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    const began = performance.now();
    const next = servers.next();
    const method = i % 2 === 0 ? "POST" : "DELETE";
    const response = await fetch(`${url}/_rpc_/registry`, {
      method,
      headers: { "X-Rpc-Server": "tcp@10.1.0.1:1" },
    });
    await response.body?.cancel();
    await next;
    times.push(performance.now() - began);
    await sleep(20);
  }
  stop.abort();
  return times.sort((a, b) => a - b);
}

/** How long a server stays on the list after its last heartbeat, in leases. */
async function die(url: string): Promise<number> {
  const ttl = 2_000;
  const servers = new RegistryDiscovery(url).watch()[Symbol.asyncIterator]();
  await servers.next();
  const response = await fetch(`${url}/_rpc_/registry`, {
    method: "POST",
    body: JSON.stringify({ address: "tcp@10.1.0.2:1", ttl }),
  });
  await response.body?.cancel();
  const began = performance.now();
  for (let seen = false;;) {
    const { value } = await servers.next();
    const there = (value ?? []).some(({ address }: Endpoint) => address === "tcp@10.1.0.2:1");
    if (seen && !there) break;
    seen ||= there;
  }
  await servers.return?.();
  return (performance.now() - began) / ttl;
}

/** Starts another part of this file as a process, and reads the first line that it prints. */
async function start(...args: string[]): Promise<{ process: Deno.ChildProcess; line: string }> {
  const process = new Deno.Command("deno", {
    args: ["run", "--quiet", "-P=bench-registry", new URL(import.meta.url).pathname, ...args],
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`${args[0]} has failed`);
    text += value;
  }
  return { process, line: text.trim() };
}

async function main(): Promise<void> {
  const registry = await start("serve");
  const url = registry.line;
  const servers = await start("beat", url);
  const cpu = async () => await fetch(`${url}/cpu`).then((response) => response.json()) as number;
  let [before, began] = [await cpu(), performance.now()];
  await sleep(DURATION);
  const share = (await cpu() - before) / 1_000 / (performance.now() - began);
  [before, began] = [await cpu(), performance.now()];
  const asker = await start("ask", url);
  const lists = JSON.parse(asker.line);
  const shareWithLists = (await cpu() - before) / 1_000 / (performance.now() - began);
  const watched = await watch(url);
  const leases = await die(url);
  const figures: [string, number, string, number][] = [
    [`processor, ${SERVERS} servers with heartbeats`, share * 100, "% of a core", 20],
    ["list of them, p99", lists.p99, "ms", 20],
    ["watch knows, slowest of 50", watched.at(-1)!, "ms", 100],
    ["dead server is gone after", leases, "leases", 1.5],
  ];
  for (const [what, value, unit, limit] of figures) {
    console.log(`${what.padEnd(44)} ${value.toFixed(2).padStart(8)} ${unit} (promised: under ${limit})`);
    if (!(value < limit)) Deno.exitCode = 1;
  }
  console.log(
    `lists: ${lists.count} asked for, p50 ${lists.p50.toFixed(2)} ms, max ${lists.max.toFixed(2)} ms`,
  );
  console.log(`processor while lists were asked for: ${(shareWithLists * 100).toFixed(2)} % of a core`);
  for (const { process } of [registry, servers]) process.kill("SIGKILL");
}

const [part, url = ""] = Deno.args;
switch (part) {
  case undefined:
    await main();
    break;
  case "serve":
    serve();
    break;
  case "beat":
    await beat(url);
    break;
  case "ask":
    await ask(url);
}
