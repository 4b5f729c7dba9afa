/**
 * Discovery of servers, and load balancing between them.
 *
 * A {@linkcode Discovery} provides the list of servers: {@linkcode MultiServers} from a list that the program maintains,
 * {@linkcode RegistryDiscovery} from a registry. A {@linkcode Balancer} picks one for each call. Both are interfaces that you
 * can implement yourself.
 *
 * @example Follow a list of servers
 * ```ts
 * import { MultiServers } from "@troodon/rpc/discovery";
 *
 * const servers = new MultiServers(["tcp@10.0.0.1:9999", "tcp@10.0.0.2:9999"]);
 * for await (const endpoints of servers.watch()) {
 *   console.log(endpoints.map(({ address }) => address).join(" "));
 *   if (endpoints.length === 1) break;
 *   servers.update(["tcp@10.0.0.2:9999"]);
 * }
 * ```
 *
 * @module
 */

export { type Code, CODES } from "../call/error.ts";
export type { Balancer, Outcome, PickContext } from "./balancer.ts";
export { type BalancerName, type BalancerOptions, createBalancer } from "./create_balancer.ts";
export type { Clock } from "./clock.ts";
export type { ConsistentHashOptions } from "./consistent_hash.ts";
export type { Discovery, WatchOptions } from "./discovery.ts";
export { DnsDiscovery, type DnsDiscoveryOptions } from "./dns_discovery.ts";
export type { DnsOptions, DnsTransport } from "./dns_options.ts";
export type { DnsResolver, NameServer, SrvRecord } from "./dns_resolver.ts";
export type { EjectionOptions } from "./ejection.ts";
export { formatAddress, parseAddress, urlHost } from "./endpoint.ts";
export type {
  Address,
  Endpoint,
  HostAddress,
  HttpAddress,
  ParseAddressOptions,
  UnixAddress,
} from "./endpoint.ts";
export type { LeastPendingOptions } from "./least_pending.ts";
export { MultiServers } from "./multi_servers.ts";
export type { RandomOptions } from "./random_balancer.ts";
export { RegistryDiscovery, type RegistryDiscoveryOptions } from "./registry_discovery.ts";
export type { Fetch, RegistryUrl } from "./registry_request.ts";
export { SrvDiscovery, type SrvDiscoveryOptions } from "./srv_discovery.ts";
