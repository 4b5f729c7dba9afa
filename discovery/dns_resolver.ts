// Asks DNS servers. Used by DnsDiscovery and SrvDiscovery; tests put another resolver in its place.

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
 * The resolver of Deno, which follows `/etc/resolv.conf`.
 *
 * @param nameServer The DNS server to ask instead of those of the system
 */
export function systemResolver(nameServer?: NameServer): DnsResolver {
  const query = async <T>(ask: () => Promise<T[]>): Promise<T[]> => {
    try {
      return await ask();
    } catch (error) {
      // No such name, and no record of this type.
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  };
  return {
    addresses: (name, type, signal) => query(() => Deno.resolveDns(name, type, { nameServer, signal })),
    services: (name, signal) => query(() => Deno.resolveDns(name, "SRV", { nameServer, signal })),
  };
}
