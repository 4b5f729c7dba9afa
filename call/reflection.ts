// The contract of the built-in service through which a server describes itself. Servers implement it in
// server/reflection_handlers.ts; the command line calls it.

import { type Contract, type ContractMethod, defineService, method, type MethodKind } from "./contract.ts";
import type { MethodStats } from "./method_stats.ts";

/** Prefix of service names that are reserved for the library. */
export const RESERVED = "rpc.";

/** A service as described by `rpc.Reflection`. */
export interface ServiceDescription {
  /** The name, such as `Arith`. */
  readonly name: string;
  /** The methods that can be called. */
  readonly methods: readonly MethodDescription[];
}

/** A method as described by `rpc.Reflection`. */
export interface MethodDescription {
  /** The full name, such as `Arith.sum`. */
  readonly method: string;
  /** Which side streams; `unknown` without a contract. */
  readonly kind: MethodKind | "unknown";
  /** Whether the contract declares that calls may be executed more than once. */
  readonly idempotent: boolean;
  /** True if the contract declares that calls change nothing; absent otherwise. */
  readonly readOnly?: true;
  /** Schema of the arguments (for a stream, of each item). Absent in `list`, and if arguments are not checked. */
  readonly args?: SchemaDescription;
  /** Schema of the results (for a stream, of each item). Absent in `list`, and if results are not checked. */
  readonly result?: SchemaDescription;
}

/** A schema as described by `rpc.Reflection`. */
export interface SchemaDescription {
  /** The library of the schema, such as `zod`. */
  readonly vendor: string;
  /**
   * The accepted or returned values as JSON Schema (draft 2020-12), if the library supports Standard JSON Schema. Types that
   * JSON Schema cannot express, such as dates, are `{}`.
   */
  readonly jsonSchema?: object;
}

/** Argument of `rpc.Reflection.describe`. */
export interface DescribeRequest {
  /** The name of a service or of one method, such as `Arith.sum`. */
  readonly name: string;
}

/** Argument of `rpc.Reflection.stats`. */
export interface StatsRequest {
  /**
   * Interval between items in ms, 100 to 3 600 000.
   *
   * @default {1_000}
   */
  readonly interval?: number;
}

/** A server's `stats()`, as far as it is the same in all versions. */
export interface ReportedStats {
  /** Number of open connections. */
  readonly connections: number;
  /** Number of calls whose handlers have not returned. */
  readonly inFlight: number;
  /** Statistics of every registered method. */
  readonly methods: readonly MethodStats[];
}

/**
 * The contract of `rpc.Reflection`, which every server implements unless it was created with `reflection: false`. It
 * describes the server's services and reports its statistics. Calls to it pass through the server's interceptors like any
 * other, and are not counted.
 *
 * - `list()`: every service with its methods, in the order of registration, this one last
 * - `describe({ name })`: one service, or the service with only that method, with schemas; `not_found` if it is unknown
 * - `stats({ interval })`: the server's `stats()`, at once and then at that interval until the server shuts down. More than
 *   64 such streams, or 4 on one connection, are rejected with `resource_exhausted`. Requests within 90 ms receive the same
 *   snapshot
 *
 * @example
 * ```ts
 * import { connect, Reflection, Server } from "@troodon/rpc";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = new Server().register("Echo", { echo: (value: unknown) => value });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(address);
 * const [echo] = await client.service(Reflection).list();
 * assertEquals(echo, {
 *   name: "Echo",
 *   methods: [{ method: "Echo.echo", kind: "unknown", idempotent: false }],
 * });
 * ```
 */
export const Reflection: Contract<{
  readonly list: ContractMethod<
    "call",
    void,
    readonly ServiceDescription[],
    void,
    readonly ServiceDescription[]
  >;
  readonly describe: ContractMethod<
    "call",
    DescribeRequest,
    ServiceDescription,
    DescribeRequest,
    ServiceDescription
  >;
  readonly stats: ContractMethod<
    "serverStream",
    StatsRequest | void,
    ReportedStats,
    StatsRequest | void,
    ReportedStats
  >;
}> = defineService("rpc.Reflection", {
  list: method<void, readonly ServiceDescription[]>({ idempotent: true }),
  describe: method<DescribeRequest, ServiceDescription>({ idempotent: true }),
  stats: method.serverStream<StatsRequest | void, ReportedStats>({ idempotent: true }),
});
