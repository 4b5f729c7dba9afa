// deno-lint-ignore-file no-console -- the output is this program's purpose
// The main use case in one process: a registry, two servers that announce themselves, and a client that
// discovers them. `deno task demo` runs it; it prints one line per call, and the exit code is 0 only if every
// call had the expected outcome.

import { announce, connect, Registry, RegistryDiscovery, RpcError, Server } from "../mod.ts";
import type { CallContext, Client, ServerStats } from "../mod.ts";

/** The service of both servers. */
class Foo {
  /** Adds two numbers. */
  sum([a, b]: [number, number]): number {
    return a + b;
  }

  /** Sleeps `a` times 0.8 s, then adds two numbers. Wakes up when the call is canceled. */
  async sleep([a, b]: [number, number], { signal }: CallContext): Promise<number> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, a * 800);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
    return a + b;
  }
}

/** Timeout of a broadcast of `Foo.sleep`, in ms: sleeps of 0, 0.8 and 1.6 s finish in time. */
const SLEEP_TIMEOUT = 2_000;

let calls = 0;
let timedOut = 0;
let failures = 0;

/** Waits for a call, prints its line, and compares the outcome with the expected one. */
async function show(what: string, outcome: Promise<unknown>, expected: unknown): Promise<void> {
  calls++;
  let got: unknown;
  try {
    got = await outcome;
    console.log(`${what} = ${got}`);
  } catch (error) {
    got = error instanceof RpcError ? error.code : String(error);
    console.log(`${what}: ${got}`);
  }
  if (got === "deadline_exceeded" && expected === got) timedOut++;
  if (got !== expected) {
    failures++;
    console.log(`  expected ${expected}`);
  }
}

/** Runs `each` concurrently for 0 to 4. */
function five(each: (i: number) => Promise<void>): Promise<void[]> {
  return Promise.all([0, 1, 2, 3, 4].map(each));
}

async function callAll(client: Client): Promise<void> {
  const foo = client.service<Foo>("Foo");
  await five((i) => show(`call Foo.sum(${i}, ${i * i})`, foo.sum([i, i * i]), i + i * i));
  await five((i) =>
    show(`broadcast Foo.sum(${i}, ${i * i})`, client.broadcast("Foo.sum", [i, i * i]), i + i * i)
  );
  await five((i) => {
    const late = i * 800 > SLEEP_TIMEOUT;
    const call = client.broadcast("Foo.sleep", [i, i * i], { timeout: SLEEP_TIMEOUT });
    return show(`broadcast Foo.sleep(${i}, ${i * i})`, call, late ? "deadline_exceeded" : i + i * i);
  });
}

/** Fetches the call counts from a server's debug page. */
async function counts(httpAddress: string): Promise<ServerStats> {
  const url = `${httpAddress.replace("@", "://")}/debug/rpc`;
  const response = await fetch(url, { headers: { accept: "application/json" } });
  return await response.json();
}

async function startServer(registryUrl: string) {
  const server = new Server().register(new Foo());
  const tcp = await server.listen("tcp@127.0.0.1:0");
  const http = await server.listen("http@127.0.0.1:0");
  const registration = await announce(registryUrl, { address: tcp.address, services: ["Foo"] });
  console.log(`server: ${tcp.address}, ${http.address}`);
  return {
    tcp: tcp.address,
    http: http.address,
    async [Symbol.asyncDispose]() {
      await registration.close();
      await server.shutdown();
    },
  };
}

async function main(): Promise<void> {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const registryUrl = `http://127.0.0.1:${web.addr.port}/_rpc_/registry`;
  console.log(`registry: ${registryUrl}`);
  await using first = await startServer(registryUrl);
  await using second = await startServer(registryUrl);
  {
    await using client = await connect(new RegistryDiscovery(registryUrl));
    await callAll(client);
    await using overHttp = await connect(first.http);
    await show(`call Foo.sum(20, 22) over ${first.http}`, overHttp.call("Foo.sum", [20, 22]), 42);
  }
  const all = await Promise.all([first, second].map(({ http }) => counts(http)));
  for (const [i, { methods }] of all.entries()) {
    const list = methods.map(({ method, calls, errors }) => `${method} ${calls} calls, ${errors} errors`);
    console.log(`debug page of server ${i + 1}: ${list.join("; ")}`);
  }
  const started = all.flatMap(({ methods }) => methods).reduce((sum, { calls }) => sum + calls, 0);
  // Five calls, two broadcasts of five to two servers each, and one call over HTTP.
  if (started !== 26) {
    failures++;
    console.log(`  expected 26 calls on the debug pages, got ${started}`);
  }
}

await main();
const verdict = failures === 0 ? "as expected" : `as expected, ${failures} went wrong`;
console.log(`demo: ${calls} calls, ${timedOut} timed out ${verdict}`);
Deno.exitCode = failures === 0 ? 0 : 1;
