// `connect` of the root entry point, which also takes `dns@` names. `@troodon/rpc/client`, which web pages use, exports that
// of connect.ts instead, so that bundles for browsers contain no DNS.

import type { Discovery } from "../discovery/discovery.ts";
import type { Client } from "./client.ts";
import { connect as connectTo } from "./connect.ts";
import type { ConnectOptions } from "./connect_options.ts";

const DNS = "dns@";
const NAME_AND_PORT = /^([^:@/]+):([1-9][0-9]{0,4})$/;

/**
 * Connects to one server, to all servers that have a DNS name, or to the servers that a discovery knows.
 *
 * A single address is dialed before the promise resolves, so a wrong one fails here. The servers of a name or a discovery
 * are dialed when the first call goes to them; that of `new MultiServers([address])` answers a round trip sooner, because
 * its first calls leave with the handshake. The client reconnects lost connections by itself.
 *
 * `dns@name:port` is short for `new DnsDiscovery(name, { port })` of `@troodon/rpc/discovery`, which has more options, such
 * as TLS. `connect` of `@troodon/rpc/client`, which also runs in browsers, takes no `dns@` name.
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
 * @param target An address such as `tcp@10.0.0.7:9999`, a name such as `dns@rpc.internal:9999`, or a discovery
 * @param options Codec, timeouts, balancer, limits
 * @returns A client, which must be closed
 * @throws {RpcError} If the server cannot be reached or refuses the client, or if there is no list of servers in time:
 * with the code of the discovery's `failure`, such as `unauthenticated`, or `unavailable`
 * @throws {TypeError} If the address, the name or an option is invalid
 * @throws {RangeError} If a number is out of range
 */
export async function connect(target: string | Discovery, options: ConnectOptions = {}): Promise<Client> {
  const named = typeof target === "string" && target.startsWith(DNS);
  return await connectTo(named ? await serversOf(target) : target, options);
}

/** The servers of a `dns@` name. DNS is loaded here: few clients need it. */
async function serversOf(target: string): Promise<Discovery> {
  const [, name, port] = NAME_AND_PORT.exec(target.slice(DNS.length)) ?? [];
  if (name === undefined || Number(port) > 65_535) {
    const shown = JSON.stringify(target.slice(0, 64));
    throw new TypeError(`Cannot connect to ${shown}: expected dns@name:port, such as dns@rpc.internal:9999`);
  }
  const { DnsDiscovery } = await import("../discovery/dns_discovery.ts");
  return new DnsDiscovery(name, { port: Number(port) });
}
