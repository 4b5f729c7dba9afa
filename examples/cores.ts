// deno-lint-ignore-file no-console -- the output is this program's purpose
// A server on several cores: one process per core listens on the same port, and the system distributes the
// connections. `deno task cores` runs it (--processes, --port) until it is stopped; each process then
// finishes its accepted calls.

import { parseArgs } from "@std/cli";
import { Server } from "../mod.ts";

/** Ctrl-C, or a stop by a supervisor. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) Deno.addSignalListener(signal, () => resolve());
  });
}

/** The service of every process. */
class Worker {
  readonly #name = `process ${Deno.pid}`;

  /** Returns the name of the process that answers. */
  whoAmI(): string {
    return this.#name;
  }

  /** Adds up 0 to n - 1, as CPU-bound work. */
  work(n: number): number {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += i;
    return sum;
  }
}

/** Runs one process: listens, prints its address, serves until it is stopped. */
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
  if (value === undefined) throw new Error("A process exited before it was ready");
  return { process, address: value.trim() };
}

function stop(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGTERM");
  } catch {
    // It has already ended: Ctrl-C is sent to all of them.
  }
}

async function main(processes: number, port: number): Promise<void> {
  const stopped = untilStopped();
  // The first process chooses the port, unless it is given; the others share it.
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
