// deno-lint-ignore-file no-console -- what it prints is what it is for
// A server on several cores: as many processes as there are cores listen on the same port, and the system gives each
// connection to one of them. `deno task cores` runs it (--processes, --port) until it is stopped; each process then
// finishes the calls that it has accepted.

import { parseArgs } from "@std/cli";
import { Server } from "../mod.ts";

/** Ctrl-C, or a supervisor's stop. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) Deno.addSignalListener(signal, () => resolve());
  });
}

/** What every process offers. */
class Worker {
  readonly #name = `process ${Deno.pid}`;

  /** Says which process answers. */
  whoAmI(): string {
    return this.#name;
  }

  /** Adds up 0 to n - 1, the slow way. */
  work(n: number): number {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += i;
    return sum;
  }
}

/** One of the processes: listens, prints where, serves until it is stopped. */
async function serve(port: number): Promise<void> {
  const stopped = untilStopped();
  const server = new Server().register(new Worker());
  const { address } = await server.listen(`tcp@127.0.0.1:${port}`, { reusePort: true });
  console.log(address);
  await stopped;
  await server.shutdown();
  Deno.exit();
}

interface Child {
  readonly process: Deno.ChildProcess;
  readonly address: string;
}

/** Starts a process, and waits until it listens. */
async function start(port: number): Promise<Child> {
  const process = new Deno.Command("deno", {
    args: [
      "run",
      "--unstable-net",
      "--allow-net=127.0.0.1",
      import.meta.url,
      "--child",
      "--port",
      String(port),
    ],
    stdout: "piped",
  }).spawn();
  const lines = process.stdout.pipeThrough(new TextDecoderStream());
  const { value } = await lines.getReader().read();
  if (value === undefined) throw new Error("A process ended before it listened");
  return { process, address: value.trim() };
}

function stop(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGTERM");
  } catch {
    // It has ended already: Ctrl-C reaches all of them.
  }
}

async function main(processes: number, port: number): Promise<void> {
  const stopped = untilStopped();
  // The first one takes a port, if any will do; the others take the same.
  const first = await start(port);
  const chosen = Number(first.address.slice(first.address.lastIndexOf(":") + 1));
  const others = await Promise.all(Array.from({ length: processes - 1 }, () => start(chosen)));
  const children = [first, ...others];
  console.log(`${processes} processes at ${first.address}`);
  await stopped;
  for (const { process } of children) stop(process);
  await Promise.all(children.map(({ process }) => process.status));
  Deno.exit();
}

const flags = parseArgs(Deno.args, {
  string: ["processes", "port"],
  boolean: ["child"],
  default: { processes: String(navigator.hardwareConcurrency), port: "0" },
});
if (flags.child) await serve(Number(flags.port));
else await main(Number(flags.processes), Number(flags.port));
