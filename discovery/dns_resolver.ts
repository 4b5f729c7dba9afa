// Asks DNS servers. Used by DnsDiscovery and SrvDiscovery; tests put another resolver in its place.

import type { Resolver } from "node:dns/promises";

/** One SRV record (RFC 2782). */
export interface SrvRecord {
  /** Servers of the lowest priority are used first. */
  readonly priority: number;
  /** The share of calls among servers of the same priority. */
  readonly weight: number;
  /** Where the service listens. */
  readonly port: number;
  /** The name of the host; `.` if the service is not available there. */
  readonly target: string;
}

/** What answers DNS queries. No record, or no such name, is an empty list. */
export interface DnsResolver {
  /**
   * Looks up addresses.
   *
   * @param name The name of the host
   * @param type `A` for IPv4 addresses, `AAAA` for IPv6 addresses
   * @param signal Gives up
   * @throws {Error} If there is no answer
   */
  addresses(name: string, type: "A" | "AAAA", signal: AbortSignal): Promise<string[]>;
  /**
   * Looks up SRV records.
   *
   * @param name The name of the service, such as `_rpc._tcp.example.com`
   * @param signal Gives up
   * @throws {Error} If there is no answer
   */
  services(name: string, signal: AbortSignal): Promise<SrvRecord[]>;
}

/** Where a DNS server listens. */
export interface NameServer {
  /** Its IP address. */
  readonly ipAddr: string;
  /**
   * Its port.
   *
   * @default {53}
   */
  readonly port?: number;
}

/**
 * The system's resolver for addresses (`getaddrinfo`, which also reads `/etc/hosts`), and Deno's for SRV records and for a DNS
 * server of one's choice. Deno's (2.9) does not tell a failing DNS server from a name without records.
 *
 * @param nameServer The DNS server to ask instead of those of the system
 */
export function systemResolver(nameServer?: NameServer): DnsResolver {
  if (typeof Deno === "undefined") return nodeResolver(nameServer);
  return {
    addresses: (name, type, signal) =>
      nameServer === undefined
        ? addressesOf(name, type)
        : orEmpty(Deno.resolveDns(name, type, { nameServer, signal })),
    services: (name, signal) => orEmpty(Deno.resolveDns(name, "SRV", { nameServer, signal })),
  };
}

/** The same in Node and Bun, over `node:dns`. */
function nodeResolver(nameServer?: NameServer): DnsResolver {
  const query = async <T>(signal: AbortSignal, ask: (resolver: Resolver) => Promise<T[]>): Promise<T[]> => {
    const { Resolver } = await import("node:dns/promises");
    signal.throwIfAborted();
    const resolver = new Resolver();
    if (nameServer !== undefined) {
      const { ipAddr, port = 53 } = nameServer;
      resolver.setServers([ipAddr.includes(":") ? `[${ipAddr}]:${port}` : `${ipAddr}:${port}`]);
    }
    const cancel = () => resolver.cancel();
    signal.addEventListener("abort", cancel);
    try {
      return await ask(resolver);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code === "ENOTFOUND" || code === "ENODATA") return [];
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  };
  return {
    addresses: (name, type, signal) =>
      nameServer === undefined
        ? addressesOf(name, type)
        : query(signal, (resolver) => type === "A" ? resolver.resolve4(name) : resolver.resolve6(name)),
    services: (name, signal) =>
      query(signal, async (resolver) => {
        const records = await resolver.resolveSrv(name);
        return records.map(({ name, ...record }) => ({ ...record, target: name }));
      }),
  };
}

/** The records, or none if there is no such name, or no record of this type. */
async function orEmpty<T>(records: Promise<T[]>): Promise<T[]> {
  try {
    return await records;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function addressesOf(name: string, type: "A" | "AAAA"): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  try {
    const found = await lookup(name, { all: true, family: type === "A" ? 4 : 6 });
    return found.map(({ address }) => address);
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ENOTFOUND") return [];
    if (code === "EPERM") throw new Error(`this needs permission, by --allow-net=${name}`, { cause: error });
    if (code === "EAI_AGAIN") throw new Error("the DNS servers of the system failed", { cause: error });
    throw error;
  }
}
