// Discovery over a list that the program maintains itself. Users pass it to connect().

import { toEndpoints } from "./check_endpoint.ts";
import type { Discovery, WatchOptions } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import { Snapshots } from "./snapshots.ts";

/**
 * A fixed list of servers, which the program can replace.
 *
 * Duplicate addresses are merged: the address keeps its first position, and weight, services and metadata of its last entry
 * count. The list may be empty.
 *
 * @example Usage
 * ```ts
 * import { MultiServers } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * const servers = new MultiServers(["tcp@10.0.0.1:9999", { address: "tcp@10.0.0.2:9999", weight: 3 }]);
 * servers.update(["tcp@10.0.0.3:9999"]);
 * assertEquals(await servers.endpoints(), [{ address: "tcp@10.0.0.3:9999" }]);
 * ```
 */
export class MultiServers implements Discovery {
  readonly #snapshots = new Snapshots();

  /**
   * Creates a discovery with an initial list.
   *
   * @param addresses Addresses or endpoints
   * @throws {TypeError} If an endpoint is invalid; the message says why
   * @throws {RangeError} If an endpoint exceeds a limit
   */
  constructor(addresses: Iterable<string | Endpoint>) {
    this.update(addresses);
  }

  /**
   * Replaces the list. Watchers are notified at once if it differs.
   *
   * @param addresses Addresses or endpoints: the complete list
   * @throws {TypeError} If an endpoint is invalid; the previous list stays
   * @throws {RangeError} If an endpoint exceeds a limit; the previous list stays
   */
  update(addresses: Iterable<string | Endpoint>): void {
    // A string is iterable too, letter by letter, and would give a confusing message.
    if (typeof addresses === "string") {
      throw new TypeError("Cannot use servers: expected an array of addresses, got one string");
    }
    this.#snapshots.publish(toEndpoints(addresses));
  }

  /**
   * The current list.
   *
   * @returns The servers, in the given order
   */
  endpoints(): Promise<readonly Endpoint[]> {
    return Promise.resolve(this.#snapshots.latest ?? []);
  }

  /**
   * Watches the list: yields the current one, then one at each `update` that changes it.
   *
   * @param options The signal that ends watching
   * @returns Complete lists
   */
  watch(options: WatchOptions = {}): AsyncIterable<readonly Endpoint[]> {
    return this.#snapshots.watch(options.signal);
  }
}
