/**
 * Calls over HTTP: the services of a server for curl, fetch and clients of the Connect protocol.
 *
 * @example
 * ```ts
 * import { Server } from "@troodon/rpc/server";
 * import { web } from "@troodon/rpc/web";
 *
 * await using server = new Server().register("Greeter", { greet: (name: string) => `Hello, ${name}!` });
 * await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, web(server, { prefix: "/api" }));
 *
 * const response = await fetch(`http://127.0.0.1:${http.addr.port}/api/Greeter/greet`, {
 *   method: "POST",
 *   headers: { "content-type": "application/json" },
 *   body: '"Bob"',
 * });
 * console.log(await response.json()); // Hello, Bob!
 * ```
 *
 * @module
 */

export { web } from "./web.ts";
export type { WebHandler, WebOptions } from "./web.ts";
export { Server } from "../server/server.ts";
export type { FetchInfo } from "../transport/unread_responses.ts";
