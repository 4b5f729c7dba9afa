// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task bench:distance`: streams and small calls over a long line (line.ts), compared with a plain socket
// and with gRPC. docs/PERFORMANCE.md describes the method and how to read the figures.

import type { Crossing } from "./crossing.ts";
import {
  DISTANCE_USAGE,
  type DistanceFlags,
  type DistanceRow,
  DistanceSamples,
  readDistanceFlags,
  renderDistance,
  rowFor,
} from "./distance_rows.ts";
import { FAR_HOST, Line } from "./line.ts";
import { runWithTimeout } from "./measure.ts";
import { CONTESTANTS, GRPC_GO, prepare, ReadyContestant } from "./peers.ts";
import { Process } from "./process.ts";
import { replaceBetween } from "./report.ts";
import { loadOf } from "./workloads.ts";

const PAGE = "docs/PERFORMANCE.md";
const NAMES = ["socket", "troodon", "grpc"];
const COMPARED = [...NAMES.map((name) => CONTESTANTS.find((each) => each.name === name)!), GRPC_GO];

/** Determines which contestants can be measured, and prints the others. */
async function prepareAll(folder: string): Promise<ReadyContestant[]> {
  const ready: ReadyContestant[] = [];
  for (const contestant of COMPARED) {
    const outcome = await prepare(contestant, folder);
    if (outcome instanceof ReadyContestant) ready.push(outcome);
    else console.log(`skipped: ${contestant.title}: ${outcome}`);
  }
  return ready;
}

/** Measures once, over a line of its own. */
async function measure(ready: ReadyContestant, row: DistanceRow, seconds: number): Promise<Crossing> {
  await using line = await Line.open(row.line);
  const load = loadOf({
    ...row.load,
    host: FAR_HOST,
    warm: seconds,
    seconds: seconds * (row.factor ?? 1),
  });
  await using server = new Process(line.far(ready.server(load)), []);
  const { port } = await server.next<{ port: number }>();
  await using client = new Process(line.near(ready.client(load, port)), []);
  return await runWithTimeout(load, [server, client], () => client.next<Crossing>());
}

/** Measures all rows, each of them once per round. */
async function runAll(
  { rows, rounds, seconds }: DistanceFlags,
  ready: readonly ReadyContestant[],
): Promise<DistanceSamples> {
  const samples = new DistanceSamples();
  for (let round = 1; round <= rounds; round++) {
    const measured = new Set<string>();
    for (const row of rows) {
      for (const each of ready) {
        const { contestant } = each;
        const own = rowFor(row, contestant);
        if (own === undefined || measured.has(`${own.name} ${contestant.name}`)) continue;
        measured.add(`${own.name} ${contestant.name}`);
        let sample: Crossing = {};
        try {
          sample = await measure(each, own, seconds);
        } catch (error) {
          console.log(`failed: ${own.name}: ${contestant.title}: ${(error as Error).message}`);
        }
        samples.add(own, contestant, sample);
        console.log(`round ${round}: ${own.name}: ${contestant.title}: ${JSON.stringify(sample)}`);
      }
    }
  }
  return samples;
}

async function main(args: readonly string[]): Promise<void> {
  let flags: DistanceFlags;
  try {
    flags = readDistanceFlags(args);
  } catch (error) {
    console.error(`bench:distance: ${(error as Error).message}; see --help`);
    Deno.exit(2);
  }
  if (flags.help) return console.log(DISTANCE_USAGE.trimEnd());
  const { json } = flags;
  if (json !== undefined && Deno.permissions.querySync({ name: "write", path: json }).state !== "granted") {
    console.error(`bench:distance: cannot write ${json}: files must be in docs/ or /tmp; see --help`);
    Deno.exit(2);
  }
  try {
    await using _line = await Line.open(flags.rows[0]!.line);
  } catch (error) {
    return console.log(`skipped: this system cannot make a long line: ${(error as Error).message}`);
  }
  const { rows, rounds, seconds, write } = flags;
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "bench-" });
  try {
    const ready = await prepareAll(folder);
    const samples = await runAll(flags, ready);
    const { deno } = Deno.version;
    const caption = `${rounds} ${rounds === 1 ? "round" : "rounds"} of ${seconds} s, medians (least–most); ` +
      `Deno ${deno}, ${navigator.hardwareConcurrency} cores.`;
    const tables = renderDistance(rows, ready.map(({ contestant }) => contestant), samples);
    const text = `${caption}\n\n${tables}`;
    console.log(`\n${text}`);
    if (json !== undefined) {
      const figures = { date: new Date(), deno, rounds, seconds, samples };
      await Deno.writeTextFile(json, JSON.stringify(figures, null, 2) + "\n");
    }
    if (write) {
      await Deno.writeTextFile(PAGE, replaceBetween(await Deno.readTextFile(PAGE), "distance", text));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

await main(Deno.args);
