// The registry as a command-line program, run by `deno task registry`. Not part of the package's exports.

import { parseArgs } from "@std/cli";
import { isLoopback } from "../transport/secure.ts";
import { urlHost } from "../discovery/endpoint.ts";
import { EtcdStore } from "./etcd_store.ts";
import { Registry } from "./registry.ts";
import { type HttpServer, serveHttp } from "./serve.ts";

const USAGE = `Serve a registry of RPC servers over HTTP, at /_rpc_/registry, with a page at /

Usage: deno task registry [options]

  --port PORT      Port to listen on, 0 for any free one (9999)
  --host HOST      Address to listen on (127.0.0.1: this machine only; 0.0.0.0 for all)
  --ttl MS         How long a server stays listed after its last heartbeat, 0 without limit (10000)
  --store STORE    Where the list is kept: memory, or etcd@http://127.0.0.1:2379 to share it with
                   other registries; the members of a cluster are separated by commas (memory)
  --protect-reads  Require the token for reading the list, too
  --help           Print this help

If REGISTRY_TOKEN is set, changes to the list need that token: Authorization: Bearer TOKEN
Several tokens, separated by spaces, are all valid
`;
/** How long in-flight requests may take to finish after a stop signal, in ms. */
const STOP_TIMEOUT = 1_000;

interface Flags {
  port: number;
  host: string;
  ttl: number;
  store: string;
  protectReads: boolean;
  help: boolean;
}

/** Parses the command line. Throws an Error with a message for the user. */
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
  if (flags.host === "") throw new Error("--host: expected an address to listen on");
  return {
    port: readNumber("port", flags.port, 65535),
    host: urlHost(flags.host),
    ttl: readNumber("ttl", flags.ttl, 3_600_000),
    store: flags.store,
    protectReads: flags["protect-reads"],
    help: flags.help,
  };
}

function readNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (/^[0-9]{1,9}$/.test(text) && value <= max) return value;
  throw new Error(`--${name}: expected a whole number from 0 to ${max}, got ${JSON.stringify(text)}`);
}

/** Opens the store given by --store. Undefined for the registry's own, in memory. */
function openStore(store: string): EtcdStore | undefined {
  if (store === "memory") return undefined;
  if (!store.startsWith("etcd@")) {
    throw new Error(`--store: expected memory or etcd@http://HOST:PORT, got ${JSON.stringify(store)}`);
  }
  try {
    return new EtcdStore(store.slice("etcd@".length).split(","), { log: printError });
  } catch {
    throw new Error(
      `--store: expected URLs such as etcd@http://127.0.0.1:2379, got ${JSON.stringify(store)}`,
    );
  }
}

/** Whether changes need a token. */
function hasToken(): boolean {
  return readTokens() !== undefined;
}

/** The valid tokens, or undefined if none is set. */
function readTokens(): string[] | undefined {
  return Deno.env.get("REGISTRY_TOKEN")?.match(/[^ ]+/g) ?? undefined;
}

function openRegistry({ ttl, protectReads }: Flags, store: EtcdStore | undefined): Registry {
  const token = readTokens();
  if (protectReads && !hasToken()) {
    throw new Error("--protect-reads needs the environment variable REGISTRY_TOKEN");
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

/** Prints why the program cannot continue, and exits. */
function exit(code: number, message: string): never {
  printError(`registry: ${message}`);
  Deno.exit(code);
}

function listen(registry: Registry, { host, port, ttl }: Flags): HttpServer {
  try {
    const log = (message: string) => printError(`registry: ${message}`);
    const server = serveHttp({ hostname: host, port, log }, registry.fetch);
    const where = `http://${host}:${server.addr.port}/_rpc_/registry`;
    print(`registry: listening on ${where} (leases of ${ttl} ms)`);
    if (!hasToken() && !isLoopback(server.addr.hostname)) {
      printError(
        "registry: any client that can reach it may change the list; set REGISTRY_TOKEN to require a token",
      );
    }
    return server;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      exit(1, `cannot listen on ${host}:${port}: the port is in use; choose another with --port`);
    }
    exit(1, `cannot listen on ${host}:${port}: ${(error as Error).message}`);
  }
}

/** Resolves on Ctrl-C, or when a supervisor stops the program. */
function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    // Windows has no SIGTERM.
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
  // Listen for signals before printing the address: a signal right after that line must stop the program
  // gracefully.
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
