// deno-lint-ignore-file no-console -- the output is this program's purpose
// A distributed cache as a program: one peer, or without --registry a registry and three peers to try it out.
// `deno task cache` runs it until it is stopped. README.md shows requests to try.

import { Registry, RegistryDiscovery, serveHttp } from "@troodon/rpc";
import { parseArgs } from "@std/cli";
import { createGroups } from "./groups.ts";
import { startNode } from "./node.ts";

const USAGE = `A distributed cache: peers that each own a share of the keys, with an HTTP interface

Usage: deno task cache [options]

Without options it starts a registry and three peers, and prints commands to try.

  --registry URL     Start one peer, which finds the others through this registry
  --http HOST:PORT   Where that peer serves HTTP, port 0 for any free one (127.0.0.1:0)
  --rpc ADDRESS      Where it serves the other peers (tcp@127.0.0.1:0)
  --max-bytes BYTES  Maximum bytes of each group of a peer (67108864)
  --help             Print this help
`;
const PEERS = 3;

interface Flags {
  readonly registry?: string;
  readonly http: { readonly hostname: string; readonly port: number };
  readonly rpc: string;
  readonly maxBytes: number;
  readonly help: boolean;
  /** Whether to end when standard input closes, which happens when the parent process ends. */
  readonly child: boolean;
}

/** Parses the command line. Throws an Error with a message for the user. */
function readFlags(args: readonly string[]): Flags {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["registry", "http", "rpc", "max-bytes"],
    boolean: ["help", "child"],
    unknown: (arg) => void unknown.push(arg),
  });
  const [first] = [...unknown, ...flags._.map(String)];
  if (first !== undefined) throw new Error(`unknown argument ${first}`);
  const { registry, http, rpc } = flags;
  if (registry !== undefined && !/^https?:\/\//.test(registry)) {
    throw new Error(
      `--registry: expected a URL such as http://127.0.0.1:9999, got ${JSON.stringify(registry)}`,
    );
  }
  if (registry === undefined && (http !== undefined || rpc !== undefined)) {
    throw new Error(`--${http === undefined ? "rpc" : "http"} starts one peer, which needs --registry`);
  }
  return {
    registry,
    http: readHttp(http ?? "127.0.0.1:0"),
    rpc: rpc ?? "tcp@127.0.0.1:0",
    maxBytes: readBytes(flags["max-bytes"] ?? "67108864"),
    help: flags.help,
    child: flags.child,
  };
}

function readHttp(text: string): Flags["http"] {
  const [, hostname, port] = /^(?:\[(?=.*\]))?([^[\]]+)\]?:([0-9]{1,5})$/.exec(text) ?? [];
  if (hostname !== undefined && Number(port) <= 65535) return { hostname, port: Number(port) };
  throw new Error(`--http: expected HOST:PORT, such as 127.0.0.1:8080, got ${JSON.stringify(text)}`);
}

function readBytes(text: string): number {
  if (/^[0-9]{1,15}$/.test(text) && Number(text) > 0) return Number(text);
  throw new Error(`--max-bytes: expected a whole number from 1, got ${JSON.stringify(text)}`);
}

/** Resolves with the exit code on Ctrl-C, or when a supervisor stops the program. */
function untilStopped(): Promise<number> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => resolve(0));
  });
}

/**
 * Resolves when the parent process has ended, even if it was killed: its end of the standard input closes.
 */
async function untilOrphaned(): Promise<void> {
  for await (const _chunk of Deno.stdin.readable) {
    // The parent never writes.
  }
}

/** Runs one peer until it is stopped. */
async function runPeer({ http, rpc, maxBytes, child }: Flags, registry: string): Promise<number> {
  const stopped = untilStopped();
  const log = (message: string) => console.error(`cache: ${message}`);
  await using node = await startNode({ http, rpc, registry, groups: createGroups, maxBytes, log });
  console.log(`cache: ${node.url} (${node.address})`);
  return await new Promise((resolve) => {
    stopped.then(resolve);
    if (child) untilOrphaned().then(() => resolve(0));
    node.failed.then((error) => {
      log(error.message);
      resolve(1);
    });
  });
}

interface Child {
  readonly process: Deno.ChildProcess;
  readonly url: string;
}

/** Starts a peer as a process, and waits until it serves. */
async function startChild(registry: string, maxBytes: number): Promise<Child> {
  const process = new Deno.Command("deno", {
    args: [
      "run",
      "--quiet",
      "--allow-net=127.0.0.1",
      import.meta.url,
      `--registry=${registry}`,
      `--max-bytes=${maxBytes}`,
      "--child",
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const url = /^cache: (\S+)/.exec((await reader.read()).value ?? "")?.[1];
  if (url === undefined) throw new Error("a peer exited before it was ready");
  return { process, url };
}

/** Runs a registry and three peers until they are stopped. */
async function runAll({ maxBytes }: Flags): Promise<number> {
  const stopped = untilStopped();
  await using registry = new Registry();
  await using web = serveHttp({ hostname: "127.0.0.1", port: 0, log: console.error }, registry.fetch);
  const registryUrl = `http://127.0.0.1:${web.addr.port}`;
  const children = await Promise.all(Array.from({ length: PEERS }, () => startChild(registryUrl, maxBytes)));
  for await (const endpoints of new RegistryDiscovery(registryUrl).watch()) {
    if (endpoints.length === PEERS) break;
  }
  let stopping = false;
  const ends = children.map(async ({ process, url }) => {
    const { code, signal } = await process.status;
    if (!stopping) console.log(`The peer at ${url} has ended (${signal ?? `code ${code}`})`);
  });
  const [first, second] = children;
  console.log(`registry: ${registryUrl}/`);
  for (const { url, process } of children) console.log(`peer:     ${url} (process ${process.pid})`);
  console.log(`
Try:
  curl '${first!.url}api?group=scores&key=Tom'
  curl -i '${second!.url}api?group=squares&key=12'
  curl ${first!.url}stats
  kill -9 ${second!.process.pid}
  deno task cache --registry ${registryUrl}
`);
  const code = await stopped;
  stopping = true;
  for (const { process } of children) stop(process);
  await Promise.all(ends);
  return code;
}

function stop(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGTERM");
  } catch {
    // It has already ended: Ctrl-C is sent to all of them.
  }
}

/** Prints why the program cannot continue, and exits. */
function exit(code: number, error: unknown, hint = ""): never {
  console.error(`cache: ${(error as Error).message}${hint}`);
  Deno.exit(code);
}

async function main(): Promise<void> {
  let flags: Flags;
  try {
    flags = readFlags(Deno.args);
  } catch (error) {
    exit(2, error, "; see --help");
  }
  if (flags.help) return console.log(USAGE.trimEnd());
  try {
    const { registry } = flags;
    const code = registry === undefined ? await runAll(flags) : await runPeer(flags, registry);
    Deno.exit(code);
  } catch (error) {
    exit(1, error);
  }
}

await main();
