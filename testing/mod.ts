/**
 * Tests of services without sockets and without waiting: a network in one process with controlled faults, simulated time that
 * passes as fast as possible, and a seed that makes every run repeatable.
 *
 * @example A client fails over when a server is cut off, and comes back
 * ```ts
 * import { connect, MultiServers, Server } from "@troodon/rpc";
 * import { simulate } from "@troodon/rpc/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await simulate(async ({ network, sleep }) => {
 *   network.shape({ delay: [1, 20] });
 *   const addresses = ["tcp@one:9000", "tcp@two:9000"];
 *   await using one = new Server({ network: network.host("one") }).register("S", { who: () => "one" });
 *   await using two = new Server({ network: network.host("two") }).register("S", { who: () => "two" });
 *   await one.listen(addresses[0]!);
 *   await two.listen(addresses[1]!);
 *   await using client = await connect(new MultiServers(addresses), { network: network.host("shop") });
 *   assertEquals(new Set([await client.call("S.who"), await client.call("S.who")]), new Set(["one", "two"]));
 *
 *   network.shape({ refuse: 1 }, "shop", "one");
 *   network.cut("one");
 *   await sleep(1_000);
 *   for (let n = 0; n < 10; n++) assertEquals(await client.call("S.who"), "two");
 *
 *   network.shape({ refuse: 0 }, "shop", "one");
 *   await sleep(20_000);
 *   assertEquals(new Set([await client.call("S.who"), await client.call("S.who")]), new Set(["one", "two"]));
 * });
 * ```
 *
 * @module
 */

export { SimHost } from "./host.ts";
export { type Hosts, SimNetwork, type SimNetworkOptions } from "./network.ts";
export type { Conditions } from "./path.ts";
export type { HttpHandler } from "./ports.ts";
export type { RandomValue } from "./seeded_random.ts";
export { simulate, type SimulateOptions, type Simulation, SimulationError } from "./simulate.ts";
export { SimTime, type SimTimeOptions, type UntilOptions } from "./time.ts";
export type { Conn, Listener, Network } from "../transport/conn.ts";
export type { Address, HostAddress, HttpAddress, UnixAddress } from "../discovery/endpoint.ts";
