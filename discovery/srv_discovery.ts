// Discovery by the SRV records of a DNS name. Given to connect() by users.

import type { RpcError } from "../call/error.ts";
import type { Discovery, WatchOptions } from "./discovery.ts";
import { DNS_OPTION_NAMES, type DnsOptions, dnsSettings } from "./dns_options.ts";
import type { SrvRecord } from "./dns_resolver.ts";
import { type Endpoint, formatAddress } from "./endpoint.ts";
import { PolledList } from "./polled_list.ts";
import { MAX_SERVERS } from "./registry_list.ts";

/** Options of {@linkcode SrvDiscovery}. */
export type SrvDiscoveryOptions = DnsOptions;

/**
 * The servers that the SRV records of a name list, with their ports (RFC 2782).
 *
 * Calls go to the servers of the lowest priority. Those of higher priorities get `weight` 0: a client calls them while no
 * other server can be reached. The weights of the records become the weights of the endpoints.
 *
 * Refreshing and failures are those of {@linkcode DnsDiscovery}.
 *
 * @example Usage
 * ```ts
 * import { SrvDiscovery } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * const servers = new SrvDiscovery("_rpc._tcp.example.com", {
 *   resolver: {
 *     addresses: () => Promise.resolve([]),
 *     services: () =>
 *       Promise.resolve([
 *         { priority: 0, weight: 3, port: 9000, target: "a.example.com" },
 *         { priority: 1, weight: 1, port: 9001, target: "b.example.com" },
 *       ]),
 *   },
 * });
 * assertEquals(await servers.endpoints(), [
 *   { address: "tcp@a.example.com:9000", weight: 3 },
 *   { address: "tcp@b.example.com:9001", weight: 0 },
 * ]);
 * ```
 */
export class SrvDiscovery implements Discovery {
  readonly #list: PolledList;

  /**
   * Does not look up anything yet.
   *
   * @param name The name, such as `_rpc._tcp.example.com`
   * @param options The transport, and times
   * @throws {TypeError} If the name or an option is invalid
   * @throws {RangeError} If a time is out of its range
   */
  constructor(name: string, options: SrvDiscoveryOptions = {}) {
    const { transport, resolver, list, inTime } = dnsSettings(name, options, DNS_OPTION_NAMES);
    this.#list = new PolledList({
      ...list,
      what: `the SRV records of ${name}`,
      async lookUp(signal): Promise<Endpoint[]> {
        const records = await inTime(signal, (signal) => resolver.services(name, signal));
        return endpointsOf(records, (hostname, port) => {
          return formatAddress({ transport, hostname, port, path: "/_rpc_" });
        });
      },
    });
  }

  /** The records of the name. */
  get source(): string {
    return this.#list.source;
  }

  /** Why the last lookup failed, or that there has been none; undefined if it succeeded. */
  get failure(): RpcError | undefined {
    return this.#list.failure;
  }

  /**
   * The servers, looked up if the list is older than `refreshInterval`; the last list if that fails.
   *
   * @returns The servers, sorted by address
   * @throws {RpcError} `unavailable` if no lookup has succeeded yet
   */
  endpoints(): Promise<readonly Endpoint[]> {
    return this.#list.endpoints();
  }

  /**
   * Follows the list.
   *
   * @param options What ends the watch
   * @returns Whole lists, sorted by address
   */
  watch(options: WatchOptions = {}): AsyncIterable<readonly Endpoint[]> {
    return this.#list.watch(options);
  }

  /** Looks the name up soon, 5 s after the last lookup at the earliest. Called by clients that have lost a connection. */
  refresh(): void {
    this.#list.refresh();
  }
}

function endpointsOf(
  records: readonly SrvRecord[],
  format: (host: string, port: number) => string,
): Endpoint[] {
  const usable = records.filter(({ target, port }) => target !== "." && target !== "" && port > 0);
  const lowest = Math.min(...usable.slice(0, MAX_SERVERS).map(({ priority }) => priority));
  const endpoints = new Map<string, Endpoint>();
  for (const { priority, weight, port, target } of usable.slice(0, MAX_SERVERS)) {
    const address = format(target.replace(/\.$/, ""), port);
    // A record of weight 0 has "a very small chance of being selected" (RFC 2782), which is more than none.
    const share = priority === lowest ? Math.max(1, weight) : 0;
    const known = endpoints.get(address)?.weight ?? 0;
    endpoints.set(address, { address, weight: Math.max(known, share) });
  }
  return [...endpoints.values()];
}
