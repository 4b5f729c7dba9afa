// Connects a client to a part of a large list of servers. Wraps a discovery; made by users.

import { checkOptions } from "../call/check_options.ts";
import type { Discovery, WatchOptions } from "../discovery/discovery.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { hashText } from "../discovery/hash.ts";
import { Snapshots } from "../discovery/snapshots.ts";

/** The golden ratio's fractional part: its multiples spread evenly over 0 to 1 (Kronecker sequence). */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Options of {@linkcode subset}. */
export interface SubsetOptions {
  /** How many servers the client connects to, from 1. */
  size: number;
  /**
   * The number of this client among its peers, from 0, such as the ordinal of a pod: with it, every server gets nearly the
   * same number of clients. Left out: a random part of the list, with which that number varies as in a lottery.
   */
  client?: number;
  /**
   * Where chance comes from: a number from 0 up to but not 1.
   *
   * @default {Math.random}
   */
  random?: () => number;
}

/**
 * A discovery that shows a client a part of the list, so that a thousand clients of a thousand servers do not keep a million
 * connections.
 *
 * All clients order the servers alike, by a hash of their addresses, as a ring; each takes `size` servers in a row, from a
 * place of its own. A server that joins or leaves changes one connection of a client at most. Clients with numbers
 * (`client`) start at evenly spread places, as in "Reinventing Backend Subsetting at Google" (ACM Queue 20(5), 2022).
 *
 * @example Usage
 * ```ts
 * import { subset } from "@troodon/rpc/balancing";
 * import { MultiServers } from "@troodon/rpc";
 * import { assertEquals } from "@std/assert";
 *
 * const all = new MultiServers(Array.from({ length: 100 }, (_, i) => `tcp@10.0.0.${i}:9000`));
 * assertEquals((await subset(all, { size: 20, client: 3 }).endpoints()).length, 20);
 * ```
 *
 * @param discovery Knows all servers
 * @param options The size, and which part
 * @returns A discovery for one client
 * @throws {TypeError} If an option is unknown
 * @throws {RangeError} If `size` is not a whole number from 1, or `client` not one from 0
 */
export function subset(discovery: Discovery, options: SubsetOptions): Discovery {
  checkOptions<SubsetOptions>("use a subset", options, { size: true, client: true, random: true });
  const { size, client, random = Math.random } = options;
  if (!(Number.isSafeInteger(size) && size >= 1)) {
    throw new RangeError(`Cannot use size ${size}: expected a whole number from 1`);
  }
  if (client !== undefined && !(Number.isSafeInteger(client) && client >= 0)) {
    throw new RangeError(`Cannot use client ${client}: expected a whole number from 0`);
  }
  return new Subset(discovery, size, client === undefined ? random() : client * GOLDEN % 1);
}

class Subset implements Discovery {
  readonly #all: Discovery;
  readonly #size: number;
  readonly #place: number;
  readonly #snapshots = new Snapshots({
    onWatched: () => this.#start(),
    onUnwatched: () => this.#stop?.abort(),
  });
  #stop: AbortController | undefined;

  /** @param place Where on the ring the part begins: from 0 up to but not 1 */
  constructor(all: Discovery, size: number, place: number) {
    this.#all = all;
    this.#size = size;
    this.#place = place;
  }

  get source(): string | undefined {
    return this.#all.source;
  }

  get failure(): Error | undefined {
    return this.#all.failure;
  }

  async endpoints(): Promise<readonly Endpoint[]> {
    return partOf(await this.#all.endpoints(), this.#size, this.#place);
  }

  watch(options: WatchOptions = {}): AsyncIterable<readonly Endpoint[]> {
    return this.#snapshots.watch(options.signal);
  }

  refresh(): void {
    this.#all.refresh?.();
  }

  async #start(): Promise<void> {
    const { signal } = this.#stop = new AbortController();
    for await (const endpoints of this.#all.watch({ signal })) {
      this.#snapshots.publish(partOf(endpoints, this.#size, this.#place));
    }
  }
}

/** @param place Where the part begins: 0 up to but not 1 */
function partOf(endpoints: readonly Endpoint[], size: number, place: number): readonly Endpoint[] {
  if (endpoints.length <= size) return endpoints;
  const ring = endpoints.map((endpoint) => ({ endpoint, hash: hashText(endpoint.address) }));
  ring.sort((a, b) => a.hash - b.hash || (a.endpoint.address < b.endpoint.address ? -1 : 1));
  const start = Math.floor(place * ring.length);
  return Object.freeze(
    Array.from({ length: size }, (_, i) => ring[(start + i) % ring.length]!.endpoint),
  );
}
