// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task conformance`: tests servers and clients against the protocol, using all cases of docs/vectors.
// See docs/CONFORMANCE.md.

import { parseArgs } from "@std/cli";
import { casesOf } from "./cases.ts";
import { conformanceServer } from "./service.ts";
import { OwnClient } from "./client.ts";
import { ClientProcess } from "./process.ts";
import { checkClient, checkServer, isSelected, type Outcome, PATIENCE, type RunOptions } from "./run.ts";

const HELP = `Tests an implementation for conformance with the protocol (docs/CONFORMANCE.md).

  deno task conformance                        this library's own server and client
  deno task conformance 127.0.0.1:9000         a server with the service Conformance
  deno task conformance --client 'COMMAND'     a client started by COMMAND, controlled by lines of JSON

  --filter TEXT      run only cases whose id contains TEXT
  --list             list the cases without running them
  --json             print one JSON array of outcomes
  --patience MS      timeout of each wait (${PATIENCE})
  --verbose          print every case, not only those that failed

The exit code is 0 if no case failed, 1 if one did, 2 if none could run.`;

const args = parseArgs(Deno.args, {
  boolean: ["help", "list", "json", "verbose"],
  string: ["client", "filter", "patience", "_"],
  unknown: (flag) => {
    if (!flag.startsWith("-")) return true;
    console.error(`Unknown flag ${flag}\n\n${HELP}`);
    Deno.exit(2);
  },
});

/** The runs selected by the arguments. */
function runs(options: RunOptions): (() => Promise<Outcome[]>)[] {
  const [address] = args._.map(String);
  if (args.client !== undefined) {
    return [async () => {
      await using client = await ClientProcess.start(args.client!);
      return await checkClient(client, options);
    }];
  }
  if (address !== undefined) return [() => checkAddress(address, options)];
  return [async () => {
    await using server = conformanceServer();
    return await checkAddress((await server.listen("tcp@127.0.0.1:0")).address, options);
  }, async () => {
    await using client = new OwnClient();
    return await checkClient(client, options);
  }];
}

async function checkAddress(address: string, options: RunOptions): Promise<Outcome[]> {
  const [, hostname, port] = /^(?:tcp@)?\[?([^\]]+)\]?:(\d+)$/.exec(address) ?? [];
  if (hostname === undefined) throw new TypeError(`Cannot connect to "${address}": expected host:port`);
  return await checkServer(hostname, Number(port), options);
}

function print({ id, role, outcome, section, about, reason, unknownTag, trace = [] }: Outcome): void {
  if (outcome !== "failed" && !args.verbose) return;
  const note = reason ?? (unknownTag === undefined ? undefined : `does not know tag ${unknownTag}`);
  console.log(`${outcome.padEnd(7)} ${role} ${id}${note === undefined ? "" : `: ${note}`}`);
  if (outcome !== "failed") return;
  console.log(`        must: ${about} (docs/PROTOCOL.md, "${section}")`);
  for (const line of trace) console.log(`        ${line}`);
}

function printSummary(all: readonly Outcome[]): void {
  for (const role of ["server", "client"] as const) {
    const tags = new Set(all.flatMap((each) => each.role === role ? each.unknownTag ?? [] : []));
    if (tags.size > 0) {
      console.log(`The ${role} does not know these tags, which it need not: ${[...tags].join(", ")}`);
    }
    const reasons = Map.groupBy(
      all.filter((each) => each.role === role && each.outcome === "skipped"),
      ({ reason }) => reason,
    );
    for (const [reason, { length }] of reasons) console.log(`${length} skipped (${role}), ${reason}`);
  }
  console.log(
    `${count(all, "passed")} passed, ${count(all, "failed")} failed, ${count(all, "skipped")} skipped`,
  );
}

function count(all: readonly Outcome[], outcome: Outcome["outcome"]): number {
  return all.filter((each) => each.outcome === outcome).length;
}

async function main(): Promise<number> {
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  if (args.list) {
    for (const role of ["server", "client"] as const) {
      for (const { id, about } of casesOf(role)) {
        if (isSelected(id, args.filter)) console.log(`${role} ${id}: ${about}`);
      }
    }
    return 0;
  }
  const patience = args.patience === undefined ? PATIENCE : Number(args.patience);
  if (!(patience > 0)) throw new RangeError(`--patience: expected a number above 0, got ${args.patience}`);
  const all: Outcome[] = [];
  for (const run of runs({ filter: args.filter, patience, onOutcome: args.json ? undefined : print })) {
    all.push(...await run());
  }
  if (args.json) console.log(JSON.stringify(all, null, 1));
  else printSummary(all);
  return count(all, "failed") > 0 ? 1 : count(all, "passed") > 0 ? 0 : 2;
}

try {
  Deno.exit(await main());
} catch (error) {
  console.error((error as Error).message);
  Deno.exit(2);
}
