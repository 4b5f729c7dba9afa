// The balancer that goes round. Made by createBalancer("round_robin").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RandomOptions } from "./random_balancer.ts";

/**
 * Picks the servers in turn. Over any number of calls, no server gets more than one call more than another.
 *
 * Calls that exclude servers, such as those that are tried a second time, are spread evenly over the others: they have
 * slice of their own, in the opposite order, so that a server that got one call more than another gets those last.
 *
 * It starts at a random place, so that many clients that start together do not all call the same server, and
 * it keeps its place when the list changes.
 */
export class RoundRobinBalancer implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly Endpoint[] = [];
  /** Whose turn it is, as an index. */
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
    const places = new Map(endpoints.map(({ address }, place) => [address, place]));
    const start = Math.floor(this.#random() * count);
    this.#next = placeIn(places, before, this.#next, 1) ?? start;
    this.#nextOther = placeIn(places, before, this.#nextOther, -1) ?? (start > 0 ? start : count) - 1;
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
    // One round at most: a list that is wholly excluded makes each step once.
    for (let step = 0; step < endpoints.length; step++) {
      const endpoint = endpoints[this.#nextOther]!;
      this.#nextOther = (this.#nextOther > 0 ? this.#nextOther : endpoints.length) - 1;
      if (!exclude.has(endpoint.address)) return endpoint;
    }
    return undefined;
  }
}

/**
 * Where the server whose turn it is stands in the new list, or else the first after it that is still there.
 *
 * @param direction In which slice go
 */
function placeIn(
  places: ReadonlyMap<string, number>,
  before: readonly Endpoint[],
  next: number,
  direction: 1 | -1,
): number | undefined {
  const count = before.length;
  for (let step = 0; step < count; step++) {
    const place = places.get(before[(next + direction * step + count) % count]!.address);
    if (place !== undefined) return place;
  }
  return undefined;
}
