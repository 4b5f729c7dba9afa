// The program, `deno task shortener`: parses the flags, starts the nodes, and shuts them down gracefully.

import { runAll } from "./cluster.ts";
import { type Flags, type MasterFlags, readFlags, type ReplicaFlags, USAGE } from "./flags.ts";
import { startMaster, startReplica } from "./node.ts";

/** How long in-flight requests may take to finish after a stop signal, in ms. */
const STOP_TIMEOUT = 5_000;

function print(line: string): void {
  // deno-lint-ignore no-console -- this is a program, and this is its output
  console.log(`shortener: ${line}`);
}

function printError(line: string): void {
  // deno-lint-ignore no-console -- as above
  console.error(`shortener: ${line}`);
}

/** Prints why the program cannot continue, and exits. */
function exit(code: number, message: string): never {
  printError(message);
  Deno.exit(code);
}

/** Aborts on Ctrl-C, or when a supervisor stops the program. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  // Windows has no SIGTERM.
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, () => controller.abort());
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function runNode(flags: MasterFlags | ReplicaFlags, stopping: AbortSignal): Promise<void> {
  const node = flags.kind === "master"
    ? await startMaster(flags, printError)
    : await startReplica(flags, printError, stopping);
  print(`${node.line}, pid ${Deno.pid}`);
  await Promise.race([aborted(stopping), node.failed]);
  // A slow request must not delay the exit for longer. Acknowledged writes are on disk.
  setTimeout(() => Deno.exit(0), STOP_TIMEOUT);
  await node.stop();
}

async function main(args: readonly string[]): Promise<void> {
  let flags: Flags;
  try {
    flags = readFlags(args);
  } catch (error) {
    exit(2, `${(error as Error).message}; see --help`);
  }
  if (flags.kind === "help") {
    // deno-lint-ignore no-console -- as above
    return console.log(USAGE.trimEnd());
  }
  // Listen for signals before printing the address: a signal right after that line must stop the program
  // gracefully.
  const stopping = stopSignal();
  try {
    if (flags.kind === "all") await runAll(flags, print, aborted(stopping));
    else await runNode(flags, stopping);
  } catch (error) {
    if (!stopping.aborted) exit(1, (error as Error).message);
  }
  Deno.exit(0);
}

if (import.meta.main) await main(Deno.args);
