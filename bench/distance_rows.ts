// The rows of bench:distance, its command line, and its tables. Pure.

import { parseArgs } from "@std/cli";
import type { Crossing } from "./crossing.ts";
import type { LineOptions } from "./line.ts";
import type { Contestant } from "./peers.ts";
import { type Figure, figure, format, table } from "./report.ts";
import type { DistanceKind, Load } from "./workloads.ts";

export const DISTANCE_USAGE = `Measure streams and small calls over a long line

Usage: deno task bench:distance [options]

  --rows LIST  Rows to measure, by the beginning of their names (all): down-100-20, down-1024-20, down-65536-20,
               up-100-20, ..., up-65536-100, echoes, bulk, first
  --rounds N   Measurements of each, interleaved (3)
  --seconds S  Duration of each (2.5), at most 5, after a warm-up of the same duration
  --json FILE  Write all figures, including every round, as JSON; in docs/ or /tmp
  --write      Insert the tables into docs/PERFORMANCE.md
  --help       Print this help

It needs Linux with TUN devices and user namespaces, iproute2, util-linux and python3; otherwise it prints the reason
and measures nothing. grpc-go is measured where Go and Debian's golang-google-grpc-dev are installed.
`;

/** What is measured over one line. */
export interface DistanceRow {
  readonly name: string;
  readonly title: string;
  readonly line: LineOptions;
  readonly load: { readonly kind: DistanceKind } & Partial<Load>;
  /** How many times longer than others it is measured: sixteen large echoes end together, every few seconds. */
  readonly factor?: number;
}

/** The parsed command line. */
export interface DistanceFlags {
  readonly rows: readonly DistanceRow[];
  readonly rounds: number;
  readonly seconds: number;
  readonly json?: string;
  readonly write: boolean;
  readonly help: boolean;
}

/** The samples of all rounds, by row and contestant. */
export class DistanceSamples {
  readonly #samples = new Map<string, Crossing[]>();

  add(row: DistanceRow, { name }: Contestant, sample: Crossing): void {
    const key = `${row.name} ${name}`;
    const samples = this.#samples.get(key);
    if (samples === undefined) this.#samples.set(key, [sample]);
    else samples.push(sample);
  }

  /** One sample per round; an empty one if it has failed. */
  of(row: DistanceRow, { name }: Contestant): readonly Crossing[] {
    return this.#samples.get(`${row.name} ${name}`) ?? [];
  }

  toJSON(): object {
    return Object.fromEntries(this.#samples);
  }
}

const MIB = 1_048_576;
const ITEM_SIZES = [100, 1_024, 65_536] as const;
/** A plain socket sends this many bytes at once. */
const PLAIN_BYTES = 65_536;

function streamRow(kind: DistanceKind, rtt: number, bytes: number): DistanceRow {
  const size = bytes < 1_024 ? `${bytes} bytes` : `${bytes / 1_024} KiB`;
  const title = `${size}, ${kind === "down" ? "from the server" : "to the server"}`;
  return { name: `${kind}-${bytes}-${rtt}`, title, line: { rtt, rate: 1e9 }, load: { kind, bytes } };
}

const STREAMS: readonly DistanceRow[] = [20, 100].flatMap((rtt) =>
  (["down", "up"] as const).flatMap((kind) => ITEM_SIZES.map((bytes) => streamRow(kind, rtt, bytes)))
);
const SMALL_CALLS: readonly DistanceRow[] = [
  {
    name: "echoes",
    title: "16 echoes of 1 MiB",
    line: { rtt: 20, rate: 1e8 },
    load: { kind: "echoes", bytes: MIB, outstanding: 16 },
    factor: 4,
  },
  {
    name: "bulk",
    title: "a stream of 64 KiB items",
    line: { rtt: 20, rate: 1e8 },
    load: { kind: "bulk", bytes: 65_536 },
  },
];
const FIRST: DistanceRow = {
  name: "first",
  title: "first call of a connection",
  line: { rtt: 100, rate: 1e9 },
  load: { kind: "first" },
};

/** All rows, in the order of the tables. */
export const DISTANCE_ROWS: readonly DistanceRow[] = [...STREAMS, ...SMALL_CALLS, FIRST];

/**
 * Parses the command line.
 *
 * @throws {Error} If it is invalid; the message is for the user
 */
export function readDistanceFlags(args: readonly string[]): DistanceFlags {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    string: ["rows", "rounds", "seconds", "json"],
    boolean: ["write", "help"],
    unknown: (arg) => void unknown.push(arg),
  });
  if (unknown.length > 0) throw new Error(`unknown argument ${unknown[0]}`);
  if (flags.json === "") throw new Error("--json: expected a value");
  const { rounds = "3", seconds = "2.5", rows = "", json, write, help } = flags;
  if (!/^[1-9]\d{0,2}$/.test(rounds)) throw new Error("--rounds: expected a whole number from 1 to 999");
  if (!(Number(seconds) >= 0.1 && Number(seconds) <= 5)) {
    throw new Error("--seconds: expected a number from 0.1 to 5");
  }
  return { rows: chooseRows(rows), rounds: Number(rounds), seconds: Number(seconds), json, write, help };
}

