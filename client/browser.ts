/**
 * The client for web pages and their workers: that of `@troodon/rpc/client` without sockets, for a smaller bundle.
 *
 * Dials `ws@` and `wss@` addresses, and skips other addresses that a discovery lists.
 *
 * @example A call from a page of the server's own origin
 * ```ts ignore
 * import { connect } from "@troodon/rpc/browser";
 *
 * const client = await connect(`wss@${location.host}`);
 * console.log(await client.call("Greeter.greet", "Ada")); // Hello, Ada!
 * await client.close();
 * ```
 *
 * @module
 */

import type { Discovery } from "../discovery/discovery.ts";
import { dialWeb } from "../transport/dialer.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { connectWith } from "./connect_with.ts";

export * from "./names.ts";

/**
 * Connects over WebSockets, otherwise like `connect` of `@troodon/rpc/client`.
 *
 * @param target An address such as `wss@example.com:443`, or a discovery
 * @param options Codec, timeouts, balancer, limits
 * @returns A client, which must be closed
 * @throws {RpcError} If the server cannot be reached or refuses the client, or if there is no list of servers in time
 * @throws {TypeError} If the address or an option is invalid
 * @throws {RangeError} If a number is out of range
 */
export function connect(target: string | Discovery, options: ConnectOptions = {}): Promise<Client> {
  return connectWith(dialWeb, target, options);
}
