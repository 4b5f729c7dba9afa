/**
 * RPC for Deno over plain TCP: a server, a typed client over many servers, discovery, balancing and a registry.
 *
 * @example A server and a call
 * ```ts
 * import { connect, Server } from "@troodon/rpc";
 *
 * await using server = new Server();
 * server.register("Arith", { sum: ({ a, b }: { a: number; b: number }) => a + b });
 * const listening = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(listening.address);
 * console.log(await client.call("Arith.sum", { a: 1, b: 2 }, { timeout: 500 })); // 3
 * ```
 *
 * What few programs need is in `@troodon/rpc/server`, `/client`, `/discovery`, `/registry`, `/codec` and `/testing`.
 *
 * @module
 */

// For programs: servers, clients, calls, and where servers are found.
export {
  type Authenticate,
  type CallContext,
  type Code,
  type Contract,
  type ContractHandlers,
  defineService,
  type Handler,
  type Identity,
  limitConcurrency,
  type Listening,
  type ListenOptions,
  type Log,
  logCalls,
  type Metadata,
  method,
  oneOfTokens,
  type Peer,
  Reflection,
  requireToken,
  RpcError,
  Server,
  type ServerOptions,
  type ServerStats,
  type ServerTlsOptions,
  type SessionLimits,
  type ShutdownOptions,
  type TelemetryOptions,
  unchecked,
} from "./server/mod.ts";
export { connect } from "./client/connect_dns.ts";
export {
  type CallOptions,
  Client,
  type ClientStats,
  type ConnectOptions,
  type ConnectTlsOptions,
  type ContractClient,
  detach,
  type FailMode,
  type MetadataInit,
  type RetryBudgetOptions,
  sendToken,
  type ServiceClient,
} from "./client/mod.ts";
export {
  type BalancerName,
  type BalancerOptions,
  CODES,
  createBalancer,
  type EjectionOptions,
  type Endpoint,
  MultiServers,
  RegistryDiscovery,
  type RegistryDiscoveryOptions,
} from "./discovery/mod.ts";
export {
  announce,
  type AnnounceOptions,
  EtcdStore,
  MemoryStore,
  type Registration,
  Registry,
  type RegistryOptions,
  serveHttp,
} from "./registry/mod.ts";

// For authors of interceptors, balancers, discoveries, stores and codecs.
export type { Call, Interceptor, Next, Reply } from "./server/mod.ts";
export type { Balancer, Discovery, Outcome, PickContext, WatchOptions } from "./discovery/mod.ts";
export type { RegistryStore } from "./registry/mod.ts";
export type { Codec } from "./codec/mod.ts";
