// Creates balancers by name. Used by the client. A new balancer needs a file of its own and a line here.

import { checkOptions } from "../call/check_options.ts";
import { nearest } from "../call/nearest.ts";
import type { Balancer } from "./balancer.ts";
import { ConsistentHashBalancer, type ConsistentHashOptions } from "./consistent_hash.ts";
import { LeastPendingBalancer, type LeastPendingOptions } from "./least_pending.ts";
import { RandomBalancer } from "./random_balancer.ts";
import { RoundRobinBalancer } from "./round_robin.ts";
import { WeightedRoundRobinBalancer } from "./weighted_round_robin.ts";

/** The names of the built-in balancers. */
export type BalancerName =
  | "random"
  | "round_robin"
  | "weighted_round_robin"
  | "least_pending"
  | "consistent_hash";

/** Options of {@linkcode createBalancer}; each balancer uses those that apply to it. */
export interface BalancerOptions extends LeastPendingOptions, ConsistentHashOptions {}

type Create = (options: BalancerOptions) => Balancer;

/** A Map and not an object, since the name may come from a configuration file: "constructor" is not a balancer. */
const BALANCERS: ReadonlyMap<BalancerName, Create> = new Map<BalancerName, Create>([
  ["random", (options) => new RandomBalancer(options)],
  ["round_robin", (options) => new RoundRobinBalancer(options)],
  ["weighted_round_robin", (options) => new WeightedRoundRobinBalancer(options)],
  ["least_pending", (options) => new LeastPendingBalancer(options)],
  ["consistent_hash", (options) => new ConsistentHashBalancer(options)],
]);

/**
 * Creates a balancer by name, or returns the given balancer.
 *
 * - `"random"`: any server, with equal probability
 * - `"round_robin"`: the servers in turn, exact to one call
 * - `"weighted_round_robin"`: in turn and by weight, exact in each round
 * - `"least_pending"`: of two random servers, the one with fewer pending calls times recent latency
 * - `"consistent_hash"`: the same server for calls with the same `key`, unless it is overloaded
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
 * @param options The load factor of `"consistent_hash"`; sources of randomness and time, for tests
 * @returns A new balancer, or the given one
 * @throws {TypeError} If the name or an option is unknown, or the object is not a balancer
 * @throws {RangeError} If `loadFactor` is out of its range
 */
export function createBalancer(balancer: BalancerName | Balancer, options: BalancerOptions = {}): Balancer {
  checkOptions<BalancerOptions>("create balancer", options, { random: true, clock: true, loadFactor: true });
  if (typeof balancer === "string") {
    const create = BALANCERS.get(balancer);
    if (create !== undefined) return create(options);
    const names = [...BALANCERS.keys()];
    const known = names.map((name) => `"${name}"`).join(", ");
    const near = nearest(balancer, names);
    const hint = near === undefined ? "" : `; did you mean "${near}"?`;
    throw new TypeError(
      `Cannot create balancer ${JSON.stringify(balancer)}: expected ${known} or a Balancer${hint}`,
    );
  }
  if (typeof balancer?.update !== "function" || typeof balancer.pick !== "function") {
    throw new TypeError(
      "Cannot use balancer: expected a name, or an object with the methods update and pick",
    );
  }
  return balancer;
}
