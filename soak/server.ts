// A server to be stopped, killed and cut off: a process of its own. It notes every call that it executes in a file,
// before anything else, since what has been written survives SIGKILL.
//   server.ts FILE PORT    prints its process id and its address; for every line on stdin, what it holds

import { type CallContext, RpcError, Server } from "../mod.ts";
import type { Code } from "../call/error.ts";
import { memory } from "./meter.ts";

const [file, port] = [Deno.args[0]!, Deno.args[1]!];
const executed = Deno.openSync(file, { write: true, create: true, append: true });

/** What every argument and every item carries: the number of its call. */
interface Numbered {
  readonly id: number;
}

function note({ id }: Numbered): void {
  if (executed.writeSync(new Uint8Array(Uint32Array.of(id).buffer)) !== 4) {
    throw new Error("The note is torn");
  }
}

function say(line: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}

const server = new Server({ frameTimeout: 2_000, writeTimeout: 2_000 }).register("Soak", {
  echo(args: Numbered) {
    note(args);
    return args;
  },
  wait(args: Numbered & { ms: number }, { signal }: CallContext) {
    note(args);
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
    note(args);
    throw new RpcError(args.code, `Call ${args.id} fails`, { details: args });
  },
  async *up(args: Numbered & { count: number }) {
    note(args);
    for (let i = 0; i < args.count; i++) {
      if (i % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 1));
      yield { id: args.id, i };
    }
  },
  async sum(items: AsyncIterable<Numbered & { n: number }>) {
    let sum = 0;
    let id = 0;
    for await (const item of items) {
      if (id === 0) note(item);
      id = item.id;
      sum += item.n;
    }
    return { id, sum };
  },
  async *double(items: AsyncIterable<Numbered & { n: number }>) {
    let first = true;
    for await (const item of items) {
      if (first) note(item);
      first = false;
      yield { id: item.id, n: 2 * item.n };
    }
  },
});

// The port of a server that was killed may be held for a moment by what is left of its connections.
let address: string | undefined;
for (let left = 100; address === undefined; left--) {
  try {
    ({ address } = await server.listen(`tcp@127.0.0.1:${port}`));
  } catch (error) {
    if (left === 0 || !(error instanceof Deno.errors.AddrInUse)) throw error;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
say({ pid: Deno.pid, address });

Deno.addSignalListener("SIGTERM", async () => {
  await server.shutdown({ grace: 1_000 });
  Deno.exit();
});

for await (const _ of Deno.stdin.readable) {
  const { connections, inFlight } = server.stats();
  say({ ...await memory(), connections, inFlight });
}
Deno.exit();
