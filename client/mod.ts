/**
 * The client: typed calls to one server or many, with timeouts, cancellation, balancing and reconnecting.
 *
 * @example A call that gives up after half a second
 * ```ts
 * import { connect } from "@troodon/rpc/client";
 * import { Server } from "@troodon/rpc/server";
 *
 * await using server = new Server().register("Clock", { now: () => new Date() });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(address);
 * const now = await client.call<Date>("Clock.now", undefined, { timeout: 500 });
 * console.log(now.toISOString());
 * ```
 *
 * @module
 */

export { connect } from "./connect.ts";
export * from "./names.ts";
