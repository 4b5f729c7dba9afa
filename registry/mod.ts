/**
 * Service registry: a list of live servers, and the client that keeps a server on it.
 *
 * {@linkcode Registry} handles HTTP requests and is served by `Deno.serve`; `deno task registry` runs one as
 * a program. Its list is in memory ({@linkcode MemoryStore}), or in etcd, shared by several registries
 * ({@linkcode EtcdStore}). {@linkcode announce} keeps a server registered. Clients find servers with the
 * `RegistryDiscovery` of `@troodon/rpc/discovery`.
 *
 * @example A registry, a server that announces itself, and a client that lists the servers
 * ```ts
 * import { announce, Registry } from "@troodon/rpc/registry";
 * import { RegistryDiscovery } from "@troodon/rpc/discovery";
 *
 * await using registry = new Registry();
 * await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
 * const url = `http://127.0.0.1:${http.addr.port}`;
 *
 * await using _registration = await announce(url, { address: "tcp@10.0.0.1:9999" });
 * console.log(await new RegistryDiscovery(url).endpoints()); // [ { address: "tcp@10.0.0.1:9999" } ]
 * ```
 *
 * @module
 */

export { type Code, CODES } from "../call/error.ts";
export type { Clock } from "../discovery/clock.ts";
export type { Endpoint } from "../discovery/endpoint.ts";
export type { Fetch, RegistryUrl } from "../discovery/registry_request.ts";
export {
  announce,
  type Announced,
  type AnnouncedServer,
  type AnnounceOptions,
  type Registration,
  type Shutdownable,
} from "./announce.ts";
export { EtcdStore, type EtcdStoreOptions } from "./etcd_store.ts";
export { MemoryStore, type MemoryStoreOptions } from "./memory_store.ts";
export { Registry } from "./registry.ts";
export type { RegistryOptions } from "./registry_options.ts";
export { type HttpHandler, type HttpServer, serveHttp, type ServeHttpOptions } from "./serve.ts";
export type { StoreLimits } from "./lease_table.ts";
export type {
  Grant,
  InstanceState,
  Lease,
  LeaseChange,
  LeaseEvent,
  LeaseList,
  RegistryStore,
  WatchLeasesOptions,
} from "./store.ts";
