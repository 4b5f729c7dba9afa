// Parses the command line of the benchmark. Pure.

import { parseArgs } from "@std/cli";
import { type Contestant, CONTESTANTS } from "./peers.ts";
import { type Workload, WORKLOADS } from "./workloads.ts";

export const USAGE = `Compare the performance of this library, the raw socket and other libraries

Usage: deno task bench [options]

  --workloads LIST  Workloads to run (all): ${WORKLOADS.map(({ name }) => name).join(",")}
  --peers LIST      Peers to measure besides this library and the raw socket: all, none, or some of
                    ${CONTESTANTS.filter(({ role }) => role === "peer").map(({ name }) => name).join(",")}
                    (all but ${
  CONTESTANTS.filter(({ onRequest }) => onRequest).map(({ name }) => name).join(",")
})
  --rounds N        Measurements of each, interleaved (3)
  --seconds S       Duration of each (0.4), after a warm-up of the same duration, but at least 0.8
  --json FILE       Write all figures, including every round, as JSON
  --chart FILE      Draw the medians as an SVG
  --tables FILE     Insert the tables between <!-- bench --> and <!-- /bench --> of a Markdown file
  --help            Print this help

Files must be in docs/ or /tmp. Only ratios within one run are meaningful: absolute figures depend on the machine
and the time.
`;

/** The parsed command line. */
export interface Flags {
  readonly workloads: readonly Workload[];
  readonly contestants: readonly Contestant[];
  readonly rounds: number;
  readonly seconds: number;
  readonly json?: string;
  readonly chart?: string;
  readonly tables?: string;
  readonly help: boolean;
}

const VALUE_FLAGS = ["workloads", "peers", "rounds", "seconds", "json", "chart", "tables"];

/**
 * Parses the command line.
 *
 * @throws {Error} If it is invalid; the message is for the user
 */
export function readFlags(args: readonly string[]): Flags {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: VALUE_FLAGS,
    boolean: ["help"],
    unknown: (arg) => void unknown.push(arg),
  });
  const [first] = [...unknown, ...flags._.map(String)];
  if (first !== undefined) throw new Error(`unknown argument ${first}`);
  const empty = VALUE_FLAGS.find((name) => flags[name] === "");
  if (empty !== undefined) throw new Error(`--${empty}: expected a value`);
  const rounds = readNumber("rounds", flags.rounds ?? "3", 1, 1_000);
  if (!Number.isInteger(rounds)) throw new Error("--rounds: expected a whole number");
  return {
    workloads: choose("workloads", flags.workloads, WORKLOADS),
    contestants: [...CONTESTANTS.filter(({ role }) => role !== "peer"), ...choosePeers(flags.peers)],
    rounds,
    seconds: readNumber("seconds", flags.seconds ?? "0.4", 0.05, 600),
    json: flags.json,
    chart: flags.chart,
    tables: flags.tables,
    help: flags.help,
  };
}

function readNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= min && value <= max) return value;
  throw new Error(`--${name}: expected a number from ${min} to ${max}, got ${JSON.stringify(text)}`);
}

function choosePeers(list: string | undefined): readonly Contestant[] {
  const peers = CONTESTANTS.filter(({ role }) => role === "peer");
  if (list === undefined) return peers.filter(({ onRequest }) => !onRequest);
  if (list === "none") return [];
  return list === "all" ? peers : choose("peers", list, peers);
}

/** Selects the entries of `all` named in a list; all of them without a list. */
function choose<T extends { readonly name: string }>(
  flag: string,
  list: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (list === undefined) return all;
  const names = list.split(",").map((name) => name.trim());
  const known = new Set(all.map(({ name }) => name));
  const wrong = names.find((name) => !known.has(name));
  if (wrong !== undefined) {
    throw new Error(`--${flag}: unknown ${wrong}, expected some of ${[...known].join(", ")}`);
  }
  return all.filter(({ name }) => names.includes(name));
}
