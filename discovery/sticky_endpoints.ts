// The servers that a registry lists, and those that it has suddenly stopped listing and that are kept for a while
// all the same. Owned by RegistryDiscovery.

import type { Clock } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";

/** What a registry says of its list besides the servers. */
export interface ListChange {
  /** The addresses of servers that were paused, drained or taken off. */
  withdrawn: readonly string[];
  /** Whether the registry cannot say what has changed since the last list. */
  startsOver?: boolean;
}

/**
 * A list that does not believe that most servers vanish at once.
 *
 * A registry that has lost its memory, or the servers' heartbeats, does not list servers that are well. So a server that
 * is missing when a registry starts over is kept for a while, and so are those whose leases have run out, once they are
 * more than are left. Servers that are dead in truth cost their clients a fail-over each in that time. What was paused,
 * drained or taken off is never kept.
 */
export class StickyEndpoints {
  readonly #clock: Clock;
  readonly #holdTime: number;
  #listed = new Map<string, Endpoint>();
  #held = new Map<string, Endpoint>();
  #heldUntil = 0;
  /** Servers whose leases have run out within the last `holdTime`, and when. */
  readonly #lapsed = new Map<string, { endpoint: Endpoint; at: number }>();

  constructor(clock: Clock, holdTime: number) {
    this.#clock = clock;
    this.#holdTime = holdTime;
  }

  /** When what is held will be let go; `undefined` if nothing is. */
  get heldUntil(): number | undefined {
    return this.#held.size > 0 ? this.#heldUntil : undefined;
  }

  /** Takes a whole list. */
  replace(endpoints: readonly Endpoint[], change: ListChange): void {
    const before = this.#listed;
    this.#listed = new Map(endpoints.map((endpoint) => [endpoint.address, endpoint]));
    this.#lose([...before.values()].filter(({ address }) => !this.#listed.has(address)), change);
  }

  /** Takes what has changed. */
  change(set: readonly Endpoint[], removed: readonly string[], change: ListChange): void {
    const gone: Endpoint[] = [];
    for (const address of [...removed, ...change.withdrawn]) {
      const endpoint = this.#listed.get(address);
      if (endpoint !== undefined) gone.push(endpoint);
      this.#listed.delete(address);
    }
    for (const endpoint of set) this.#listed.set(endpoint.address, endpoint);
    this.#lose(gone, change);
  }

  /** The servers as of now, in the order of their addresses. */
  endpoints(): readonly Endpoint[] {
    this.#letGo();
    const all = [...this.#held.values(), ...this.#listed.values()];
    return Object.freeze(all.sort((a, b) => a.address < b.address ? -1 : 1));
  }

  /** Takes that servers are not listed any more, and decides which of them are held. */
  #lose(gone: readonly Endpoint[], { withdrawn, startsOver = false }: ListChange): void {
    this.#letGo();
    const at = this.#clock.now();
    for (const endpoint of gone) {
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

  #letGo(): void {
    const now = this.#clock.now();
    if (now >= this.#heldUntil) this.#held.clear();
    for (const [address, { at }] of this.#lapsed) {
      if (now >= at + this.#holdTime) this.#lapsed.delete(address);
    }
  }
}
