/**
 * Balancing for large or changing sets of servers: slow start and subsets.
 *
 * @example New servers get their full share after a minute
 * ```ts
 * import { connect, MultiServers } from "@troodon/rpc";
 * import { slowStart } from "@troodon/rpc/balancing";
 *
 * await using client = await connect(new MultiServers(["tcp@10.0.0.1:9000"]), {
 *   balancer: slowStart("round_robin", { window: 60_000 }),
 * });
 * ```
 *
 * @module
 */

export { slowStart, type SlowStartOptions } from "./slow_start.ts";
export { subset, type SubsetOptions } from "./subset.ts";
