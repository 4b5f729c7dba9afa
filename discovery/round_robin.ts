// The round-robin balancer. Created by createBalancer("round_robin").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RandomOptions } from "./random_balancer.ts";

/**
 * Picks the servers in turn. Over any number of calls, the numbers of calls of any two servers differ by at most one.
 *
 * Calls that exclude servers, such as retries, are spread evenly over the others: they have turns of their own, in the opposite
 * order, so that servers that received one call more than others come last.
 *
 * The first server is random, so that many clients that start together do not all call the same one. The position is kept when
 * the list changes.
 */
export class RoundRobinBalancer implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly Endpoint[] = [];
  /** Index of the next server. */
  #next = 0;
  /** The same for calls that exclude servers. */
  #nextOther = 0;

  constructor(options: RandomOptions = {}) {
    this.#random = options.random ?? Math.random;
  }

  update(endpoints: readonly Endpoint[]): void {
    const before = this.#endpoints;
    const count = endpoints.length;
    this.#endpoints = endpoints;
    const positions = new Map(endpoints.map(({ address }, position) => [address, position]));
    const start = Math.floor(this.#random() * count);
    this.#next = positionIn(positions, before, this.#next, 1) ?? start;
    this.#nextOther = positionIn(positions, before, this.#nextOther, -1) ?? (start > 0 ? start : count) - 1;
  }

  pick(call: PickContext): Endpoint | undefined {
    const endpoints = this.#endpoints;
    const exclude = call.exclude;
    if (exclude !== undefined && exclude.size > 0) return this.#pickOther(exclude);
    const endpoint = endpoints[this.#next];
    this.#next = this.#next + 1 < endpoints.length ? this.#next + 1 : 0;
    return endpoint;
  }

  #pickOther(exclude: ReadonlySet<string>): Endpoint | undefined {
    const endpoints = this.#endpoints;
    // At most one round: if all servers are excluded, each is checked once.
    for (let step = 0; step < endpoints.length; step++) {
      const endpoint = endpoints[this.#nextOther]!;
      this.#nextOther = (this.#nextOther > 0 ? this.#nextOther : endpoints.length) - 1;
      if (!exclude.has(endpoint.address)) return endpoint;
    }
    return undefined;
  }
}

/**
 * The position in the new list of the server whose turn it is, or of the first server after it that is still listed.
 *
 * @param direction The order of the turns
 */
function positionIn(
  positions: ReadonlyMap<string, number>,
  before: readonly Endpoint[],
  next: number,
  direction: 1 | -1,
): number | undefined {
  const count = before.length;
  for (let step = 0; step < count; step++) {
    const position = positions.get(before[(next + direction * step + count) % count]!.address);
    if (position !== undefined) return position;
  }
  return undefined;
}
