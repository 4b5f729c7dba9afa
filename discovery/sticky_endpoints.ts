// The servers that a registry lists, and servers that it has suddenly stopped listing, which are kept for a while. Owned by
// RegistryDiscovery.

import type { Clock } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";

/** Details of a new list or a change. */
export interface ListChange {
  /** Addresses of servers that were paused, drained or removed. */
  withdrawn: readonly string[];
  /** Whether the registry cannot tell what has changed since the last list. */
  startsOver?: boolean;
}

/**
 * A list that keeps servers when most of them disappear at once.
 *
 * A registry that has lost its state, or the servers' heartbeats, does not list servers that still work. Therefore servers that
 * are missing when a registry starts over are held for a while, and so are servers whose leases have expired, once they
 * outnumber the listed ones. During that time each server that is really dead costs its clients a failover. Servers that were
 * paused, drained or removed are never held.
 */
export class StickyEndpoints {
  readonly #clock: Clock;
  readonly #holdTime: number;
  #listed = new Map<string, Endpoint>();
  #held = new Map<string, Endpoint>();
  #heldUntil = 0;
  /** Servers whose leases have expired within the last `holdTime`, and when. */
  readonly #lapsed = new Map<string, { endpoint: Endpoint; at: number }>();

  constructor(clock: Clock, holdTime: number) {
    this.#clock = clock;
    this.#holdTime = holdTime;
  }

  /** When held servers are released; `undefined` if none are held. */
  get heldUntil(): number | undefined {
    return this.#held.size > 0 ? this.#heldUntil : undefined;
  }

  /** Replaces the list. */
  replace(endpoints: readonly Endpoint[], change: ListChange): void {
    const before = this.#listed;
    this.#listed = new Map(endpoints.map((endpoint) => [endpoint.address, endpoint]));
    this.#dropOrHold([...before.values()].filter(({ address }) => !this.#listed.has(address)), change);
  }

  /** Applies a change. */
  change(set: readonly Endpoint[], removed: readonly string[], change: ListChange): void {
    const unlisted: Endpoint[] = [];
    for (const address of [...removed, ...change.withdrawn]) {
      const endpoint = this.#listed.get(address);
      if (endpoint !== undefined) unlisted.push(endpoint);
      this.#listed.delete(address);
    }
    for (const endpoint of set) this.#listed.set(endpoint.address, endpoint);
    this.#dropOrHold(unlisted, change);
  }

  /** The current servers, ordered by address. */
  endpoints(): readonly Endpoint[] {
    this.#expire();
    const all = [...this.#held.values(), ...this.#listed.values()];
    return Object.freeze(all.sort((a, b) => a.address < b.address ? -1 : 1));
  }

  /** Processes servers that are no longer listed, and decides which of them to hold. */
  #dropOrHold(unlisted: readonly Endpoint[], { withdrawn, startsOver = false }: ListChange): void {
    this.#expire();
    const at = this.#clock.now();
    for (const endpoint of unlisted) {
      if (startsOver) this.#hold(endpoint);
      else this.#lapsed.set(endpoint.address, { endpoint, at });
    }
    for (const known of [this.#held, this.#lapsed]) {
      for (const address of known.keys()) if (this.#listed.has(address)) known.delete(address);
      for (const address of withdrawn) known.delete(address);
    }
    if (this.#lapsed.size + this.#held.size <= this.#listed.size) return;
    for (const { endpoint } of this.#lapsed.values()) this.#hold(endpoint);
    this.#lapsed.clear();
  }

  #hold(endpoint: Endpoint): void {
    this.#held.set(endpoint.address, endpoint);
    this.#heldUntil = this.#clock.now() + this.#holdTime;
  }

  #expire(): void {
    const now = this.#clock.now();
    if (now >= this.#heldUntil) this.#held.clear();
    for (const [address, { at }] of this.#lapsed) {
      if (now >= at + this.#holdTime) this.#lapsed.delete(address);
    }
  }
}
