/**
 * Everything of `@troodon/rpc` for programs in Node (22 and later) and Bun: servers, clients, registries.
 *
 * Servers listen on `tcp@`, `tls@`, `unix@` and `http@` addresses over Node's sockets; an `http@` address also takes WebSockets.
 *
 * @example A server and a registry
 * ```ts
 * import { announce, connect, Registry, RegistryDiscovery, serveHttp, Server } from "@troodon/rpc/node";
 *
 * await using registry = new Registry();
 * await using http = await serveHttp({ port: 0 }, registry.fetch);
 * const url = `http://127.0.0.1:${http.addr.port}`;
 *
 * await using server = new Server().register("Greeter", { greet: (name: string) => `Hello, ${name}!` });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 * await using registration = await announce(url, { address });
 *
 * await using client = await connect(new RegistryDiscovery(url));
 * console.log(await client.call("Greeter.greet", "Ada")); // Hello, Ada!
 * ```
 *
 * @module
 */

export * from "./mod.ts";
export { serveHttp } from "./registry/serve_node.ts";
