// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task bench`: compares this library with the raw socket and with other RPC systems.
// docs/PERFORMANCE.md describes the method and how to read the figures.

import { drawChart } from "./chart.ts";
import { type Flags, readFlags, USAGE } from "./flags.ts";
import { measure } from "./measure.ts";
import { type Contestant, prepare, ReadyContestant } from "./peers.ts";
import { type Cores, findCores } from "./process.ts";
import { render, replaceBetween, type Row, summarize, type Summary } from "./report.ts";
import { loadOf, type Workload } from "./workloads.ts";

/** Minimum warm-up, in s: the compiler is busy until then. */
const MIN_WARM = 0.8;
/** Explains what the chart does not show. */
const LEGEND = "Dashed: the limits, cut off at ▸";
/** Memory is measured in every third round only: it varies less than times, and takes longer. */
const IDLE_SHARE = 3;

/** Prints why the benchmark cannot continue, and exits. */
function exit(code: number, message: string): never {
  console.error(`bench: ${message}`);
  Deno.exit(code);
}

/** Shows progress on a terminal, in a line that the next one overwrites. */
function progress(text: string): void {
  if (Deno.stderr.isTerminal()) Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
}

/** Determines which contestants can be measured, and prints the others. */
async function prepareAll(
  contestants: readonly Contestant[],
  folder: string,
): Promise<Map<Contestant, ReadyContestant>> {
  const ready = new Map<Contestant, ReadyContestant>();
  for (const contestant of contestants) {
    progress(`preparing: ${contestant.title}`);
    const outcome = await prepare(contestant, folder);
    if (outcome instanceof ReadyContestant) {
      ready.set(contestant, outcome);
    } else {
      progress("");
      console.log(`skipped: ${contestant.title}: ${outcome}`);
    }
  }
  return ready;
}

/** Measures a workload: all contestants in each round, so that a disturbance affects all of them. */
async function run(
  workload: Workload,
  ready: ReadonlyMap<Contestant, ReadyContestant>,
  flags: Flags,
  cores: Cores,
): Promise<Row[]> {
  const { seconds } = flags;
  const load = loadOf({ ...workload.load, seconds, warm: Math.max(seconds, MIN_WARM) });
  const rounds = load.kind === "idle" ? Math.ceil(flags.rounds / IDLE_SHARE) : flags.rounds;
  const participants = [...ready].filter(([{ name, role }]) =>
    role !== "limit" || workload.limits.includes(name)
  );
  const rows = participants.map(([contestant, ready]) => {
    return {
      contestant,
      ready,
      samples: [] as Row["samples"][number][],
      missing: undefined as string | undefined,
    };
  });
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      if (row.missing !== undefined) continue;
      progress(`${workload.name}, round ${round + 1} of ${rounds}: ${row.contestant.title}`);
      try {
        const sample = await measure(row.ready, workload, load, cores);
        if (sample === undefined) row.missing = "not supported";
        else row.samples.push(sample);
      } catch (error) {
        row.missing = `failed: ${(error as Error).message}`;
        row.samples.length = 0;
      }
    }
  }
  progress("");
  return rows;
}

/** Checks the permission before the measurement rather than after minutes. */
function checkWritable(file: string | undefined): void {
  if (file === undefined) return;
  if (Deno.permissions.querySync({ name: "write", path: file }).state !== "granted") {
    exit(2, `cannot write ${file}: files must be in docs/ or /tmp; see --help`);
  }
}

async function main(args: readonly string[]): Promise<void> {
  let flags: Flags;
  try {
    flags = readFlags(args);
  } catch (error) {
    exit(2, `${(error as Error).message}; see --help`);
  }
  if (flags.help) return console.log(USAGE.trimEnd());
  for (const file of [flags.json, flags.chart, flags.tables]) checkWritable(file);
  const cores = await findCores();
  const { rounds, seconds } = flags;
  const { os, arch } = Deno.build;
  const machine = `Deno ${Deno.version.deno}, ${os} ${arch}, ${navigator.hardwareConcurrency} cores`;
  const pinned = cores.shared.length > 0 ? "" : "; processes not pinned";
  const caption = `${rounds} ${
    rounds === 1 ? "round" : "rounds"
  } of ${seconds} s, medians; ${machine}${pinned}`;
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "bench-" });
  const summaries: Summary[] = [];
  try {
    const ready = await prepareAll(flags.contestants, folder);
    console.log(`${caption}.\n`);
    for (const workload of flags.workloads) {
      const summary = summarize(workload, await run(workload, ready, flags, cores));
      summaries.push(summary);
      console.log(render(summary));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  if (flags.json !== undefined) {
    const { deno, v8 } = Deno.version;
    const figures = { date: new Date(), deno, v8, os, arch, cores, rounds, seconds, workloads: summaries };
    await Deno.writeTextFile(flags.json, JSON.stringify(figures, null, 2) + "\n");
  }
  if (flags.chart !== undefined) {
    // The variants of W2 would double the chart and look alike.
    const drawn = summaries.filter((_, i) => flags.workloads[i]!.load.variant === undefined);
    await Deno.writeTextFile(flags.chart, drawChart(drawn, `${caption}. ${LEGEND}`));
  }
  if (flags.tables !== undefined) {
    const text = [`${caption}.\n`, ...summaries.map(render)].join("\n");
    const page = await Deno.readTextFile(flags.tables);
    await Deno.writeTextFile(flags.tables, replaceBetween(page, "bench", text));
  }
  const failed = summaries.find(({ results }) => results.some(({ role, rate }) => role === "ours" && !rate));
  if (failed !== undefined) exit(1, `this library could not be measured in ${failed.workload}`);
}

await main(Deno.args);
