// Interface between the registry and the storage of its leases. Implemented by MemoryStore and EtcdStore,
// used by the registry.

import type { Endpoint } from "../discovery/endpoint.ts";

/**
 * Whether a server on the list receives calls.
 *
 * - `"active"`: clients see it
 * - `"paused"`: clients do not see it until an operator resumes it
 * - `"draining"`: like paused, and the server is notified that it should shut down
 */
export type InstanceState = "active" | "paused" | "draining";

/** A server on the list and its lease. Times are as of when the lease was returned. */
export interface Lease {
  /** The server. */
  readonly instance: Endpoint;
  /** How long it stays after a heartbeat, in ms; 0 means until it is removed. */
  readonly ttl: number;
  /** How long it has been on the list without interruption, in ms. */
  readonly age: number;
  /** Time since the last heartbeat, in ms. Omitted by stores that do not track it. */
  readonly idle?: number;
  /** The incarnation: each registration of an address has a greater number than the one before. */
  readonly incarnation: number;
  /** Whether it receives calls. */
  readonly state: InstanceState;
}

/** Result of {@linkcode RegistryStore.grant}. */
export interface Grant {
  /** The resulting lease. */
  readonly lease: Lease;
  /** Whether the server was not on the list before. */
  readonly created: boolean;
}

/** Snapshot of the list at one revision. */
export interface LeaseList {
  /** Grows by 1 or more with every change of the list. Heartbeats are not changes. */
  readonly revision: number;
  /**
   * The revision that the list began with, empty: a client with an older revision has seen a list that the
   * store has lost. Omitted by stores that outlive their registries.
   */
  readonly firstRevision?: number;
  /** Sorted by address. */
  readonly leases: readonly Lease[];
  /** The addresses of recently removed servers. Omitted by stores that do not track them. */
  readonly withdrawn?: readonly string[];
}

/** The difference made by one revision. */
export interface LeaseChange {
  /** The revision after the change. */
  readonly revision: number;
  /** The servers that were added or changed. */
  readonly set: readonly Lease[];
  /** The addresses of the servers that left the list. */
  readonly removed: readonly string[];
  /**
   * The addresses among `removed` that were removed deliberately; the leases of the others expired. Omitted:
   * none.
   */
  readonly withdrawn?: readonly string[];
}

/**
 * Event of {@linkcode RegistryStore.watch}: a list that replaces all that came before, or the next change.
 */
export type LeaseEvent = { readonly list: LeaseList } | { readonly change: LeaseChange };

/** Options of {@linkcode RegistryStore.watch}. */
export interface WatchLeasesOptions {
  /**
   * The revision already known: the watch reports the changes after it. Omitted: the first event is the list.
   */
  after?: number;
  /** Ends the watch when aborted, without an error. */
  signal?: AbortSignal;
}

/**
 * Storage of leases, one per address.
 *
 * A store measures leases by a clock that never jumps. The instances passed to it have been validated.
 *
 * Incarnations keep a replaced server from disturbing its replacement: a request on behalf of an incarnation
 * takes effect only while that incarnation is on the list.
 *
 * @example The default store of a registry, with a lower limit
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
   * Registers a server, or renews its lease and updates its description.
   *
   * @param instance The server
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is removed. A store may grant
   * up to 2 s more
   * @param incarnation Omitted: the one on the list, or a new one. 0: a new one, which replaces the one on
   * the list. Another number: only that one
   * @param state The state in which a new incarnation of a server that was on the list before starts, unless
   * the store remembers that its lease expired in another state. Omitted: `"active"`. Ignored for an
   * incarnation that stays
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if a limit would be exceeded, `not_found` if the incarnation is
   * no longer on the list, `aborted` if another one has replaced it, `unavailable` if the store is
   * unreachable
   */
  grant(instance: Endpoint, ttl: number, incarnation?: number, state?: InstanceState): Promise<Grant>;
  /**
   * Renews a lease without changes.
   *
   * @param address The address of the server
   * @param incarnation Omitted: the one on the list
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if the store is
   * unreachable
   */
  renew(address: string, incarnation?: number): Promise<Lease | undefined>;
  /**
   * Removes a server from the list.
   *
   * @param address The address of the server
   * @param incarnation Omitted: the one on the list
   * @returns Whether it was on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if the store is
   * unreachable
   */
  revoke(address: string, incarnation?: number): Promise<boolean>;
  /**
   * Pauses, drains or resumes a server. The state stays until it is set again or a new incarnation registers.
   *
   * @param address The address of the server
   * @param state The new state
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `unavailable` if the store is unreachable
   */
  setState(address: string, state: InstanceState): Promise<Lease | undefined>;
  /**
   * Lists the servers whose leases have not expired.
   *
   * @returns Their leases, and the revision
   * @throws {RpcError} `unavailable` if the store is unreachable
   */
  list(): Promise<LeaseList>;
  /**
   * Follows the list: every change once, in order, one event per revision. If the changes after the given
   * revision are no longer known, or it is not a revision of this store, the first event is the whole list.
   *
   * Ends when the signal aborts or the caller leaves the loop.
   *
   * @param options The revision to resume after, and the signal that ends the watch
   * @returns The events
   * @throws {RpcError} `unavailable` if the store is or becomes unreachable
   */
  watch(options?: WatchLeasesOptions): AsyncIterable<LeaseEvent>;
}
