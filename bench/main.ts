// deno-lint-ignore-file no-console -- what it prints is what it is for
// `deno task bench`: calls a second beside the raw socket and, where `go` is installed, beside Go's net/rpc, and the
// memory of an idle connection. What counts are the ratios within one run; absolute figures belong to one machine and
// one hour. Client and server are processes of their own, on one core where `taskset` is installed: what is measured
// is then what one call costs both sides together, whatever else the machine is doing on the others.

import { parseArgs } from "@std/cli";

interface Peer {
  readonly name: string;
  readonly server: readonly string[];
  readonly client: (port: number, outstanding: number) => readonly string[];
}

const WORKLOADS = [
  { name: "one call in flight", outstanding: 1 },
  { name: "128 calls outstanding", outstanding: 128 },
] as const;

const flags = parseArgs(Deno.args, { default: { rounds: 5 } });
const rounds = Number(flags.rounds);
const worker = new URL("worker.ts", import.meta.url).pathname;
const deno = ["deno", "run", "--allow-net=127.0.0.1", "--allow-sys=systemMemoryInfo", worker];
const pinned = await succeeds("taskset", ["-c", "1", "true"]) ? ["taskset", "-c", "1"] : [];

const peers: Peer[] = [denoPeer("raw socket", "raw"), denoPeer("this library", "rpc")];
const netrpc = await buildNetRpc();
if (netrpc !== undefined) {
  peers.push({
    name: "Go net/rpc",
    server: [netrpc, "server"],
    client: (port, outstanding) => [netrpc, "client", String(port), String(outstanding)],
  });
}

function denoPeer(name: string, kind: string): Peer {
  return {
    name,
    server: [...deno, "server", kind],
    client: (port, outstanding) => [...deno, "client", kind, String(port), String(outstanding)],
  };
}

async function succeeds(command: string, args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Builds netrpc.go into a temporary folder; undefined where there is no Go. */
async function buildNetRpc(): Promise<string | undefined> {
  if (!await succeeds("go", ["version"])) return undefined;
  const program = `${await Deno.makeTempDir({ prefix: "bench-" })}/netrpc`;
  const source = new URL("netrpc.go", import.meta.url).pathname;
  return await succeeds("go", ["build", "-o", program, source]) ? program : undefined;
}

/** A process that talks in lines. */
class Process {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  #rest = "";

  constructor(command: readonly string[]) {
    const [program, ...args] = [...pinned, ...command];
    this.#child = new Deno.Command(program!, { args, stdin: "piped", stdout: "piped" }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#stdin = this.#child.stdin.getWriter();
  }

  async line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("A bench process ended early");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }

  async ask(): Promise<string> {
    await this.#stdin.write(new Uint8Array([10]));
    return await this.line();
  }

  async stop(): Promise<void> {
    await this.#stdin.close().catch(() => {});
    try {
      this.#child.kill();
    } catch {
      // It has ended already.
    }
    await this.#lines.cancel();
    await this.#child.status;
  }
}

async function callsPerSecond(peer: Peer, outstanding: number): Promise<number> {
  const server = new Process(peer.server);
  const client = new Process(peer.client(Number(await server.line()), outstanding));
  const calls = Number(await client.line());
  await client.stop();
  await server.stop();
  return calls;
}

/** Resident bytes of the server for each of 2 000 idle connections, the first 1 000 not counted. */
async function idleBytes(kind: string): Promise<number> {
  const server = new Process([...deno, "server", kind]);
  const port = await server.line();
  const idle = async (count: number) => {
    const process = new Process([...deno, "idle", kind, port, String(count)]);
    await process.line();
    return process;
  };
  const warm = await idle(1_000);
  const before = Number(await server.ask());
  const counted = await idle(2_000);
  const after = Number(await server.ask());
  for (const process of [warm, counted, server]) await process.stop();
  return (after - before) / 2_000;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

function spread(values: readonly number[]): string {
  return `±${((Math.max(...values) - Math.min(...values)) / median(values) * 50).toFixed(0)} %`;
}

console.log(
  `${rounds} rounds, ${pinned.length > 0 ? "both sides on one core" : "not pinned: no taskset here"}\n`,
);
for (const { name, outstanding } of WORKLOADS) {
  const results = new Map(peers.map((peer) => [peer, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const [peer, values] of results) values.push(await callsPerSecond(peer, outstanding));
  }
  console.log(name);
  const ours = [...results.values()][1]!;
  for (const [peer, values] of results) {
    const ratio = median(ours.map((calls, round) => calls / values[round]!));
    const figure = Math.round(median(values)).toLocaleString("en").padStart(11);
    const beside = values === ours ? "" : `this library makes ${ratio.toFixed(2)} times as many`;
    console.log(`  ${peer.name.padEnd(14)}${figure} calls/s ${spread(values).padEnd(7)} ${beside}`);
  }
  console.log();
}
console.log("memory of the server for each idle connection");
for (const [name, kind] of [["raw socket", "raw"], ["this library", "rpc"]] as const) {
  console.log(`  ${name.padEnd(14)}${(await idleBytes(kind) / 1024).toFixed(1).padStart(11)} KiB`);
}
if (netrpc === undefined) console.log("\nGo's net/rpc was left out: `go` is not installed");
