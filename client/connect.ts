// `connect` outside of browsers: over the sockets of Deno, Node or Bun. Exported by @troodon/rpc/client; the root entry point
// exports that of connect_dns.ts.

import type { Discovery } from "../discovery/discovery.ts";
import { EarlyCalls } from "../session/early_calls.ts";
import { dialSockets } from "../transport/sockets.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { connectWith } from "./connect_with.ts";

/**
 * Connects to one server, or to the servers that a discovery knows.
 *
 * A single address is dialed before the promise resolves, so a wrong one fails here. The servers of a discovery are
 * dialed when the first call goes to them; that of `new MultiServers([address])` answers a round trip sooner, because its
 * first calls leave with the handshake. The client reconnects lost connections by itself.
 *
 * `dns@` names are for `connect` of `@troodon/rpc`; here, pass a `DnsDiscovery`, in runtimes that have DNS.
 *
 * @example A client over two servers
 * ```ts
 * import { connect, MultiServers, Server } from "@troodon/rpc";
 *
 * await using server = new Server().register("Greeter", { greet: (name: string) => `Hello, ${name}!` });
 * const one = await server.listen("tcp@127.0.0.1:0");
 * const two = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(new MultiServers([one.address, two.address]), { balancer: "random" });
 * console.log(await client.call("Greeter.greet", "Ada", { timeout: 500 }));
 * ```
 *
 * @param target An address such as `tcp@10.0.0.7:9999`, or a discovery
 * @param options Codec, timeouts, balancer, limits
 * @returns A client, which must be closed
 * @throws {RpcError} If the server cannot be reached or refuses the client, or if there is no list of servers in time:
 * with the code of the discovery's `failure`, such as `unauthenticated`, or `unavailable`
 * @throws {TypeError} If the address or an option is invalid
 * @throws {RangeError} If a number is out of range
 */
export function connect(target: string | Discovery, options: ConnectOptions = {}): Promise<Client> {
  return connectWith(dialSockets, target, options, (...parts) => new EarlyCalls(...parts));
}
