// Discovery over a list that the program itself keeps. Given to connect() by users.

import { toEndpoints } from "./check_endpoint.ts";
import type { Discovery, WatchOptions } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import { Snapshots } from "./snapshots.ts";

/**
 * A list of servers that is known beforehand, and that the program may change.
 *
 * An address that is given more than once is folded into one, in its first place; what the last of them says
 * of weight, services and metadata counts. An empty list is a list.
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
   * Starts with a list.
   *
   * @param addresses Addresses or endpoints
   * @throws {TypeError} If one of them is no endpoint; the message says why
   * @throws {RangeError} If something in one of them is over its bound
   */
  constructor(addresses: Iterable<string | Endpoint>) {
    this.update(addresses);
  }

  /**
   * Takes another list in place of the one before. Those who watch are told at once, if it differs.
   *
   * @param addresses Addresses or endpoints: the whole list
   * @throws {TypeError} If one of them is no endpoint; the list before then stays
   * @throws {RangeError} If something in one of them is over its bound; the list before then stays
   */
  update(addresses: Iterable<string | Endpoint>): void {
    // A lone address is iterable too, letter by letter, and would make for a puzzling message.
    if (typeof addresses === "string") {
      throw new TypeError("Cannot take servers from a string: put the address into an array");
    }
    this.#snapshots.publish(toEndpoints(addresses));
  }

  /**
   * The list as it is now.
   *
   * @returns The servers, in the order given
   */
  endpoints(): Promise<readonly Endpoint[]> {
    return Promise.resolve(this.#snapshots.latest ?? []);
  }

  /**
   * Follows the list: as it is now, then at each `update` that changes it.
   *
   * @param options What ends the watch
   * @returns Whole lists
   */
  watch(options: WatchOptions = {}): AsyncIterable<readonly Endpoint[]> {
    return this.#snapshots.watch(options.signal);
  }
}