function chooseRows(list: string): DistanceRow[] {
  const starts = list.split(",").map((start) => start.trim());
  const wrong = starts.find((start) => !DISTANCE_ROWS.some(({ name }) => name.startsWith(start)));
  if (wrong !== undefined) throw new Error(`--rows: no name of a row begins with ${wrong}`);
  return DISTANCE_ROWS.filter(({ name }) => starts.some((start) => name.startsWith(start)));
}

/**
 * The row that a contestant runs for a row of a table.
 *
 * @returns For the raw socket and a stream, its stream of long items, with which all sizes are compared;
 * undefined where the raw socket has nothing to measure
 */
export function rowFor(row: DistanceRow, { role }: Contestant): DistanceRow | undefined {
  if (role !== "limit" || row === FIRST) return row;
  return STREAMS.includes(row) ? streamRow(row.load.kind, row.line.rtt, PLAIN_BYTES) : undefined;
}

/** Formats a figure such as `0.97 (0.93–1.01)`. */
function withRange(value: Figure | undefined): string {
  if (value === undefined) return "";
  return `${format(value.median)} (${format(value.least)}–${format(value.most)})`;
}

function values(samples: readonly Crossing[], key: keyof Crossing, divisor: number): string {
  return withRange(figure(samples.map(({ [key]: value }) => value && value / divisor)));
}

/** Divides by the value of the same round. */
function ratios(samples: readonly Crossing[], key: keyof Crossing, by: readonly Crossing[]): string {
  return withRange(figure(samples.map(({ [key]: value }, round) => {
    const divisor = by[round]?.[key];
    return value && divisor && value / divisor;
  })));
}

/**
 * Renders the samples as Markdown.
 *
 * @param contestants The raw socket, this library, and the others
 */
export function renderDistance(
  rows: readonly DistanceRow[],
  contestants: readonly Contestant[],
  samples: DistanceSamples,
): string {
  const [socket, ours, ...peers] = contestants as [Contestant, Contestant, ...Contestant[]];
  const others = [ours, ...peers];
  const parts: string[] = [];
  const streams = rows.filter((row) => STREAMS.includes(row)).map((row) => {
    const plain = samples.of(rowFor(row, socket)!, socket);
    const shares = others.map((contestant) => ratios(samples.of(row, contestant), "rate", plain));
    return [row.title, String(row.line.rtt), values(plain, "rate", MIB), ...shares];
  });
  if (streams.length > 0) {
    const header = ["items of", "RTT ms", "plain socket, MiB/s", ...others.map(({ title }) => title)];
    parts.push("### Streams at 1 Gbit/s, as shares of a plain socket\n", table(header, streams));
  }
  for (const row of rows.filter((row) => SMALL_CALLS.includes(row))) {
    const header = ["", "p50 ms", "of ours", "p99 ms", "p50 alone ms", "transfer MiB/s"];
    const cells = others.map((contestant) => {
      const own = samples.of(row, contestant);
      const compared = contestant === ours ? "" : ratios(own, "p50", samples.of(row, ours));
      return [
        contestant.title,
        values(own, "p50", 1),
        compared,
        values(own, "p99", 1),
        values(own, "alone", 1),
        values(own, "rate", MIB),
      ];
    });
    parts.push(
      `### A call of 100 bytes every 20 ms during ${row.title}, at 20 ms and 100 Mbit/s\n`,
      table(header, cells),
    );
  }
  if (rows.includes(FIRST)) {
    const cells = contestants.map((contestant) => [
      contestant.title,
      values(samples.of(FIRST, contestant), "p50", FIRST.line.rtt),
    ]);
    parts.push("### From dialing to the first answer\n", table(["", "round trips"], cells));
  }
  return parts.join("\n");
}
