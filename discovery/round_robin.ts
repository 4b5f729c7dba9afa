// The balancer that goes round. Made by createBalancer("round_robin").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RandomOptions } from "./random.ts";

/**
 * Picks the servers in turn. Over any number of calls, no server gets more than one call more than another.
 *
 * It starts at a random place, so that many clients that start together do not all call the same server, and
 * it keeps its place when the list changes.
 */
export class RoundRobinBalancer implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly Endpoint[] = [];
  #next = 0;

  constructor(options: RandomOptions = {}) {
    this.#random = options.random ?? Math.random;
  }

  update(endpoints: readonly Endpoint[]): void {
    const before = this.#endpoints;
    this.#endpoints = endpoints;
    this.#next = this.#placeIn(endpoints, before);
  }

  pick(call: PickContext): Endpoint | undefined {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    const exclude = call.exclude;
    // One round at most: an empty list makes no step, a list that is wholly excluded makes each once.
    for (let step = 0; step < count; step++) {
      const endpoint = endpoints[this.#next];
      this.#next = this.#next + 1 < count ? this.#next + 1 : 0;
      if (exclude === undefined || !exclude.has(endpoint!.address)) return endpoint;
    }
    return undefined;
  }

  /** Where the server whose turn it is stands in the new list, or else the first after it that is still there. */
  #placeIn(endpoints: readonly Endpoint[], before: readonly Endpoint[]): number {
    const places = new Map(endpoints.map(({ address }, place) => [address, place]));
    for (let step = 0; step < before.length; step++) {
      const place = places.get(before[(this.#next + step) % before.length]!.address);
      if (place !== undefined) return place;
    }
    return Math.floor(this.#random() * endpoints.length);
  }
}
