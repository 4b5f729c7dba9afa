// A server that is suspended, killed and disconnected, run as a process. It logs every call to a file before
// executing it: what has been written survives SIGKILL.
//   server.ts FILE PORT    prints its process id and its address; for every line on stdin, its state

import { type CallContext, RpcError, Server } from "../mod.ts";
import type { Code } from "../call/error.ts";
import { memory } from "./meter.ts";

const [file, port] = [Deno.args[0]!, Deno.args[1]!];
const executed = Deno.openSync(file, { write: true, create: true, append: true });

/** Every argument and item carries the number of its call. */
interface Numbered {
  readonly id: number;
}

function logExecution({ id }: Numbered): void {
  if (executed.writeSync(new Uint8Array(Uint32Array.of(id).buffer)) !== 4) {
    throw new Error("The log entry was written partially");
  }
}

function print(line: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}

const server = new Server({ frameTimeout: 2_000, writeTimeout: 2_000 }).register("Soak", {
  echo(args: Numbered) {
    logExecution(args);
    return args;
  },
  wait(args: Numbered & { ms: number }, { signal }: CallContext) {
    logExecution(args);
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve(args);
      };
      const timer = setTimeout(done, args.ms);
      signal.addEventListener("abort", done);
    });
  },
  fail(args: Numbered & { code: Code }) {
    logExecution(args);
    throw new RpcError(args.code, `Call ${args.id} fails`, { details: args });
  },
  async *up(args: Numbered & { count: number }) {
    logExecution(args);
    for (let i = 0; i < args.count; i++) {
      if (i % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 1));
      yield { id: args.id, i };
    }
  },
  async sum(items: AsyncIterable<Numbered & { n: number }>) {
    let sum = 0;
    let id = 0;
    for await (const item of items) {
      if (id === 0) logExecution(item);
      id = item.id;
      sum += item.n;
    }
    return { id, sum };
  },
  async *double(items: AsyncIterable<Numbered & { n: number }>) {
    let first = true;
    for await (const item of items) {
      if (first) logExecution(item);
      first = false;
      yield { id: item.id, n: 2 * item.n };
    }
  },
});

// The port of a killed server may stay occupied for a moment by its old connections.
let address: string | undefined;
for (let remaining = 100; address === undefined; remaining--) {
  try {
    ({ address } = await server.listen(`tcp@127.0.0.1:${port}`));
  } catch (error) {
    if (remaining === 0 || !(error instanceof Deno.errors.AddrInUse)) throw error;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
print({ pid: Deno.pid, address });

Deno.addSignalListener("SIGTERM", async () => {
  await server.shutdown({ grace: 1_000 });
  Deno.exit();
});

for await (const _ of Deno.stdin.readable) {
  const { connections, inFlight } = server.stats();
  print({ ...await memory(), connections, inFlight });
}
Deno.exit();
