// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task bench:scale`: how the cost of a call scales with connections, calls in flight, message size,
// methods, and cores. Where the raw socket supports a load, it is measured in turn for comparison: a cost
// that grows there, too, is the system's. With --write it inserts its tables into docs/PERFORMANCE.md.

import { measure, measureShared, type Sample } from "./measure.ts";
import { CONTESTANTS, prepare, ReadyContestant } from "./peers.ts";
import { type Cores, findCores } from "./process.ts";
import { figure, format, replaceBetween, spread, table } from "./report.ts";
import { type Load, loadOf } from "./workloads.ts";

const PAGE = "docs/PERFORMANCE.md";
const ROUNDS = 3;
const TIMES = { warm: 1, seconds: 0.5 } as const;
const MIB = 1_048_576;

/** A row of a table: a load and its label. */
interface Point {
  readonly label: string;
  readonly load: Load;
  /** Whether the raw socket is measured, too. */
  readonly withRaw: boolean;
}

interface Series {
  readonly title: string;
  readonly label: string;
  readonly points: readonly Point[];
}

function point(label: string, load: Partial<Load>, withRaw = true): Point {
  return { label, load: loadOf({ kind: "sum", ...TIMES, ...load }), withRaw };
}

/** `16 B`, `4 KiB`, `1 MiB`. */
function size(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  return bytes < MIB ? `${bytes / 1_024} KiB` : `${bytes / MIB} MiB`;
}

const SERIES: readonly Series[] = [
  {
    title: "Connections, 4 calls in flight on each",
    label: "connections",
    points: [
      ...[1, 64, 1_000].map((connections) =>
        point(connections.toLocaleString("en"), { connections, outstanding: 4 })
      ),
      point("64, and 10,000 idle", {
        connections: 64,
        outstanding: 4,
        idle: 10_000,
        limits: { maxConnections: 20_000 },
      }, false),
    ],
  },
  {
    title: "Calls in flight over one connection",
    label: "in flight",
    points: [1, 4, 16, 64, 256, 1_024, 4_096].map((outstanding) =>
      point(outstanding.toLocaleString("en"), { outstanding, limits: { maxInFlight: 4_096 } })
    ),
  },
  {
    title: "Bytes there and back, 4 calls in flight",
    label: "bytes",
    points: [16, 256, 4_096, 65_536, MIB, 4 * MIB].map((bytes) =>
      point(size(bytes), {
        kind: "echo",
        outstanding: 4,
        bytes,
        limits: { maxFrameBytes: 8 * MIB, maxUnsentBytes: 64 * MIB },
      })
    ),
  },
  {
    title: "Methods registered, each called in turn, 64 calls in flight",
    label: "methods",
    points: [1, 10, 100, 1_000, 10_000].map((methods) =>
      point(methods.toLocaleString("en"), { outstanding: 64, methods }, false)
    ),
  },
];

/** Measures once; if that fails, prints the reason and returns undefined. */
async function attempt(what: string, run: () => Promise<Sample | undefined>): Promise<Sample | undefined> {
  try {
    return await run();
  } catch (error) {
    console.log(`failed: ${what}: ${(error as Error).message}`);
    if (what.includes("idle")) console.log("10,000 connections need `ulimit -n 10400` or more");
    return undefined;
  }
}

/** A row: the measurements of this library, and of the raw socket. */
function row(label: string, ours: readonly Sample[], raw: readonly Sample[]): string[] {
  const of = (samples: readonly Sample[], key: keyof Sample) => figure(samples.map((sample) => sample[key]));
  const cell = (samples: readonly Sample[], key: keyof Sample) => {
    const value = of(samples, key);
    return value === undefined ? "" : format(value.median);
  };
  const rate = of(ours, "rate");
  const cpu = figure(ours.map((sample, i) => raw[i] && sample.cpu! / raw[i].cpu!));
  return [
    label,
    cell(ours, "rate"),
    rate === undefined ? "" : `${spread(rate).toFixed(0)} %`,
    cell(ours, "p50"),
    cell(ours, "p99"),
    cell(ours, "cpu"),
    cell(raw, "cpu"),
    cpu === undefined ? "" : format(cpu.median),
  ];
}

