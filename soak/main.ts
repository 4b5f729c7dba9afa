// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task soak`: soak test. Calls of all kinds against failing servers; checks every reliability guarantee
// and prints the figures. The exit code is 1 if a guarantee was broken.
//   --seconds=60   --seed=N   --json
//   --kill         only non-idempotent calls, while every server in turn is killed with SIGKILL
//   --calls=100000 number of calls with --kill that may have been executed

import { parseArgs } from "@std/cli";
import { connect, MultiServers } from "../mod.ts";
import { Random } from "../tests/support/cbor_random.ts";
import { pause } from "./child.ts";
import { Cluster } from "./cluster.ts";
import { Ledger } from "./ledger.ts";
import { countedSignal, LoopLag, type Memory, memory, Slope, sockets } from "./meter.ts";
import { type Figure, report } from "./report.ts";
import { CLIENT, Workload } from "./workload.ts";

/** Concurrent calls of each client. */
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
  console.error(`Unhandled rejection: ${event.reason}`);
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

/** The state of the first server, which is never killed. */
interface SurvivorState extends Memory {
  readonly connections: number;
  readonly inFlight: number;
}

async function querySurvivor(): Promise<SurvivorState> {
  const { child } = cluster.survivor;
  await child.send("?");
  return await child.line<SurvivorState>();
}

/**
 * Reads the logs every second, and takes memory samples while no call is in flight, as long as `running`
 * returns true.
 */
async function sample(running: () => boolean): Promise<void> {
  const every = Math.min(10, Math.max(2, Math.round(seconds / 20)));
  for (let second = 1; running(); second++) {
    await pause(1_000);
    ledger.read();
    if (second % every !== 0) continue;
    await workload.pauseFor(async () => {
      for (const [side, state] of [["client", await memory()], ["server", await querySurvivor()]] as const) {
        slopes[side].heap.add(state.heap);
        slopes[side].rss.add(state.rss);
      }
    });
  }
}

/** The whole workload and all faults at once. */
async function soak(): Promise<void> {
  const end = performance.now() + seconds * 1_000;
  const running = () => performance.now() < end;
  await using first = await connect(new MultiServers(cluster.addresses), CLIENT);
  await using second = await connect(new MultiServers(cluster.addresses), { ...CLIENT, balancer: "random" });
  await Promise.all([
    ...Array.from({ length: 2 * WORKERS }, (_, i) => workload.work(i % 2 === 0 ? first : second, running)),
    workload.reconnectRepeatedly(cluster.addresses, running),
    cluster.disruptServers(new Random(seed + 2), running),
    cluster.disruptNetwork(new Random(seed + 4), running),
    sample(running),
  ]);
}

/** Only non-idempotent calls, and SIGKILL. */
async function kill(): Promise<void> {
  const running = () => workload.counts.sent < calls;
  const direct = cluster.peers.map(({ address }) => address);
  await using client = await connect(new MultiServers(direct), CLIENT);
  await Promise.all([
    ...Array.from({ length: WORKERS }, () => workload.work(client, running, ["once", "wait", "wait"])),
    cluster.killAll(new Random(seed + 2), running),
  ]);
}

async function run(): Promise<Figure[]> {
  const startedAt = performance.now();
  await cluster.start();
  // The first connection makes the runtime open sockets of its own: open it before counting.
  await (await connect(cluster.survivor.address)).close();
  await pause(300);
  const before = {
    client: await sockets(Deno.pid),
    server: await sockets(cluster.survivor.child.pid),
  };
  using loop = new LoopLag();
  if (!flags.json) console.log(`seed ${seed}, ${flags.kill ? `${calls} calls` : `${seconds} s`}`);
  await (flags.kill ? kill() : soak());
  // Calls that the first server still runs when its clients have gone end at once.
  let remaining = flags.kill ? { connections: 0, inFlight: 0 } : await querySurvivor();
  for (let tries = 50; tries > 0 && remaining.connections + remaining.inFlight > 0; tries--) {
    await pause(100);
    remaining = await querySurvivor();
  }
  const after = {
    client: await sockets(Deno.pid),
    server: await sockets(cluster.survivor.child.pid),
  };
  await cluster.close();
  return report({
    kill: flags.kill,
    seconds: (performance.now() - startedAt) / 1_000,
    counts: workload.counts,
    balance: ledger.close(),
    faults: cluster.faults,
    lateness: workload.lateness,
    loop: loop.lag,
    slopes: {
      client: { heap: slopes.client.heap.fit(), rss: slopes.client.rss.fit() },
      server: { heap: slopes.server.heap.fit(), rss: slopes.server.rss.fit() },
    },
    sockets: { before, after },
    leftover: { ...remaining, listeners: shared.listeners(), unhandled },
  });
}

try {
  const figures = await run();
  if (flags.json) {
    console.log(JSON.stringify({ seed, figures, outcomes: Object.fromEntries(workload.counts.outcomes) }));
  } else {
    const width = Math.max(...figures.map(({ name }) => name.length));
    for (const { name, value, promise, kept } of figures) {
      const guarantee = promise === undefined ? "" : `   guaranteed: ${promise}${kept ? "" : "   BROKEN"}`;
      console.log(`${name.padEnd(width)}  ${value}${guarantee}`);
    }
    for (const wrong of workload.counts.wrong) console.log(`  wrong: ${wrong}`);
  }
  if (figures.some(({ kept }) => kept === false)) Deno.exitCode = 1;
} finally {
  await Deno.remove(dir, { recursive: true });
}
