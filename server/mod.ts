/**
 * The server: registers services, listens, answers calls.
 *
 * @example A service as a class
 * ```ts
 * import { Server } from "@troodon/rpc/server";
 *
 * class Greeter {
 *   greet(name: string) {
 *     return `Hello, ${name}!`;
 *   }
 * }
 *
 * await using server = new Server();
 * server.register(new Greeter());
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 * console.log(`Greeter.greet can be called at ${address}`);
 * ```
 *
 * @module
 */

export { Server } from "./server.ts";
export type { ShutdownOptions } from "./server.ts";
export type { Listening, ListenOptions, ProxyProtocolOptions } from "./listeners.ts";
export type { Authenticate } from "../session/handshake.ts";
export type { ServerOptions } from "./server_options.ts";
export type { FetchInfo, RemoteAddress } from "../transport/unread_responses.ts";
export type { ServerTlsOptions } from "../transport/tls.ts";
export type {
  AcceptsNull,
  CheckedMethod,
  CheckedMethods,
  ContractHandler,
  ContractHandlers,
  HandlerArgs,
  HandlerResult,
  PlatformObject,
  ServiceHandlers,
} from "../call/contract_methods.ts";
export type { LatencySummary, MethodStats } from "../call/method_stats.ts";
export type { Refusals } from "../monitoring/refusals.ts";
export type { NamedStats, StatsSource } from "../monitoring/stats_sources.ts";
export type {
  CallSnapshot,
  PeerSnapshot,
  ServerSnapshot,
  ServerStats,
  StreamSnapshot,
  Truncated,
} from "../monitoring/server_stats.ts";
export type { FlowStats, SessionState, SessionStats } from "../session/session_stats.ts";
export type { Visibility, VisibilityRule } from "../monitoring/visibility.ts";
export type { LimitStats } from "../session/limit_counters.ts";
export { Health } from "../call/health.ts";
export type { HealthReport, HealthRequest, HealthStatus } from "../call/health.ts";
export { Reflection } from "../call/reflection.ts";
export type {
  DescribeRequest,
  MethodDescription,
  ReportedStats,
  SchemaDescription,
  ServiceDescription,
  StatsRequest,
} from "../call/reflection.ts";
export { defineService, method, unchecked } from "../call/contract.ts";
export type {
  AnyMethod,
  Contract,
  ContractMethod,
  ContractMethods,
  DefineMethod,
  MethodKind,
  MethodOptions,
  StreamMethodOptions,
  StreamsArgs,
  StreamsResult,
} from "../call/contract.ts";
export type {
  StandardIssue,
  StandardResult,
  StandardSchema,
  StandardSchemaProps,
} from "../call/standard_schema.ts";
export type { CallContext, Handler, Identity, Peer, PeerCertificate } from "../call/handler.ts";
export type { Call, Interceptor, Next, Reply } from "../call/interceptor.ts";
export { limitConcurrency, logCalls, requireToken } from "../call/standard_interceptors.ts";
export { untilDraining } from "../call/until_draining.ts";
export { oneOfTokens } from "../call/tokens.ts";
export type { Log } from "../call/log.ts";
export type { Metadata } from "../call/metadata.ts";
export { type Code, RpcError, type RpcErrorOptions } from "../call/error.ts";
export type { SessionLimits } from "../session/limits.ts";
export type { TelemetryOptions } from "../telemetry/telemetry_options.ts";
export type { Conn, Listener, Network } from "../transport/conn.ts";
export type { Address, HostAddress, HttpAddress, UnixAddress } from "../discovery/endpoint.ts";
