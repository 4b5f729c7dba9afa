// The seam between the registry and where its leases are kept. MemoryStore implements it; the registry uses it.

import type { Endpoint } from "../discovery/endpoint.ts";

/** A server on the list, and how long it stays there. Times are as of when the lease was handed out. */
export interface Lease {
  /** The server. */
  readonly instance: Endpoint;
  /** How long it stays after a heartbeat, in ms; 0 means until it is taken off. */
  readonly ttl: number;
  /** How long it has been on the list without a gap, in ms. */
  readonly age: number;
  /** How long ago the last heartbeat was, in ms. */
  readonly idle: number;
}

/** What {@linkcode RegistryStore.grant} did. */
export interface Grant {
  /** The lease as it is now. */
  readonly lease: Lease;
  /** Whether the server was not on the list before. */
  readonly created: boolean;
}

/**
 * Keeps leases, one for each address.
 *
 * A store counts time by a clock that never jumps. It is given instances that have been checked.
 *
 * @example The store that a registry has by default, with room for fewer
 * ```ts
 * import { MemoryStore, Registry, type RegistryStore } from "@troodon/rpc/registry";
 *
 * const store: RegistryStore = new MemoryStore({ maxInstances: 100 });
 * await using registry = new Registry({ store });
 * const listing = await registry.fetch(new Request("http://localhost/_rpc_/registry"));
 * console.log(await listing.json()); // { ttl: 10000, servers: [] }
 * ```
 */
export interface RegistryStore {
  /**
   * Puts a server on the list, or renews it and takes over what the instance now says.
   *
   * @param instance The server
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is taken off
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if there is no room for it, `unavailable` if the store is away
   */
  grant(instance: Endpoint, ttl: number): Promise<Grant>;
  /**
   * Renews a lease as it is.
   *
   * @param address Of the server
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `unavailable` if the store is away
   */
  renew(address: string): Promise<Lease | undefined>;
  /**
   * Takes a server off the list.
   *
   * @param address Of the server
   * @returns Whether it was on the list
   * @throws {RpcError} `unavailable` if the store is away
   */
  revoke(address: string): Promise<boolean>;
  /**
   * The servers whose leases have not run out.
   *
   * @returns Their leases, in the order of their addresses
   * @throws {RpcError} `unavailable` if the store is away
   */
  list(): Promise<readonly Lease[]>;
}
