// The servers that a registry lists, and those that it has suddenly stopped listing and that are kept for a while
// all the same. Owned by RegistryDiscovery.

import type { Clock } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";

/**
 * A list that does not believe in sudden emptiness.
 *
 * A registry that has lost its memory, or the servers' heartbeats, lists nobody although the servers are well. So a
 * list that becomes empty is kept for a while as it was, and so are servers that are missing when a registry starts
 * over. Servers that are dead in truth cost their clients a fail-over each in that time.
 */
export class HeldList {
  readonly #clock: Clock;
  readonly #holdTime: number;
  #listed = new Map<string, Endpoint>();
  #held = new Map<string, Endpoint>();
  #heldUntil = 0;

  constructor(clock: Clock, holdTime: number) {
    this.#clock = clock;
    this.#holdTime = holdTime;
  }

  /** When what is held will be let go; `undefined` if nothing is. */
  get heldUntil(): number | undefined {
    return this.#held.size > 0 ? this.#heldUntil : undefined;
  }

  /** Takes a whole list. `startsOver` if the registry cannot say what has changed since the last one. */
  replace(endpoints: readonly Endpoint[], startsOver: boolean): void {
    const before = this.#listed;
    this.#listed = new Map(endpoints.map((endpoint) => [endpoint.address, endpoint]));
    if (startsOver || this.#listed.size === 0) this.#hold(before.values());
    for (const address of this.#listed.keys()) this.#held.delete(address);
  }

  /** Takes what has changed. */
  change(set: readonly Endpoint[], removed: readonly string[]): void {
    const gone: Endpoint[] = [];
    for (const address of removed) {
      const endpoint = this.#listed.get(address);
      if (endpoint !== undefined) gone.push(endpoint);
      this.#listed.delete(address);
    }
    for (const endpoint of set) {
      this.#listed.set(endpoint.address, endpoint);
      this.#held.delete(endpoint.address);
    }
    if (this.#listed.size === 0) this.#hold(gone);
  }

  /** The servers as of now, in the order of their addresses. */
  endpoints(): readonly Endpoint[] {
    if (this.#clock.now() >= this.#heldUntil) this.#held.clear();
    const all = [...this.#held.values(), ...this.#listed.values()];
    return Object.freeze(all.sort((a, b) => a.address < b.address ? -1 : 1));
  }

  #hold(endpoints: Iterable<Endpoint>): void {
    for (const endpoint of endpoints) {
      this.#held.set(endpoint.address, endpoint);
      this.#heldUntil = this.#clock.now() + this.#holdTime;
    }
  }
}
