// The balancer that sends calls with the same key to the same server. Made by createBalancer("consistent_hash").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import { hashText, mix } from "./hash.ts";
import type { RandomOptions } from "./random_balancer.ts";

/** Options of {@linkcode ConsistentHashBalancer}. */
export interface ConsistentHashOptions extends RandomOptions {
  /**
   * How many times the average load one server may have, over 1; Infinity = any.
   *
   * @default {1.25}
   */
  loadFactor?: number;
}

/** Places of one server on the ring: with 256, the largest share of ten is about a tenth over the average. */
const REPLICAS = 256;
/** Pending calls that a server may have beyond its bound: what chance brings about is not to move keys. */
const SLACK = 16;
/** The ring, from 0 up to but not this. */
const RING = 2 ** 32;
/** More servers than there may be. */
const MAX_SERVERS = 2 ** 20;

/** The places of servers, and whose they are. */
interface Ring {
  /** The servers, by address. */
  readonly endpoints: readonly Endpoint[];
  /** In order. */
  readonly places: Uint32Array;
  /** Of each place, the index of its server. */
  readonly owners: Uint32Array;
}

/**
 * Picks the server whose place on a ring of hashes is the next after that of the call's `key`, so that calls with the
 * same key go to the same server, and a server that comes or goes moves only the keys that it gets or had. Calls without
 * a key go to random places of the ring, so to any server.
 *
 * Consistent hashing with virtual nodes: Karger et al., "Consistent Hashing and Random Trees" (STOC 1997). A server that
 * has more than `loadFactor` times the average of pending calls (and 16 besides, so that chance alone moves no keys) is
 * passed over for the next on the ring: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (SODA
 * 2018). The ring is the same whatever the order of the list. Weights do not count.
 */
export class ConsistentHashBalancer implements Balancer {
  readonly #random: () => number;
  readonly #factor: number;
  /** The servers, by address: indices in the ring and in `#pending` are those here. */
  #endpoints: readonly Endpoint[] = [];
  #ring = ringOf([]);
  /** The ring before, which is often the next again: a server is set aside and comes back. */
  #former = this.#ring;
  #pending = new Int32Array();
  #indices = new Map<string, number>();
  /** The sum of `#pending`. */
  #total = 0;

  /** @throws {RangeError} If `loadFactor` is not over 1 */
  constructor(options: ConsistentHashOptions = {}) {
    this.#random = options.random ?? Math.random;
    this.#factor = options.loadFactor ?? 1.25;
    if (typeof this.#factor !== "number" || !(this.#factor > 1)) {
      throw new RangeError(`Cannot use loadFactor ${options.loadFactor}: expected more than 1`);
    }
  }

  update(endpoints: readonly Endpoint[]): void {
    const before = this.#indices;
    const sorted = endpoints.toSorted((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0);
    const indices = new Map(sorted.map(({ address }, index) => [address, index]));
    this.#pending = Int32Array.from(sorted, ({ address }) => this.#pending[before.get(address) ?? -1] ?? 0);
    this.#total = this.#pending.reduce((sum, pending) => sum + pending, 0);
    if (!sameAddresses(sorted, this.#ring.endpoints)) {
      const next = sameAddresses(sorted, this.#former.endpoints) ? this.#former : ringOf(sorted);
      this.#former = this.#ring;
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
    const start = this.#place(key === undefined ? Math.floor(this.#random() * RING) : hashText(key));
    const bound = Math.ceil(this.#factor * (this.#total + 1) / this.#endpoints.length) + SLACK;
    let full = -1;
    for (let step = 0, at = start; step < owners.length; step++, at = at + 1 < owners.length ? at + 1 : 0) {
      const index = owners[at]!;
      const endpoint = this.#endpoints[index]!;
      if (exclude !== undefined && exclude.has(endpoint.address)) continue;
      if (this.#pending[index]! < bound) return this.#take(index);
      if (full < 0) full = index;
    }
    // All that are left are full, since others are excluded: it is theirs all the same.
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

  /** Where on the ring the first place from `hash` on stands. */
  #place(hash: number): number {
    const { places } = this.#ring;
    let low = 0;
    for (let high = places.length; low < high;) {
      const middle = (low + high) >>> 1;
      if (places[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === places.length ? 0 : low;
  }
}

function sameAddresses(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return a.length === b.length && a.every(({ address }, index) => address === b[index]!.address);
}

/** All places of all servers, in order. Where two meet, the lesser address is first. */
function ringOf(endpoints: readonly Endpoint[]): Ring {
  // Place and owner in one number are sorted many times faster than in an object.
  const sorted = new Float64Array(endpoints.length * REPLICAS);
  let at = 0;
  for (const [index, { address }] of endpoints.entries()) {
    const hash = hashText(address);
    for (let replica = 1; replica <= REPLICAS; replica++) {
      sorted[at++] = mix(hash ^ mix(replica)) * MAX_SERVERS + index;
    }
  }
  sorted.sort();
  const places = new Uint32Array(sorted.length);
  const owners = new Uint32Array(sorted.length);
  for (let i = 0; i < sorted.length; i++) {
    places[i] = Math.floor(sorted[i]! / MAX_SERVERS);
    owners[i] = sorted[i]! % MAX_SERVERS;
  }
  return { endpoints, places, owners };
}
