// The address under which a server is announced where the program gives none: that on which the server listens, with the
// machine's own in the place of 0.0.0.0. Used by announce().

import { Backoff } from "../discovery/backoff.ts";
import { type Clock, sleep } from "../discovery/clock.ts";
import { type Address, formatAddress, parseAddress, urlHost } from "../discovery/endpoint.ts";
import { nodeModule } from "../transport/runtime.ts";
import type { HostAndPort } from "../transport/tcp.ts";

/** The variables that name a machine's own address, the first that is set counts. */
const VARIABLES = ["POD_IP", "HOST"] as const;
/** The longest wait between two attempts to reach the registry, in ms. */
const LONGEST_WAIT = 1_000;

/** The addresses that stand for all of a machine's, as URLs write them (RFC 4291 section 2.5.2, RFC 6890). */
const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "[::]", "[::ffff:0:0]"]);

/** What finding an address needs. Times in ms. */
export interface OwnAddressOptions {
  /** The addresses on which the server listens, at least one. */
  readonly addresses: readonly string[];
  readonly registries: readonly URL[];
  /** How long one registry may take to answer. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Gives up, with its reason. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Finds the address under which clients can reach the server.
 *
 * @throws {TypeError} If a variable of the environment is invalid
 * @throws {Error} If the permission to connect to the registry is missing
 */
export async function ownAddress(options: OwnAddressOptions): Promise<string> {
  const { addresses } = options;
  const found = parseAddress(addresses.find((address) => !/^(?:unix|fd)@/.test(address)) ?? addresses[0]!);
  if (found.transport === "unix" || !isUnspecified(found.hostname)) return formatAddress(found);
  return formatAddress({ ...found, hostname: fromEnvironment(found) ?? await routeTo(options) });
}

/** Whether a host is a wildcard: servers listen on it, and no client can use it. */
export function isUnspecified(hostname: string): boolean {
  // The URL parser knows the many ways to write one: 0, 0x0, 0:0::0.
  return UNSPECIFIED.has(new URL(`http://${urlHost(hostname)}/`).hostname);
}

/** A variable of the environment; undefined if the program may not read it. */
function environmentVariable(name: string): string | undefined {
  if (typeof Deno === "undefined") return nodeModule<typeof import("node:process")>("node:process").env[name];
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** The host that the environment names, as far as the program may read it. */
function fromEnvironment(address: Exclude<Address, { transport: "unix" }>): string | undefined {
  for (const variable of VARIABLES) {
    const hostname = environmentVariable(variable);
    if (hostname === undefined || hostname === "") continue;
    try {
      parseAddress(formatAddress({ ...address, hostname }));
    } catch (error) {
      throw new TypeError(`Cannot announce the host that ${variable} names: ${(error as Error).message}`);
    }
    // Programs also take HOST for the address to listen on.
    if (!isUnspecified(hostname)) return hostname;
  }
  return undefined;
}

/** The address of this machine from which the registry is reached. Waits for a registry that is away. */
async function routeTo({ registries, timeout, clock, random, signal }: OwnAddressOptions): Promise<string> {
  const backoff = new Backoff(random);
  const never = new AbortController().signal;
  for (let attempt = 0;; attempt++) {
    signal?.throwIfAborted();
    const { hostname, port, protocol } = registries[attempt % registries.length]!;
    const place = {
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port || (protocol === "https:" ? 443 : 80)),
    };
    const limit = AbortSignal.timeout(timeout);
    try {
      const stop = signal === undefined ? limit : AbortSignal.any([signal, limit]);
      return await localAddress(place, stop);
    } catch (error) {
      // In Deno: it may not connect there.
      if ((error as Error).name === "NotCapable") throw error;
      await sleep(clock, backoff.next(LONGEST_WAIT), signal ?? never);
    }
  }
}

/** The address of this machine on a connection to a host and port. */
async function localAddress(place: HostAndPort, signal: AbortSignal): Promise<string> {
  if (typeof Deno === "undefined") return await nodeLocalAddress(place, signal);
  const conn = await Deno.connect({ ...place, signal });
  conn.close();
  return conn.localAddr.hostname;
}

async function nodeLocalAddress({ hostname, port }: HostAndPort, signal: AbortSignal): Promise<string> {
  const { connect } = nodeModule<typeof import("node:net")>("node:net");
  const socket = connect({ host: hostname, port });
  const stop = () => socket.destroy(signal.reason);
  signal.addEventListener("abort", stop);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on("connect", resolve);
      socket.on("error", reject);
      if (signal.aborted) stop();
    });
    return socket.localAddress!;
  } finally {
    signal.removeEventListener("abort", stop);
    socket.destroy();
  }
}
