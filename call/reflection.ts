// The built-in service by which a server tells what it offers, as both sides know it. Servers answer it by
// server/reflection_handlers.ts; the command line asks it.

import { type Contract, type ContractMethod, defineService, method, type MethodKind } from "./contract.ts";
import type { MethodStats } from "./method_stats.ts";

/** Names of services that begin with this are the library's own. */
export const RESERVED = "rpc.";

/** A service as `rpc.Reflection` tells of it. */
export interface ServiceDescription {
  /** Its name, such as `Arith`. */
  readonly name: string;
  /** What can be called of it. */
  readonly methods: readonly MethodDescription[];
}

/** A method as `rpc.Reflection` tells of it. */
export interface MethodDescription {
  /** Its name with its service's, such as `Arith.sum`. */
  readonly method: string;
  /** What is a stream; `unknown` where no contract says so. */
  readonly kind: MethodKind | "unknown";
  /** Whether a contract says that calls may be executed more than once. */
  readonly idempotent: boolean;
  /** True where a contract says that calls change nothing; left out otherwise. */
  readonly readOnly?: true;
  /** What arguments are checked with (of a stream, each item). Left out by `list`, and where nothing is checked. */
  readonly args?: SchemaDescription;
  /** What results are checked with (of a stream, each item). Left out by `list`, and where nothing is checked. */
  readonly result?: SchemaDescription;
}

/** A schema as `rpc.Reflection` tells of it. */
export interface SchemaDescription {
  /** The library that checks, such as `zod`. */
  readonly vendor: string;
  /**
   * What it takes or gives, as JSON Schema (draft 2020-12), where the library can say so by Standard JSON Schema. What
   * JSON Schema has no words for, such as dates, is `{}` in it.
   */
  readonly jsonSchema?: object;
}

/** What is asked of `rpc.Reflection.describe`. */
export interface DescribeRequest {
  /** The name of a service, or of one method, such as `Arith.sum`. */
  readonly name: string;
}

/** What is asked of `rpc.Reflection.stats`. */
export interface StatsRequest {
  /**
   * How long from one item to the next, in ms, 100 to 3 600 000.
   *
   * @default {1_000}
   */
  readonly interval?: number;
}

/** What a server tells of itself: its whole `stats()`, of which this much is the same for all versions. */
export interface ReportedStats {
  /** Connections that are open. */
  readonly connections: number;
  /** Calls whose handlers have not returned. */
  readonly inFlight: number;
  /** Every method that was registered. */
  readonly methods: readonly MethodStats[];
}

/**
 * The contract of `rpc.Reflection`, which every server answers unless it was made with `reflection: false`: what can be
 * called, what is known of it, and what it has done. Its calls pass the server's interceptors as all others do, and are
 * in none of its counts.
 *
 * - `list()`: every service with its methods, in the order in which they were registered, this one last
 * - `describe({ name })`: one service, or the service with that one method, with schemas; `not_found` if there is none
 * - `stats({ interval })`: the server's `stats()` at once, and then at that interval until it shuts down; more than 64
 *   such streams at once, or 4 on one connection, are refused with `resource_exhausted`. All who ask within 90 ms are
 *   told the same
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
