// The other peers: their addresses, the owner of a key, and requests to it. One instance per process, shared
// by its groups.

import {
  type Balancer,
  type Client,
  connect,
  createBalancer,
  type Discovery,
  MultiServers,
} from "@troodon/rpc";
import { Cache, type CachedValue, checkCachedValue, MAX_VALUE_BYTES } from "./contract.ts";

/** Maximum time for a peer to load a value, in ms. A peer that is gone or hangs is detected much sooner. */
const FETCH_TIMEOUT = 10_000;
/** Detection of a peer that does not respond at all, in ms. */
const DETECTION = { connectTimeout: 1_000, heartbeatInterval: 500, heartbeatTimeout: 1_000 };

/** The access to other peers that a {@linkcode Group} needs. */
export interface PeerPicker {
  /** The address of the peer that owns a key; undefined if it is this one, or no peer is known. */
  ownerOf(group: string, key: string): string | undefined;
  /**
   * Requests a value from the owner of its key.
   *
   * @throws {RpcError} The error of the owner, or the reason why it is unreachable
   */
  fetch(group: string, key: string): Promise<CachedValue>;
}

/**
 * Creates the hash ring that all peers agree on: the library's balancer by consistent hashing, which does not
 * depend on the order in which peers joined. Bounded load is switched off: a key must stay with its owner
 * however busy that is, or it would be loaded twice.
 */
export function createRing(): Balancer {
  return createBalancer("consistent_hash", { loadFactor: Infinity });
}

/** The owner of a key on a ring; undefined while the ring is empty. */
export function ownerOn(ring: Balancer, key: string): string | undefined {
  const owner = ring.pick({ method: "Cache.get", key });
  // No call follows this pick, so it must not count as load.
  if (owner !== undefined) ring.done?.(owner, { duration: 0 });
  return owner?.address;
}

/** The peers listed by a discovery. */
export class Peers implements PeerPicker, AsyncDisposable {
  readonly #self: string;
  readonly #ring: Balancer;
  readonly #client: Client;
  readonly #stop = new AbortController();
  readonly #following: Promise<void>;

  private constructor(
    self: string,
    ring: Balancer,
    client: Client,
    following: (signal: AbortSignal) => Promise<void>,
  ) {
    this.#self = self;
    this.#ring = ring;
    this.#client = client;
    this.#following = following(this.#stop.signal);
  }

  /**
   * Follows a discovery, without waiting for its first list. While there is no list, this process owns every
   * key.
   *
   * @param self The address of this process, as other peers know it
   * @param discovery Lists all peers, this process included
   */
  static async follow(self: string, discovery: Discovery): Promise<Peers> {
    const ring = createRing();
    const servers = new MultiServers([]);
    // The ring is also the client's balancer, so that calls always go to the owner. Ejection is off: it would
    // move the keys of a failing peer, which only the registry may decide.
    const client = await connect(servers, {
      balancer: ring,
      ejection: false,
      failMode: "failfast",
      timeout: FETCH_TIMEOUT,
      maxFrameBytes: MAX_VALUE_BYTES + 64 * 1024,
      ...DETECTION,
    });
    return new Peers(self, ring, client, async (signal) => {
      for await (const endpoints of discovery.watch({ signal })) servers.update(endpoints);
    });
  }

  /** The peers on the ring with the states of their connections, this process included. */
  get list(): { address: string; state: string }[] {
    return this.#client.stats().endpoints.map(({ address, state }) => ({
      address,
      state: address === this.#self ? "this one" : state,
    }));
  }

  ownerOf(group: string, key: string): string | undefined {
    const owner = ownerOn(this.#ring, hashKeyOf(group, key));
    return owner === this.#self ? undefined : owner;
  }

  async fetch(group: string, key: string): Promise<CachedValue> {
    return checkCachedValue(
      await this.#client.service(Cache).get({ group, key }, { key: hashKeyOf(group, key) }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#following;
    await this.#client.close();
  }
}

/** The hashed text. Group names have no slash, so it is unambiguous. */
function hashKeyOf(group: string, key: string): string {
  return `${group}/${key}`;
}
