// The consistent-hashing balancer, which sends calls with the same key to the same server. Created by createBalancer("consistent_hash").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import { hashText, mix } from "./hash.ts";
import type { RandomOptions } from "./random_balancer.ts";

/** Options of {@linkcode ConsistentHashBalancer}. */
export interface ConsistentHashOptions extends RandomOptions {
  /**
   * Maximum load of a server as a multiple of the average load, greater than 1; Infinity = no limit.
   *
   * @default {1.25}
   */
  loadFactor?: number;
}

/** Positions of one server on the ring: with 256, the largest share of ten servers is about a tenth above the average. */
const REPLICAS = 256;
/** Pending calls that a server may have beyond its limit, so that random variation does not move keys. */
const SLACK = 16;
/** Size of the ring: positions are from 0 up to, but not including, this. */
const RING = 2 ** 32;
/** Upper bound of the number of servers. */
const MAX_SERVERS = 2 ** 20;

/** The positions of all servers on the ring. */
interface Ring {
  /** The servers, ordered by address. */
  readonly endpoints: readonly Endpoint[];
  /** The positions in ascending order. */
  readonly positions: Uint32Array;
  /** For each position, the index of its server. */
  readonly owners: Uint32Array;
}

/**
 * Consistent hashing with bounded loads. Picks the server with the first position on a ring of hashes at or after the hash of
 * the call's `key`: calls with the same key go to the same server, and a server that joins or leaves moves only its own keys.
 * Calls without a key go to random positions of the ring, so to any server.
 *
 * Consistent hashing with virtual nodes: Karger et al., "Consistent Hashing and Random Trees" (STOC 1997). A server that has
 * more than `loadFactor` times the average of pending calls (plus 16, so that random variation moves no keys) is skipped for
 * the next one on the ring: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (SODA 2018). The ring
 * does not depend on the order of the list. Weights are ignored.
 */
export class ConsistentHashBalancer implements Balancer {
  readonly #random: () => number;
  readonly #factor: number;
  /** The servers, ordered by address; the ring and `#pending` use the same indexes. */
  #endpoints: readonly Endpoint[] = [];
  #ring = ringOf([]);
  /** The previous ring, which is often the next one again: after a server was ejected and readmitted. */
  #previous = this.#ring;
  #pending = new Int32Array();
  #indices = new Map<string, number>();
  /** The sum of `#pending`. */
  #total = 0;

  /** @throws {RangeError} If `loadFactor` is not greater than 1 */
  constructor(options: ConsistentHashOptions = {}) {
    this.#random = options.random ?? Math.random;
    this.#factor = options.loadFactor ?? 1.25;
    if (typeof this.#factor !== "number" || !(this.#factor > 1)) {
      throw new RangeError(`Cannot use loadFactor ${options.loadFactor}: expected a number greater than 1`);
    }
  }

  update(endpoints: readonly Endpoint[]): void {
    const before = this.#indices;
    const sorted = endpoints.toSorted((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0);
    const indices = new Map(sorted.map(({ address }, index) => [address, index]));
    this.#pending = Int32Array.from(sorted, ({ address }) => this.#pending[before.get(address) ?? -1] ?? 0);
    this.#total = this.#pending.reduce((sum, pending) => sum + pending, 0);
    if (!sameAddresses(sorted, this.#ring.endpoints)) {
      const next = sameAddresses(sorted, this.#previous.endpoints) ? this.#previous : ringOf(sorted);
      this.#previous = this.#ring;
      this.#ring = next;
    }
    this.#endpoints = sorted;
    this.#indices = indices;
  }

  pick(call: PickContext): Endpoint | undefined {
    const { owners } = this.#ring;
    if (owners.length === 0) return undefined;
    const { key, exclude } = call;
    if (key !== undefined && typeof key !== "string") {
      throw new TypeError(`Cannot use key of type ${typeof key}: expected text`);
    }
    const start = this.#indexOf(key === undefined ? Math.floor(this.#random() * RING) : hashText(key));
    const bound = Math.ceil(this.#factor * (this.#total + 1) / this.#endpoints.length) + SLACK;
    let full = -1;
    for (let step = 0, at = start; step < owners.length; step++, at = at + 1 < owners.length ? at + 1 : 0) {
      const index = owners[at]!;
      const endpoint = this.#endpoints[index]!;
      if (exclude !== undefined && exclude.has(endpoint.address)) continue;
      if (this.#pending[index]! < bound) return this.#take(index);
      if (full < 0) full = index;
    }
    // All servers that are not excluded are at their limit: the first of them takes the call anyway.
    return full < 0 ? undefined : this.#take(full);
  }

  done(endpoint: Endpoint): void {
    const index = this.#indices.get(endpoint.address);
    if (index === undefined || this.#pending[index] === 0) return;
    this.#pending[index]!--;
    this.#total--;
  }

  #take(index: number): Endpoint {
    this.#pending[index]!++;
    this.#total++;
    return this.#endpoints[index]!;
  }

  /** The index of the first position at or after `hash`. */
  #indexOf(hash: number): number {
    const { positions } = this.#ring;
    let low = 0;
    for (let high = positions.length; low < high;) {
      const middle = (low + high) >>> 1;
      if (positions[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === positions.length ? 0 : low;
  }
}

function sameAddresses(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return a.length === b.length && a.every(({ address }, index) => address === b[index]!.address);
}

/** The positions of all servers in order. At equal positions, the lower address is first. */
function ringOf(endpoints: readonly Endpoint[]): Ring {
  // Position and owner packed into one number sort many times faster than objects.
  const sorted = new Float64Array(endpoints.length * REPLICAS);
  let at = 0;
  for (const [index, { address }] of endpoints.entries()) {
    const hash = hashText(address);
    for (let replica = 1; replica <= REPLICAS; replica++) {
      sorted[at++] = mix(hash ^ mix(replica)) * MAX_SERVERS + index;
    }
  }
  sorted.sort();
  const positions = new Uint32Array(sorted.length);
  const owners = new Uint32Array(sorted.length);
  for (let i = 0; i < sorted.length; i++) {
    positions[i] = Math.floor(sorted[i]! / MAX_SERVERS);
    owners[i] = sorted[i]! % MAX_SERVERS;
  }
  return { endpoints, positions, owners };
}