/** Measures a series: all of its points in each round. */
async function runSeries(
  series: Series,
  ours: ReadyContestant,
  raw: ReadyContestant,
  cores: Cores,
): Promise<string> {
  const samples = series.points.map(() => ({ ours: [] as Sample[], raw: [] as Sample[] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, { label, load, withRaw }] of series.points.entries()) {
      const both = withRaw ? [["ours", ours], ["raw", raw]] as const : [["ours", ours]] as const;
      for (const [side, ready] of both) {
        const run = () => measure(ready, { factor: 1, apart: false }, load, cores);
        const sample = await attempt(`${series.label} ${label}`, run);
        if (sample !== undefined) samples[i]![side].push(sample);
      }
    }
  }
  const header = [series.label, "calls/s", "±", "p50 µs", "p99 µs", "CPU µs", "raw CPU µs", "ratio"];
  const rows = series.points.map(({ label }, i) => row(label, samples[i]!.ours, samples[i]!.raw));
  return `### ${series.title} (both sides on one core)\n\n${table(header, rows)}`;
}

/** Measures one process, and several that share a port, with small and with CPU-bound calls. */
async function runCores(ours: ReadyContestant): Promise<string> {
  const maxProcesses = Math.max(2, navigator.hardwareConcurrency);
  const works = [[0, "small calls"], [30_000, "laborious calls"]] as const;
  const cases = works.flatMap(([work, label]) =>
    [1, maxProcesses].map((processes) => ({ work, label, processes }))
  );
  const samples = cases.map(() => [] as Sample[]);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, { work, label, processes }] of cases.entries()) {
      const load = loadOf({ kind: "sum", ...TIMES, connections: 64, outstanding: 4, work });
      const sample = await attempt(`${label}, ${processes}`, () => measureShared(ours, load, processes));
      if (sample !== undefined) samples[i]!.push(sample);
    }
  }
  const rows = cases.map(({ label, processes, work }, i) => {
    const oneProcess = samples[cases.findIndex((other) => other.work === work)]!;
    const gain = figure(
      samples[i]!.map(({ rate }, round) => oneProcess[round] && rate / oneProcess[round].rate),
    );
    return [...row(`${label}, ${processes}`, samples[i]!, []).slice(0, 6), gain ? format(gain.median) : ""];
  });
  const header = ["server processes", "calls/s", "±", "p50 µs", "p99 µs", "CPU µs", "times one"];
  return `### Server processes that share a port, ${navigator.hardwareConcurrency} cores, not pinned\n\n${
    table(header, rows)
  }`;
}

async function main(args: readonly string[]): Promise<void> {
  if (args.some((arg) => arg !== "--write")) {
    console.error("Usage: deno task bench:scale [--write]\n\n  --write  Insert the tables into " + PAGE);
    Deno.exit(args.includes("--help") ? 0 : 2);
  }
  const find = (name: string) => CONTESTANTS.find((contestant) => contestant.name === name)!;
  const [ours, raw] = await Promise.all([
    prepare(find("troodon"), ""),
    prepare(find("socket-promise"), ""),
  ]);
  if (!(ours instanceof ReadyContestant) || !(raw instanceof ReadyContestant)) {
    throw new Error("Cannot load the benchmark's peers");
  }
  const cores = await findCores();
  const parts: string[] = [];
  const add = (text: string) => {
    parts.push(text);
    console.log(text);
  };
  for (const series of SERIES) add(await runSeries(series, ours, raw, cores));
  add(await runCores(ours));
  if (!args.includes("--write")) return;
  await Deno.writeTextFile(PAGE, replaceBetween(await Deno.readTextFile(PAGE), "scale", parts.join("\n")));
}

await main(Deno.args);
