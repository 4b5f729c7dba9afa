// Parses the command line, and determines the kind of node to start.

import { parseArgs } from "@std/cli";
import { RegistryDiscovery } from "@troodon/rpc";
import { parseAddress, urlHost } from "@troodon/rpc/discovery";

/** The output of `--help`. */
export const USAGE = `Shorten URLs: a master that stores them in a file, and replicas that query it by RPC

Usage: deno task shortener [options]

A master:    --rpc 9000 [--file FILE] [--registry URL]
A replica:   --master 127.0.0.1:9000, or --registry URL
All at once: none of these; a master and two replicas, each a process

  --http [HOST:]PORT   Where to listen for browsers, 0 for any free port (8080; all at once, the replicas
                       take the next two)
  --host HOST[:PORT]   Host of short URLs, or their whole origin: https://sho.rt (that of --http)
  --rpc [HOST:]PORT    Where the master listens for replicas, 0 for any free port
  --file FILE          File in which the master stores the URLs (data/shortener.db)
  --master HOST:PORT   Address of the master, also in the form it prints: tcp@127.0.0.1:9000
  --registry URL       Registry at which the master announces itself and replicas find it
  --help               Print this help

Without a host, only this machine can connect; 0.0.0.0 listens on all of its addresses.
`;

/** An address to listen on. */
export interface Place {
  readonly hostname: string;
  readonly port: number;
}

/** Flags of every node. */
interface FrontFlags {
  readonly http: Place;
  /** The origin of short URLs. */
  readonly origin: string | undefined;
}

/** A node that stores the URLs. */
export interface MasterFlags extends FrontFlags {
  readonly kind: "master";
  readonly rpc: Place;
  readonly file: string;
  readonly registry: string | undefined;
}

/** A node that queries the master, given by one of `master` and `registry`. */
export interface ReplicaFlags extends FrontFlags {
  readonly kind: "replica";
  readonly master: string | undefined;
  readonly registry: string | undefined;
}

/** All nodes, to try them out. */
export interface AllFlags {
  readonly kind: "all";
  readonly http: Place;
  readonly file: string;
}

/** The parsed command line. */
export type Flags = MasterFlags | ReplicaFlags | AllFlags | { readonly kind: "help" };

const NAMES = ["http", "host", "rpc", "file", "master", "registry"] as const;
const FILE = "data/shortener.db";

/** Parses the command line. Throws an Error with a message for the user. */
export function readFlags(args: readonly string[]): Flags {
  const unknown: string[] = [];
  const given = parseArgs(args, {
    string: NAMES,
    boolean: ["help"],
    collect: NAMES,
    unknown: (arg) => void unknown.push(arg),
  });
  const [first] = [...unknown, ...given._.map(String)];
  if (first !== undefined) throw new Error(`unknown argument ${first}`);
  if (given.help) return { kind: "help" };
  const flags: Partial<Record<typeof NAMES[number], string>> = {};
  for (const name of NAMES) {
    const values = given[name] as string[];
    if (values.length > 1) throw new Error(`--${name} was given twice`);
    if (values[0] === "") throw new Error(`--${name}: expected a value`);
    if (values[0] !== undefined) flags[name] = values[0];
  }
  const http = readPlace("http", flags.http ?? "8080");
  const origin = flags.host === undefined ? undefined : readOrigin(flags.host);
  const registry = flags.registry === undefined ? undefined : readRegistry(flags.registry);
  const { file = FILE } = flags;
  if (origin === undefined && /^(?:[0.]+|[:0]+)$/.test(http.hostname)) {
    throw new Error(
      `--http ${flags.http}: a node that listens on all addresses needs --host, the host of short URLs`,
    );
  }
  if (flags.rpc !== undefined) {
    if (flags.master !== undefined) {
      throw new Error("--rpc starts a master, --master a replica: use one of them");
    }
    return { kind: "master", http, origin, rpc: readPlace("rpc", flags.rpc), file, registry };
  }
  if (flags.master !== undefined || registry !== undefined) {
    if (flags.file !== undefined) throw new Error("--file is for the master, which stores the URLs");
    if (flags.master !== undefined && registry !== undefined) {
      throw new Error("--master and --registry both locate the master: use one of them");
    }
    const master = flags.master === undefined ? undefined : readMaster(flags.master);
    return { kind: "replica", http, origin, master, registry };
  }
  if (origin !== undefined) {
    throw new Error("--host is for one node: use it with --rpc, --master or --registry");
  }
  if (http.port > 65_533) {
    throw new Error("--http: expected a port of at most 65533, because the replicas use the next two");
  }
  return { kind: "all", http, file };
}

function readPlace(name: string, text: string): Place {
  const place = read(`tcp@${/^[0-9]+$/.test(text) ? `127.0.0.1:${text}` : text}`, { listen: true });
  if (place !== undefined && "port" in place) return { hostname: place.hostname, port: place.port };
  throw new Error(
    `--${name}: expected PORT or HOST:PORT, such as 127.0.0.1:8080, got ${JSON.stringify(text)}`,
  );
}

function readMaster(text: string): string {
  const address = text.includes("@") ? text : `tcp@${text}`;
  if (read(address) !== undefined) return address;
  throw new Error(`--master: expected HOST:PORT, such as 127.0.0.1:9000, got ${JSON.stringify(text)}`);
}

function read(address: string, options?: { listen: boolean }): ReturnType<typeof parseAddress> | undefined {
  try {
    return parseAddress(address, options);
  } catch {
    return undefined;
  }
}

function readOrigin(text: string): string {
  const host = URL.canParse(`http://[${text}]`) ? urlHost(text) : text;
  const url = URL.parse(text.includes("://") ? text : `http://${host}`);
  // An origin equals its URL except for the final slash; anything more is rejected.
  if (url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
  throw new Error(
    `--host: expected a host, such as sho.rt, localhost:8080 or https://sho.rt, got ${JSON.stringify(text)}`,
  );
}

function readRegistry(text: string): string {
  try {
    // The constructor validates the URL, without sending a request.
    new RegistryDiscovery(text);
    return text;
  } catch {
    throw new Error(`--registry: expected a URL, such as http://127.0.0.1:9999, got ${JSON.stringify(text)}`);
  }
}
