// The public names of the client besides `connect`: those of both entry points, mod.ts and browser.ts.

export { Client } from "./client.ts";
export type { ClientStats } from "./client.ts";
export type { EndpointStats } from "./servers.ts";
export type { ChannelState } from "./channel.ts";
export type { CallOptions, FailMode } from "../call/call_options.ts";
export type { ConnectOptions } from "./connect_options.ts";
export type { RetryBudgetOptions } from "./retry_budget.ts";
export type { ConnectTlsOptions } from "../transport/tls.ts";
export type {
  Argument,
  Callable,
  CallResult,
  ContractCall,
  ContractClient,
  ServiceClient,
  ServiceClientOptions,
  ServiceMethod,
} from "../call/typed.ts";
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
export type { LatencySummary, MethodStats } from "../call/method_stats.ts";
export type { Call, Interceptor, Next, Reply } from "../call/interceptor.ts";
export { limitConcurrency, logCalls, sendToken } from "../call/standard_interceptors.ts";
export type { CallContext, Handler, Identity, Peer, PeerCertificate } from "../call/handler.ts";
export { detach } from "../call/ambient.ts";
export { type Code, RpcError, type RpcErrorOptions } from "../call/error.ts";
export type { Log } from "../call/log.ts";
export type { Metadata, MetadataInit } from "../call/metadata.ts";
export type { SessionLimits } from "../session/limits.ts";
export type { TelemetryOptions } from "../telemetry/telemetry_options.ts";
export type { Conn, Listener, Network } from "../transport/conn.ts";
export type { Address, HostAddress, HttpAddress, UnixAddress } from "../discovery/endpoint.ts";
export type { LimitStats } from "../session/limit_counters.ts";
