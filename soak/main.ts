// deno-lint-ignore-file no-console -- what it prints is what it is for
// `deno task soak`: a mixed workload over several server processes to which bad things happen, and what was promised
// beside what came of it. The exit code is 1 if a promise was broken.
//   --seconds=60   --seed=N   --json
//   --kill         calls that may not be repeated, while every server in turn is killed with SIGKILL
//   --calls=100000 how many of those that may have been executed

import { parseArgs } from "@std/cli";
import { connect, MultiServers } from "../mod.ts";
import { Random } from "../tests/support/cbor_random.ts";
import { pause } from "./child.ts";
import { Cluster } from "./cluster.ts";
import { Ledger } from "./ledger.ts";
import { countedSignal, LoopLag, type Memory, memory, Slope, sockets } from "./meter.ts";
import { type Figure, report } from "./report.ts";
import { CLIENT, Workload } from "./workload.ts";

/** Calls that each client has under way. */
const WORKERS = 100;

const flags = parseArgs(Deno.args, {
  boolean: ["json", "kill"],
  default: { seconds: 60, seed: Math.floor(Math.random() * 2 ** 31), calls: 100_000 },
});
const [seconds, seed, calls] = [Number(flags.seconds), Number(flags.seed), Number(flags.calls)];
if (!(seconds > 0) || !Number.isSafeInteger(seed) || !(calls > 0)) {
  console.error("Cannot soak: expected numbers for --seconds, --seed and --calls");
  Deno.exit(2);
}

let unhandled = 0;
globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  unhandled++;
  console.error(`A rejection that nobody handles: ${event.reason}`);
});

const dir = await Deno.makeTempDir({ dir: "/tmp", prefix: "soak-" });
const ledger = new Ledger();
const cluster = new Cluster(dir, ledger);
const shared = countedSignal();
const workload = new Workload(ledger, new Random(seed), shared.signal);
const slopes = {
  client: { heap: new Slope(), rss: new Slope() },
  server: { heap: new Slope(), rss: new Slope() },
};

/** What the survivor holds. */
interface Held extends Memory {
  readonly connections: number;
  readonly inFlight: number;
}

async function askSurvivor(): Promise<Held> {
  const { child } = cluster.survivor;
  await child.say("?");
  return await child.line<Held>();
}

/** Counts executions every second, and takes samples of memory at rest, while `goesOn`. */
async function sample(goesOn: () => boolean): Promise<void> {
  const every = Math.min(10, Math.max(2, Math.round(seconds / 20)));
  for (let second = 1; goesOn(); second++) {
    await pause(1_000);
    ledger.read();
    if (second % every !== 0) continue;
    await workload.pauseFor(async () => {
      for (const [side, held] of [["client", await memory()], ["server", await askSurvivor()]] as const) {
        slopes[side].heap.add(held.heap);
        slopes[side].rss.add(held.rss);
      }
    });
  }
}

/** Everything at once. */
async function soak(): Promise<void> {
  const end = performance.now() + seconds * 1_000;
  const goesOn = () => performance.now() < end;
  await using one = await connect(new MultiServers(cluster.addresses), CLIENT);
  await using two = await connect(new MultiServers(cluster.addresses), { ...CLIENT, balancer: "random" });
  await Promise.all([
    ...Array.from({ length: 2 * WORKERS }, (_, i) => workload.work(i % 2 === 0 ? one : two, goesOn)),
    workload.comeAndGo(cluster.addresses, goesOn),
    cluster.hurtServers(new Random(seed + 2), goesOn),
    cluster.hurtNetwork(new Random(seed + 4), goesOn),
    sample(goesOn),
  ]);
}

/** Nothing but calls that may not be repeated, and SIGKILL. */
async function kill(): Promise<void> {
  const goesOn = () => workload.tally.sent < calls;
  const direct = cluster.peers.map(({ address }) => address);
  await using client = await connect(new MultiServers(direct), CLIENT);
  await Promise.all([
    ...Array.from({ length: WORKERS }, () => workload.work(client, goesOn, ["once", "wait", "wait"])),
    cluster.killAll(new Random(seed + 2), goesOn),
  ]);
}

async function run(): Promise<Figure[]> {
  const began = performance.now();
  await cluster.start();
  // The first connection of a process makes the runtime open some of its own.
  await (await connect(cluster.survivor.address)).close();
  await pause(300);
  const before = {
    client: await sockets(Deno.pid),
    server: await sockets(cluster.survivor.child.pid),
  };
  using loop = new LoopLag();
  if (!flags.json) console.log(`seed ${seed}, ${flags.kill ? `${calls} calls` : `${seconds} s`}`);
  await (flags.kill ? kill() : soak());
  // What the survivor still works on when its clients have gone ends at once.
  let left = flags.kill ? { connections: 0, inFlight: 0 } : await askSurvivor();
  for (let tries = 50; tries > 0 && left.connections + left.inFlight > 0; tries--) {
    await pause(100);
    left = await askSurvivor();
  }
  const after = {
    client: await sockets(Deno.pid),
    server: await sockets(cluster.survivor.child.pid),
  };
  await cluster.close();
  return report({
    kill: flags.kill,
    seconds: (performance.now() - began) / 1_000,
    tally: workload.tally,
    balance: ledger.close(),
    faults: cluster.faults,
    lateness: workload.lateness,
    loop: loop.lag,
    slopes: {
      client: { heap: slopes.client.heap.fit(), rss: slopes.client.rss.fit() },
      server: { heap: slopes.server.heap.fit(), rss: slopes.server.rss.fit() },
    },
    sockets: { before, after },
    left: { ...left, listeners: shared.listeners(), unhandled },
  });
}

try {
  const figures = await run();
  if (flags.json) {
    console.log(JSON.stringify({ seed, figures, outcomes: Object.fromEntries(workload.tally.outcomes) }));
  } else {
    const width = Math.max(...figures.map(({ name }) => name.length));
    for (const { name, value, promise, kept } of figures) {
      const beside = promise === undefined ? "" : `   promised: ${promise}${kept ? "" : "   BROKEN"}`;
      console.log(`${name.padEnd(width)}  ${value}${beside}`);
    }
    for (const wrong of workload.tally.wrong) console.log(`  wrong: ${wrong}`);
  }
  if (figures.some(({ kept }) => kept === false)) Deno.exitCode = 1;
} finally {
  await Deno.remove(dir, { recursive: true });
}
