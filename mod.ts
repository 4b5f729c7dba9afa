/**
 * RPC for Deno over plain TCP: a server, a typed client over many servers, discovery, balancing and a registry.
 *
 * @example A server and a call
 * ```ts
 * import { connect, Server } from "@troodon/rpc";
 *
 * await using server = new Server();
 * server.register("Arith", { sum: ({ a, b }: { a: number; b: number }) => a + b });
 * const listening = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(listening.address);
 * console.log(await client.call("Arith.sum", { a: 1, b: 2 }, { timeout: 500 })); // 3
 * ```
 *
 * @module
 */

export * from "./server/mod.ts";
export * from "./client/mod.ts";
export * from "./discovery/mod.ts";
export * from "./registry/mod.ts";
export { type Codec, CodecTable } from "./codec/mod.ts";
