// The command line of the bench, checked. Pure.

import { parseArgs } from "@std/cli";
import { type Contestant, CONTESTANTS } from "./peers.ts";
import { type Workload, WORKLOADS } from "./workloads.ts";

export const USAGE = `Measure this library beside the raw socket and beside others

Usage: deno task bench [options]

  --workloads LIST  Which ones (all): ${WORKLOADS.map(({ name }) => name).join(",")}
  --peers LIST      Whom to measure beside this library and the raw socket: all, none, or some of
                    ${CONTESTANTS.filter(({ role }) => role === "peer").map(({ name }) => name).join(",")}
                    (all but ${
  CONTESTANTS.filter(({ onRequest }) => onRequest).map(({ name }) => name).join(",")
})
  --rounds N        How often each is measured, in turn (3)
  --seconds S       How long each is measured (0.4), behind as long to warm up, or 0.8 if that is more
  --json FILE       Write all figures, those of every round too
  --chart FILE      Draw the medians, as an SVG
  --tables FILE     Put the tables between <!-- bench --> and <!-- /bench --> of a Markdown file
  --help            Print this

Files are written in docs/ or /tmp. Ratios within one run are what counts: absolute figures belong to one machine
and one hour.
`;

/** What was asked for. */
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

const TEXTS = ["workloads", "peers", "rounds", "seconds", "json", "chart", "tables"];

/**
 * Reads the command line.
 *
 * @throws {Error} With a message for the one who typed it
 */
export function readFlags(args: readonly string[]): Flags {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: TEXTS,
    boolean: ["help"],
    unknown: (arg) => void unknown.push(arg),
  });
  const [first] = [...unknown, ...flags._.map(String)];
  if (first !== undefined) throw new Error(`unknown argument ${first}`);
  const empty = TEXTS.find((name) => flags[name] === "");
  if (empty !== undefined) throw new Error(`--${empty} needs a value`);
  const rounds = readNumber("rounds", flags.rounds ?? "3", 1, 1_000);
  if (!Number.isInteger(rounds)) throw new Error("--rounds needs a whole number");
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

function readNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= least && value <= most) return value;
  throw new Error(`--${name} needs a number from ${least} to ${most}, not ${JSON.stringify(text)}`);
}

function choosePeers(list: string | undefined): readonly Contestant[] {
  const peers = CONTESTANTS.filter(({ role }) => role === "peer");
  if (list === undefined) return peers.filter(({ onRequest }) => !onRequest);
  if (list === "none") return [];
  return list === "all" ? peers : choose("peers", list, peers);
}

/** Those of `all` whose names are in a list; all of them if there is no list. */
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
    throw new Error(`--${flag}: there is no ${wrong}; there are ${[...known].join(", ")}`);
  }
  return all.filter(({ name }) => names.includes(name));
}
