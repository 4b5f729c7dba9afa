// The balancer that throws dice. Made by createBalancer("random").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";

/** Options of the balancers that need chance. */
export interface RandomOptions {
  /**
   * A number from 0 up to but not 1.
   *
   * @default {Math.random}
   */
  random?: () => number;
}

/** Picks any server, each with the same chance. */
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

  /** Two passes over the list rather than a filtered copy of it: a retry should not allocate either. */
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
