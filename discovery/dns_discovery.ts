// Discovery by the addresses of a DNS name, such as a headless service of Kubernetes. Given to connect() by users, and made
// by it for dns@ targets.

import type { RpcError } from "../call/error.ts";
import type { Names } from "../call/check_options.ts";
import type { Discovery, WatchOptions } from "./discovery.ts";
import { DNS_OPTION_NAMES, type DnsOptions, dnsSettings } from "./dns_options.ts";
import { type Endpoint, formatAddress } from "./endpoint.ts";
import { PolledList } from "./polled_list.ts";
import { MAX_SERVERS } from "./registry_list.ts";

/** Options of {@linkcode DnsDiscovery}. */
export interface DnsDiscoveryOptions extends DnsOptions {
  /** The port on which the servers listen, 1 to 65535. */
  port: number;
}

const NAMES: Names<DnsDiscoveryOptions> = { ...DNS_OPTION_NAMES, port: true };

/**
 * The servers whose addresses a DNS name has, IPv4 and IPv6.
 *
 * The name is looked up every 30 s and soon after a connection was lost. If a lookup fails, the last list stays in use and
 * the next lookup waits 1 s, then twice as long each time, up to 5 minutes. While DNS answers that there are no addresses,
 * the last list is kept for `holdTime`.
 *
 * Nothing is looked up before `endpoints()` or a watch asks for a list, and nothing runs after the last watch has ended.
 *
 * @example Usage
 * ```ts
 * import { DnsDiscovery } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * const servers = new DnsDiscovery("localhost", {
 *   port: 9000,
 *   resolver: {
 *     addresses: (_name, type) => Promise.resolve(type === "A" ? ["10.0.0.7", "10.0.0.8"] : ["fd00::7"]),
 *     services: () => Promise.resolve([]),
 *   },
 * });
 * assertEquals((await servers.endpoints()).map(({ address }) => address), [
 *   "tcp@10.0.0.7:9000",
 *   "tcp@10.0.0.8:9000",
 *   "tcp@[fd00::7]:9000",
 * ]);
 * ```
 */
export class DnsDiscovery implements Discovery {
  readonly #list: PolledList;

  /**
   * Does not look up anything yet.
   *
   * @param name The name, such as `rpc.default.svc.cluster.local`
   * @param options The port, the transport, and times
   * @throws {TypeError} If the name or an option is invalid
   * @throws {RangeError} If the port or a time is out of its range
   */
  constructor(name: string, options: DnsDiscoveryOptions) {
    const { transport, resolver, list, inTime } = dnsSettings(name, options, NAMES);
    const { port } = options;
    if (!(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
      throw new RangeError(`Cannot use port ${port}: expected a whole number from 1 to 65535`);
    }
    this.#list = new PolledList({
      ...list,
      what: `the addresses of ${name}`,
      async lookUp(signal): Promise<Endpoint[]> {
        const types = ["A", "AAAA"] as const;
        const answers = await inTime(
          signal,
          (signal) => Promise.allSettled(types.map((type) => resolver.addresses(name, type, signal))),
        );
        const found = answers.flatMap((answer) => answer.status === "fulfilled" ? answer.value : []);
        // One family is enough: many networks have DNS servers that answer for IPv4 only.
        const failed = answers.find((answer) => answer.status === "rejected");
        if (found.length === 0 && failed !== undefined) throw failed.reason;
        return [...new Set(found)].slice(0, MAX_SERVERS).map((hostname): Endpoint => {
          return { address: formatAddress({ transport, hostname, port, path: "/_rpc_" }) };
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
