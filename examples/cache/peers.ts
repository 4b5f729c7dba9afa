// The other peers: who they are, whose a key is, and asking its owner. One for a process, shared by its groups.

import {
  type Balancer,
  type Client,
  connect,
  createBalancer,
  type Discovery,
  MultiServers,
} from "@troodon/rpc";
import { Cache, checkKept, type Kept, MAX_VALUE_BYTES } from "./contract.ts";

/** How long a peer may take to load a value, in ms. One that is gone or hangs is found out much sooner. */
const FETCH_TIMEOUT = 10_000;
/** How soon a peer is found out that does not answer at all, in ms. */
const SILENCE = { connectTimeout: 1_000, heartbeatInterval: 500, heartbeatTimeout: 1_000 };

/** What a {@linkcode Group} needs of the other peers. */
export interface PeerPicker {
  /** The address of the peer that a key belongs to; undefined if that is this one, or nobody is known. */
  ownerOf(group: string, key: string): string | undefined;
  /**
   * Asks the owner of a key for its value.
   *
   * @throws {RpcError} What the owner said, or why it could not be asked
   */
  fetch(group: string, key: string): Promise<Kept>;
}

/**
 * The hash ring that all peers agree on: the library's own balancer by consistent hashing. It is the same whatever the
 * order in which peers came. Bounded load is switched off: a key must stay with its owner however busy that is, or it
 * would be loaded twice.
 */
export function createRing(): Balancer {
  return createBalancer("consistent_hash", { loadFactor: Infinity });
}

/** Whose a key is on a ring; undefined while nobody is on it. */
export function ownerOn(ring: Balancer, key: string): string | undefined {
  const owner = ring.pick({ method: "Cache.get", key });
  // It is only a question: no call follows that would count as load.
  if (owner !== undefined) ring.done?.(owner, { duration: 0 });
  return owner?.address;
}

/** The peers that a discovery lists. */
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
   * Follows a discovery. While it has no list, which is no reason to wait, every key belongs to this process.
   *
   * @param self The address of this process, as the others know it
   * @param discovery Who is there, this process included
   */
  static async follow(self: string, discovery: Discovery): Promise<Peers> {
    const ring = createRing();
    const servers = new MultiServers([]);
    // The ring is also the balancer of the client, so that the peer that is asked is always the one that was meant. None
    // is set aside for its failures: its keys would move, and that is for the registry to say.
    const client = await connect(servers, {
      balancer: ring,
      ejection: false,
      failMode: "failfast",
      timeout: FETCH_TIMEOUT,
      maxFrameBytes: MAX_VALUE_BYTES + 64 * 1024,
      ...SILENCE,
    });
    return new Peers(self, ring, client, async (signal) => {
      for await (const endpoints of discovery.watch({ signal })) servers.update(endpoints);
    });
  }

  /** The peers on the ring and how the connections to them stand, this process included. */
  get list(): { address: string; state: string }[] {
    return this.#client.stats().endpoints.map(({ address, state }) => ({
      address,
      state: address === this.#self ? "this one" : state,
    }));
  }

  ownerOf(group: string, key: string): string | undefined {
    const owner = ownerOn(this.#ring, placeOf(group, key));
    return owner === this.#self ? undefined : owner;
  }

  async fetch(group: string, key: string): Promise<Kept> {
    return checkKept(await this.#client.service(Cache).get({ group, key }, { key: placeOf(group, key) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#following;
    await this.#client.close();
  }
}

/** What is hashed: a group's name ends where the key begins, since it has no slash. */
function placeOf(group: string, key: string): string {
  return `${group}/${key}`;
}
