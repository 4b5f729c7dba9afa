// The registry as a program: `deno task registry`. Not part of the package's exports.

import { parseArgs } from "@std/cli";
import { isLoopback } from "../transport/secure.ts";
import { EtcdStore } from "./etcd_store.ts";
import { Registry } from "./registry.ts";
import { type HttpServer, serveHttp } from "./serve.ts";

const USAGE = `Serve a registry of RPC servers over HTTP, at /_rpc_/registry, with a page at /

Usage: deno task registry [options]

  --port PORT      Port to listen on, 0 for any free one (9999)
  --host HOST      Address to listen on (127.0.0.1: this machine only; 0.0.0.0 for all)
  --ttl MS         How long a server stays listed after its last heartbeat, or none (10000)
  --store STORE    Where the list is kept: memory, or etcd@http://127.0.0.1:2379 to share it with
                   other registries; the members of a cluster are separated by commas (memory)
  --protect-reads  Ask for the token to read the list, too
  --help           Print this

If the variable REGISTRY_TOKEN is set, who changes the list must show it: Authorization: Bearer TOKEN
Of several tokens, separated by spaces, each one is valid
`;
/** How long requests under way may take to end when the program is told to stop, in ms. */
const STOP_TIMEOUT = 1_000;

interface Flags {
  port: number;
  host: string;
  ttl: number;
  store: string;
  protectReads: boolean;
  help: boolean;
}

/** Reads the command line. Throws an Error with a message for the one who typed it. */
function readFlags(args: readonly string[]): Flags {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["port", "host", "ttl", "store"],
    boolean: ["help", "protect-reads"],
    default: { port: "9999", host: "127.0.0.1", ttl: "10000", store: "memory" },
    unknown: (arg) => void unknown.push(arg),
  });
  const [first] = [...unknown, ...flags._.map(String)];
  if (first !== undefined) throw new Error(`unknown argument ${first}`);
  if (flags.host === "") throw new Error("--host needs an address to listen on");
  return {
    port: readNumber("port", flags.port, 65535),
    host: flags.host,
    ttl: flags.ttl === "none" ? Infinity : readNumber("ttl", flags.ttl, 3_600_000, 1),
    store: flags.store,
    protectReads: flags["protect-reads"],
    help: flags.help,
  };
}

function readNumber(name: string, text: string, max: number, min = 0): number {
  const value = Number(text);
  if (/^[0-9]{1,9}$/.test(text) && value >= min && value <= max) return value;
  const none = min > 0 ? ", or none" : "";
  throw new Error(`--${name} needs a whole number from ${min} to ${max}${none}, not ${JSON.stringify(text)}`);
}

/** Opens what --store names. Undefined is the registry's own, in memory. */
function openStore(store: string): EtcdStore | undefined {
  if (store === "memory") return undefined;
  if (!store.startsWith("etcd@")) {
    throw new Error(`--store needs memory or etcd@http://HOST:PORT, not ${JSON.stringify(store)}`);
  }
  try {
    return new EtcdStore(store.slice("etcd@".length).split(","), { log: printError });
  } catch {
    throw new Error(`--store needs URLs such as etcd@http://127.0.0.1:2379, not ${JSON.stringify(store)}`);
  }
}

/** Whether changes need a token. */
function hasToken(): boolean {
  return readTokens() !== undefined;
}

/** The tokens that are valid, if there are any. */
function readTokens(): string[] | undefined {
  return Deno.env.get("REGISTRY_TOKEN")?.match(/[^ ]+/g) ?? undefined;
}

function openRegistry({ ttl, protectReads }: Flags, store: EtcdStore | undefined): Registry {
  const token = readTokens();
  if (protectReads && !hasToken()) {
    throw new Error("--protect-reads needs the variable REGISTRY_TOKEN");
  }
  try {
    return new Registry({ ttl, store, token, protectReads, log: printError });
  } catch (error) {
    throw new Error(`REGISTRY_TOKEN: ${(error as Error).message}`);
  }
}

function print(line: string): void {
  // deno-lint-ignore no-console -- this is a program, and this is its output
  console.log(line);
}

function printError(line: string): void {
  // deno-lint-ignore no-console -- as above
  console.error(line);
}

/** Prints why the program cannot go on, and ends it. */
function exit(code: number, message: string): never {
  printError(`registry: ${message}`);
  Deno.exit(code);
}

function listen(registry: Registry, { host, port, ttl }: Flags): HttpServer {
  try {
    const log = (message: string) => printError(`registry: ${message}`);
    const server = serveHttp({ hostname: host, port, log }, registry.fetch);
    const hostname = host.includes(":") ? `[${host}]` : host;
    const where = `http://${hostname}:${server.addr.port}/_rpc_/registry`;
    print(`registry: listening on ${where} (leases of ${ttl} ms)`);
    if (!hasToken() && !isLoopback(server.addr.hostname)) {
      printError(
        "registry: anyone who can reach it may change the list; set REGISTRY_TOKEN to ask for a token",
      );
    }
    return server;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      exit(1, `cannot listen on ${host}:${port}, the port is in use; choose another with --port`);
    }
    exit(1, `cannot listen on ${host}:${port}: ${(error as Error).message}`);
  }
}

/** Resolves when the program is told to stop, by Ctrl-C or by a supervisor. */
function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    // Windows knows no SIGTERM.
    const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
    const stop = () => {
      for (const signal of signals) Deno.removeSignalListener(signal, stop);
      resolve();
    };
    for (const signal of signals) Deno.addSignalListener(signal, stop);
  });
}

async function main(args: readonly string[]): Promise<void> {
  let flags: Flags;
  let store: EtcdStore | undefined;
  let registry: Registry;
  try {
    flags = readFlags(args);
    if (flags.help) return print(USAGE.trimEnd());
    store = openStore(flags.store);
    registry = openRegistry(flags, store);
  } catch (error) {
    exit(2, `${(error as Error).message}; see --help`);
  }
  // Heard from the start: a signal just after the line is printed must not kill.
  const stopped = untilStopped();
  const server = listen(registry, flags);
  await stopped;
  await registry.close();
  const timer = setTimeout(() => Deno.exit(0), STOP_TIMEOUT);
  await server.shutdown();
  await store?.close();
  clearTimeout(timer);
}

if (import.meta.main) await main(Deno.args);
