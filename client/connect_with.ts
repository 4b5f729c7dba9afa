// Makes a client from a target and options, and waits until it can call. Used by the two functions `connect`: that of
// connect.ts, and that of browser.ts.

import { ambient } from "../call/ambient.ts";
import { isRpcError, rejection, RpcError } from "../call/error.ts";
import type { Balancer } from "../discovery/balancer.ts";
import type { Discovery } from "../discovery/discovery.ts";
import { parseAddress } from "../discovery/endpoint.ts";
import { MultiServers } from "../discovery/multi_servers.ts";
import { RoundRobinBalancer } from "../discovery/round_robin.ts";
import type { EarlyCallsFactory } from "../session/early_calls.ts";
import type { Dialer } from "../transport/dialer.ts";
import { Client } from "./client.ts";
import { clientSettings, type ConnectOptions, DEFAULT_BALANCER } from "./connect_options.ts";

/**
 * Connects as `connect` does, over connections that `dialer` opens.
 *
 * @param earlyCalls For calls that leave with the handshake; absent = none do
 */
export async function connectWith(
  dialer: Dialer,
  target: string | Discovery,
  options: ConnectOptions,
  earlyCalls?: EarlyCallsFactory,
): Promise<Client> {
  const settings = await clientSettings(options, dialer, earlyCalls);
  const client = new Client(settings, await balancerOf(options));
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

/** The balancer that the options name. All but the default are loaded only if they do. */
async function balancerOf({ balancer = DEFAULT_BALANCER }: ConnectOptions): Promise<Balancer> {
  if (balancer === DEFAULT_BALANCER) return new RoundRobinBalancer();
  const { createBalancer } = await import("../discovery/create_balancer.ts");
  return createBalancer(balancer);
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
