// The seam between a client and where its servers are: the latest list, and a watch on it. MultiServers and
// RegistryDiscovery implement it; clients use it.

import type { Endpoint } from "./endpoint.ts";

/** Options of {@linkcode Discovery.watch}. */
export interface WatchOptions {
  /** Ends the watch, without an error. */
  signal?: AbortSignal;
}

/**
 * Knows which servers there are.
 *
 * Lists are whole snapshots, frozen, each address in them once.
 *
 * @example A discovery of one's own, which never changes
 * ```ts
 * import type { Discovery, Endpoint } from "@troodon/rpc/discovery";
 *
 * const servers: readonly Endpoint[] = [{ address: "tcp@127.0.0.1:9999" }];
 * const discovery: Discovery = {
 *   endpoints: () => Promise.resolve(servers),
 *   async *watch() {
 *     yield await Promise.resolve(servers);
 *   },
 * };
 * ```
 */
export interface Discovery {
  /** Why there is no list yet, or no newer one; undefined if nothing is wrong. For the error of whoever waits for one. */
  readonly failure?: Error;
  /**
   * The servers as far as known now.
   *
   * @returns The list, which may be empty
   * @throws {RpcError} `unavailable` if there has never been a list to know
   */
  endpoints(): Promise<readonly Endpoint[]>;
  /**
   * Follows the list: the current one first, then one at each change, never one that is as the one before.
   *
   * Who is slow to ask gets the latest list, not those that it missed. A watch costs nothing until its first
   * list is asked for, and it must then be ended: by leaving the loop, by `return()`, or by the signal.
   *
   * @param options What ends it
   * @returns Whole lists
   */
  watch(options?: WatchOptions): AsyncIterable<readonly Endpoint[]>;
  /**
   * Looks for changes soon. A client calls it when it has lost a connection or cannot make one; a discovery that is notified
   * of changes needs none.
   */
  refresh?(): void;
}
