// The seam between the registry and where its leases are kept. MemoryStore and EtcdStore implement it; the
// registry uses it.

import type { Endpoint } from "../discovery/endpoint.ts";

/**
 * Whether a server on the list takes calls.
 *
 * - `"active"`: clients are told of it
 * - `"paused"`: clients are not told of it until somebody resumes it
 * - `"draining"`: as paused, and the server is told that it should leave
 */
export type InstanceState = "active" | "paused" | "draining";

/** A server on the list, and how long it stays there. Times are as of when the lease was handed out. */
export interface Lease {
  /** The server. */
  readonly instance: Endpoint;
  /** How long it stays after a heartbeat, in ms; 0 means until it is taken off. */
  readonly ttl: number;
  /** How long it has been on the list without a gap, in ms. */
  readonly age: number;
  /** How long ago the last heartbeat was, in ms. Left out by a store that does not know. */
  readonly idle?: number;
  /** Which registration of this address it is: a later one has a greater number. */
  readonly incarnation: number;
  /** Whether it takes calls. */
  readonly state: InstanceState;
}

/** What {@linkcode RegistryStore.grant} did. */
export interface Grant {
  /** The lease as it is now. */
  readonly lease: Lease;
  /** Whether the server was not on the list before. */
  readonly created: boolean;
}

/** The whole list as it was at one revision. */
export interface LeaseList {
  /** Grows with every change of the list, by 1 or more. Heartbeats are no changes. */
  readonly revision: number;
  /**
   * The revision that the list began with, without servers: who knows an older one knows a list that the store has lost.
   * Left out by a store that outlives its registries.
   */
  readonly firstRevision?: number;
  /** In the order of addresses. */
  readonly leases: readonly Lease[];
  /** The addresses of servers that are gone because they were taken off lately. Left out by a store that does not know. */
  readonly withdrawn?: readonly string[];
}

/** What became different at one revision. */
export interface LeaseChange {
  /** The revision that the change led to. */
  readonly revision: number;
  /** Who is on the list from now on, or is different. */
  readonly set: readonly Lease[];
  /** The addresses of those who are gone. */
  readonly removed: readonly string[];
  /** Those of `removed` that were taken off: the leases of the others have run out. Left out: none. */
  readonly withdrawn?: readonly string[];
}

/** What {@linkcode RegistryStore.watch} tells: the list from which to start over, or the next change. */
export type LeaseEvent = { readonly list: LeaseList } | { readonly change: LeaseChange };

/** Options of {@linkcode RegistryStore.watch}. */
export interface WatchLeasesOptions {
  /** The revision that is known already: changes after it will be told. Left out, the list comes first. */
  after?: number;
  /** Ends the watch, without an error. */
  signal?: AbortSignal;
}

/**
 * Keeps leases, one for each address.
 *
 * A store counts time by a clock that never jumps. It is given instances that have been checked.
 *
 * Incarnations keep a server that was replaced from disturbing the one in its place: what a method is asked on
 * behalf of an incarnation is done only while that is the one on the list.
 *
 * @example The store that a registry has by default, with room for fewer
 * ```ts
 * import { MemoryStore, Registry, type RegistryStore } from "@troodon/rpc/registry";
 *
 * const store: RegistryStore = new MemoryStore({ maxInstances: 100 });
 * await using registry = new Registry({ store });
 * const listing = await registry.fetch(new Request("http://localhost/_rpc_/registry"));
 * console.log((await listing.json()).servers); // []
 * ```
 */
export interface RegistryStore {
  /**
   * Puts a server on the list, or renews it and takes over what the instance now says.
   *
   * @param instance The server
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is taken off. A store may grant more,
   *   by up to 2 s
   * @param incarnation Left out: whichever is on the list, or a new one. 0: a new one, which replaces what is there.
   *   Another number: only that one
   * @param state What a new incarnation begins with, of a server that was on the list before: unless its lease ran out in
   *   another one, as far as the store remembers. Left out: `"active"`. Without effect on an incarnation that stays
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if there is no room for it, `not_found` if the incarnation is not on the
   *   list any more, `aborted` if another has its place, `unavailable` if the store is away
   */
  grant(instance: Endpoint, ttl: number, incarnation?: number, state?: InstanceState): Promise<Grant>;
  /**
   * Renews a lease as it is.
   *
   * @param address Of the server
   * @param incarnation Left out: whichever is on the list
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if the store is away
   */
  renew(address: string, incarnation?: number): Promise<Lease | undefined>;
  /**
   * Takes a server off the list.
   *
   * @param address Of the server
   * @param incarnation Left out: whichever is on the list
   * @returns Whether it was on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if the store is away
   */
  revoke(address: string, incarnation?: number): Promise<boolean>;
  /**
   * Pauses, drains or resumes a server. The state stays until it is set again or a new incarnation registers.
   *
   * @param address Of the server
   * @param state What it is to be
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `unavailable` if the store is away
   */
  setState(address: string, state: InstanceState): Promise<Lease | undefined>;
  /**
   * The servers whose leases have not run out.
   *
   * @returns Their leases, and the revision
   * @throws {RpcError} `unavailable` if the store is away
   */
  list(): Promise<LeaseList>;
  /**
   * Follows the list: every change once, in order, one event for each revision. If the changes after the revision
   * are not known any more, or the revision is not one of this store, the whole list comes first.
   *
   * Ended by its signal, or by leaving the loop.
   *
   * @param options Where to begin, and what ends it
   * @returns What happens
   * @throws {RpcError} `unavailable` if the store is away or goes away
   */
  watch(options?: WatchLeasesOptions): AsyncIterable<LeaseEvent>;
}
