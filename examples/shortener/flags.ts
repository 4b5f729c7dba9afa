// What can be said on the command line, and what kind of node it asks for.

import { parseArgs } from "@std/cli";
import { RegistryDiscovery } from "@troodon/rpc";
import { parseAddress } from "@troodon/rpc/discovery";

/** What `--help` prints. */
export const USAGE = `Shorten URLs: a master that keeps them in a file, and replicas that ask it by RPC

Usage: deno task shortener [options]

A master:    --rpc 9000 [--file FILE] [--registry URL]
A replica:   --master 127.0.0.1:9000, or --registry URL
All at once: neither of them; a master and two replicas, each a process of its own

  --http [HOST:]PORT   Where to listen for browsers, 0 for any free port (8080; all at once, the replicas
                       take the next two)
  --host HOST[:PORT]   What short URLs begin with, or all of it: https://sho.rt (what the request was sent to)
  --rpc [HOST:]PORT    Where the master listens for replicas, 0 for any free port
  --file FILE          Where the master keeps the URLs (data/shortener.db)
  --master HOST:PORT   Where the master is, or its address as it prints it: tcp@127.0.0.1:9000
  --registry URL       Where the registry is at which the master announces itself, and replicas find it
  --help               Print this

Without a host, only this machine can connect; 0.0.0.0 listens on all of its addresses.
`;

/** Where to listen. */
export interface Place {
  readonly hostname: string;
  readonly port: number;
}

/** What every node is told. */
interface FrontFlags {
  readonly http: Place;
  /** What short URLs begin with. */
  readonly origin: string | undefined;
}

/** A node that keeps the URLs. */
export interface MasterFlags extends FrontFlags {
  readonly kind: "master";
  readonly rpc: Place;
  readonly file: string;
  readonly registry: string | undefined;
}

/** A node that asks the master; one of the two says where that is. */
export interface ReplicaFlags extends FrontFlags {
  readonly kind: "replica";
  readonly master: string | undefined;
  readonly registry: string | undefined;
}

/** All nodes, for trying it. */
export interface AllFlags {
  readonly kind: "all";
  readonly http: Place;
  readonly file: string;
}

/** What the command line says. */
export type Flags = MasterFlags | ReplicaFlags | AllFlags | { readonly kind: "help" };

const NAMES = ["http", "host", "rpc", "file", "master", "registry"] as const;
const FILE = "data/shortener.db";

/** Reads the command line. Throws an Error with a message for the one who typed it. */
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
    if (values[0] === "") throw new Error(`--${name} needs a value`);
    if (values[0] !== undefined) flags[name] = values[0];
  }
  const http = readPlace("http", flags.http ?? "8080");
  const origin = flags.host === undefined ? undefined : readOrigin(flags.host);
  const registry = flags.registry === undefined ? undefined : readRegistry(flags.registry);
  const { file = FILE } = flags;
  if (flags.rpc !== undefined) {
    if (flags.master !== undefined) {
      throw new Error("--rpc makes a master, --master a replica: use one of them");
    }
    return { kind: "master", http, origin, rpc: readPlace("rpc", flags.rpc), file, registry };
  }
  if (flags.master !== undefined || registry !== undefined) {
    if (flags.file !== undefined) throw new Error("--file is for the master: it is the one that writes");
    if (flags.master !== undefined && registry !== undefined) {
      throw new Error("--master and --registry both say where the master is: use one of them");
    }
    const master = flags.master === undefined ? undefined : readMaster(flags.master);
    return { kind: "replica", http, origin, master, registry };
  }
  if (origin !== undefined) {
    throw new Error("--host is for one node: use it with --rpc, --master or --registry");
  }
  if (http.port > 65_533) {
    throw new Error("--http needs a port of 65533 at most: the replicas take the next two");
  }
  return { kind: "all", http, file };
}

function readPlace(name: string, text: string): Place {
  const place = read(`tcp@${/^[0-9]+$/.test(text) ? `127.0.0.1:${text}` : text}`, { listen: true });
  if (place !== undefined && "port" in place) return { hostname: place.hostname, port: place.port };
  throw new Error(`--${name} needs PORT or HOST:PORT, such as 127.0.0.1:8080, not ${JSON.stringify(text)}`);
}

function readMaster(text: string): string {
  const address = text.includes("@") ? text : `tcp@${text}`;
  if (read(address) !== undefined) return address;
  throw new Error(`--master needs HOST:PORT, such as 127.0.0.1:9000, not ${JSON.stringify(text)}`);
}

function read(address: string, options?: { listen: boolean }): ReturnType<typeof parseAddress> | undefined {
  try {
    return parseAddress(address, options);
  } catch {
    return undefined;
  }
}

function readOrigin(text: string): string {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  // Nothing but an origin is the same when it is written as one.
  if (url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
  throw new Error(
    `--host needs a host, such as sho.rt, localhost:8080 or https://sho.rt, not ${JSON.stringify(text)}`,
  );
}

function readRegistry(text: string): string {
  try {
    // Refuses what is no URL of a registry. Asks nobody yet.
    new RegistryDiscovery(text);
    return text;
  } catch {
    throw new Error(`--registry needs a URL, such as http://127.0.0.1:9999, not ${JSON.stringify(text)}`);
  }
}
