// `connect`: makes a client from a target and options, and waits until it can call.

import { ambient } from "../call/ambient.ts";
import { isRpcError, rejection, RpcError } from "../call/error.ts";
import { createBalancer } from "../discovery/create_balancer.ts";
import type { Discovery } from "../discovery/discovery.ts";
import { parseAddress } from "../discovery/endpoint.ts";
import { MultiServers } from "../discovery/multi_servers.ts";
import { Client } from "./client.ts";
import { clientSettings, type ConnectOptions, DEFAULT_BALANCER } from "./connect_options.ts";

/**
 * Connects to one server, or to the servers that a discovery knows.
 *
 * A single address is dialed before the promise resolves, so a wrong one fails here. The servers of a discovery are
 * dialed when the first call goes to them. The client reconnects lost connections by itself.
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
export async function connect(target: string | Discovery, options: ConnectOptions = {}): Promise<Client> {
  const settings = clientSettings(options);
  const client = new Client(settings, createBalancer(options.balancer ?? DEFAULT_BALANCER));
  if (typeof target === "string") parseAddress(target);
  const discovery = typeof target === "string" ? new MultiServers([target]) : target;
  if (typeof discovery?.watch !== "function") {
    throw new TypeError(
      "Cannot connect: expected an address or a Discovery, such as new MultiServers([address, …]) or " +
        "new RegistryDiscovery(url)",
    );
  }
  try {
    await ambient.enable();
    const endpoints = await firstList(client.follow(discovery), discovery, settings.connectTimeout);
    if (typeof target === "string") await client.ready(endpoints);
    return client;
  } catch (error) {
    await client.close();
    return await rejection(error);
  }
}

/** Waits up to `timeout` ms for the first list of a discovery. */
function firstList<T>(list: Promise<T>, discovery: Discovery, timeout: number): Promise<T> {
  if (timeout === Infinity) return list;
  return new Promise((resolve, reject) => {
    const late = () => {
      const { failure } = discovery;
      const why = failure === undefined ? "" : `: ${failure.message}`;
      const message = `The discovery found no list of servers within ${timeout} ms (connectTimeout)${why}`;
      const code = isRpcError(failure) ? failure.code : "unavailable";
      reject(new RpcError(code, message, { cause: failure, notStarted: true }));
    };
    const timer = setTimeout(late, timeout);
    list.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
