// Makes balancers by their names. Used by the client; a further balancer is one file and one line here.

import { checkOptions } from "../call/check_options.ts";
import type { Balancer } from "./balancer.ts";
import { ConsistentHashBalancer, type ConsistentHashOptions } from "./consistent_hash.ts";
import { LeastPendingBalancer, type LeastPendingOptions } from "./least_pending.ts";
import { RandomBalancer } from "./random_balancer.ts";
import { RoundRobinBalancer } from "./round_robin.ts";
import { WeightedRoundRobinBalancer } from "./weighted_round_robin.ts";

/** The names that {@linkcode createBalancer} knows. */
export type BalancerName =
  | "random"
  | "round_robin"
  | "weighted_round_robin"
  | "least_pending"
  | "consistent_hash";

/** Options of {@linkcode createBalancer}; each balancer takes those that it has a use for. */
export interface BalancerOptions extends LeastPendingOptions, ConsistentHashOptions {}

type Create = (options: BalancerOptions) => Balancer;

/** A Map, not an object, because the name may come from a configuration file: "constructor" is no balancer. */
const BALANCERS: ReadonlyMap<BalancerName, Create> = new Map<BalancerName, Create>([
  ["random", (options) => new RandomBalancer(options)],
  ["round_robin", (options) => new RoundRobinBalancer(options)],
  ["weighted_round_robin", (options) => new WeightedRoundRobinBalancer(options)],
  ["least_pending", (options) => new LeastPendingBalancer(options)],
  ["consistent_hash", (options) => new ConsistentHashBalancer(options)],
]);

/**
 * Makes a balancer, unless it is one already.
 *
 * - `"random"`: any server, each with the same chance
 * - `"round_robin"`: the servers in turn, exact to one call
 * - `"weighted_round_robin"`: in turn and by weight, exact in each round
 * - `"least_pending"`: the one of two random servers that has fewer calls pending, times their latency of late
 * - `"consistent_hash"`: calls with the same `key` to the same server, unless it has too much to do
 *
 * @example Usage
 * ```ts
 * import { createBalancer } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * const balancer = createBalancer("consistent_hash", { loadFactor: 2 });
 * balancer.update([{ address: "tcp@10.0.0.1:9999" }, { address: "tcp@10.0.0.2:9999" }]);
 * const first = balancer.pick({ method: "Cache.get", key: "Ada" });
 * assertEquals(balancer.pick({ method: "Cache.get", key: "Ada" }), first);
 * ```
 *
 * @param balancer The name of a balancer, or a balancer
 * @param options How much load may differ; where chance and time come from, for tests
 * @returns A new balancer, or the one given
 * @throws {TypeError} If there is no balancer of that name, the object is none, or an option is unknown
 * @throws {RangeError} If a number is out of its range
 */
export function createBalancer(balancer: BalancerName | Balancer, options: BalancerOptions = {}): Balancer {
  checkOptions<BalancerOptions>("create balancer", options, { random: true, clock: true, loadFactor: true });
  if (typeof balancer === "string") {
    const create = BALANCERS.get(balancer);
    if (create !== undefined) return create(options);
    const known = [...BALANCERS.keys()].map((name) => `"${name}"`).join(", ");
    throw new TypeError(
      `Cannot create balancer ${JSON.stringify(balancer)}: expected ${known} or a Balancer`,
    );
  }
  if (typeof balancer?.update !== "function" || typeof balancer.pick !== "function") {
    throw new TypeError("Cannot use balancer: expected a name or an object with the methods update and pick");
  }
  return balancer;
}
