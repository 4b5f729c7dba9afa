// Makes balancers by their names. Used by the client; a further balancer is one file and one line here.

import type { Balancer } from "./balancer.ts";
import { RandomBalancer, type RandomOptions } from "./random.ts";
import { RoundRobinBalancer } from "./round_robin.ts";

/** The names that {@linkcode createBalancer} knows. */
export type BalancerName = "random" | "round_robin";

/** A Map, not an object, because the name may come from a configuration file: "constructor" is no balancer. */
const BALANCERS: ReadonlyMap<BalancerName, (options: RandomOptions) => Balancer> = new Map([
  ["random", (options: RandomOptions): Balancer => new RandomBalancer(options)],
  ["round_robin", (options: RandomOptions): Balancer => new RoundRobinBalancer(options)],
]);

/**
 * Makes a balancer, unless it is one already.
 *
 * - `"random"`: any server, each with the same chance
 * - `"round_robin"`: the servers in turn, exact to one call
 *
 * @example Usage
 * ```ts
 * import { createBalancer } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * const balancer = createBalancer("round_robin");
 * balancer.update([{ address: "tcp@10.0.0.1:9999" }]);
 * assertEquals(balancer.pick({ method: "Arith.sum" })?.address, "tcp@10.0.0.1:9999");
 * ```
 *
 * @param balancer The name of a balancer, or a balancer
 * @param options Where chance comes from, for tests
 * @returns A new balancer, or the one given
 * @throws {TypeError} If there is no balancer of that name, or the object is none
 */
export function createBalancer(balancer: BalancerName | Balancer, options: RandomOptions = {}): Balancer {
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
