// The interface between a client and its list of servers: the latest list, and a stream of changes. MultiServers and
// RegistryDiscovery implement it; clients use it.

import type { Endpoint } from "./endpoint.ts";

/** Options of {@linkcode Discovery.watch}. */
export interface WatchOptions {
  /** Ends watching, without an error. */
  signal?: AbortSignal;
}

/**
 * Provides the list of servers.
 *
 * Lists are complete, frozen snapshots with each address once.
 *
 * @example A custom discovery whose list never changes
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
  /** Why there is no list yet, or no newer one; undefined if there is no problem. For errors of calls that wait for a list. */
  readonly failure?: Error | undefined;
  /**
   * What provides the list, and of what, for errors of calls that find it empty. Such as
   * `the registry at http://10.0.0.1:9999 for service "Arith"`.
   */
  readonly source?: string;
  /**
   * The latest known list of servers.
   *
   * @returns The list, which may be empty
   * @throws {RpcError} `unavailable` if no list has been received yet
   */
  endpoints(): Promise<readonly Endpoint[]>;
  /**
   * Watches the list: yields the current one first, then one at each change, and never the same list twice in a row.
   *
   * A slow consumer receives the latest list and skips the ones in between. Watching costs nothing until the first list is
   * requested; from then on it has to be ended: by leaving the loop, by `return()`, or by the signal.
   *
   * @param options The signal that ends watching
   * @returns Complete lists
   */
  watch(options?: WatchOptions): AsyncIterable<readonly Endpoint[]>;
  /**
   * Looks for changes soon. A client calls it when it has lost a connection or cannot make one; a discovery that is notified
   * of changes needs none.
   */
  refresh?(): void;
}
