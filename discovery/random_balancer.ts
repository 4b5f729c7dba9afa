// The random balancer. Created by createBalancer("random").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";

/** Options of the balancers that use randomness. */
export interface RandomOptions {
  /**
   * Returns a random number from 0 to, but not including, 1.
   *
   * @default {Math.random}
   */
  random?: () => number;
}

/** Picks any server, with equal probability. */
export class RandomBalancer implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly Endpoint[] = [];

  constructor(options: RandomOptions = {}) {
    this.#random = options.random ?? Math.random;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
  }

  pick(call: PickContext): Endpoint | undefined {
    const endpoints = this.#endpoints;
    const exclude = call.exclude;
    if (exclude !== undefined && exclude.size > 0) return this.#pickOther(exclude);
    const count = endpoints.length;
    return count < 2 ? endpoints[0] : endpoints[Math.floor(this.#random() * count)];
  }

  /** Passes over the list twice instead of filtering a copy, so that retries do not allocate either. */
  #pickOther(exclude: ReadonlySet<string>): Endpoint | undefined {
    let count = 0;
    for (const { address } of this.#endpoints) {
      if (!exclude.has(address)) count++;
    }
    let skip = Math.floor(this.#random() * count);
    for (const endpoint of this.#endpoints) {
      if (!exclude.has(endpoint.address) && skip-- === 0) return endpoint;
    }
    return undefined;
  }
}
