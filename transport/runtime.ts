// Capabilities of the runtime (Deno, Node or a browser), and advice if something is missing. Checked when dialing or listening
// and not at import, which has to work everywhere. Used by dial.ts, tls_dial.ts, websocket.ts and servers.

import type { Address } from "../discovery/endpoint.ts";

/** The oldest supported Deno. Earlier versions leak the socket of a connection that is closed during a read or a write. */
export const OLDEST_DENO = "2.9.5";

/**
 * Checks that the runtime can dial a transport.
 *
 * @throws {Error} If that requires Deno, and the runtime is another one
 */
export function checkDialable(
  transport: Address["transport"],
  tls: { readonly caCerts?: string[]; readonly cert?: string },
): void {
  if (typeof Deno !== "undefined") return;
  if (transport !== "ws" && transport !== "wss") {
    throw new Error(
      `only Deno can dial ${transport}@; use ws@ or wss@, which Deno.serve(server.fetch) accepts`,
    );
  }
  if (transport === "wss" && (tls.caCerts?.length || tls.cert !== undefined)) {
    throw new Error(
      "the option tls requires Deno; elsewhere the runtime decides which authorities to trust, Node by NODE_EXTRA_CA_CERTS",
    );
  }
}

/**
 * The runtime's WebSocket class.
 *
 * @throws {Error} If the runtime has no WebSocket, such as Node before version 22
 */
export function webSocketClass(): typeof WebSocket {
  if (typeof WebSocket !== "undefined") return WebSocket;
  throw new Error(
    "this runtime has no WebSocket; with Node 20 start it as node --experimental-websocket, " +
      'or set globalThis.WebSocket = (await import("ws")).WebSocket before connecting',
  );
}

/**
 * A module of Node, which Deno also has. Not imported statically, since bundlers for browsers would try to resolve it.
 *
 * @typeParam T The module's type
 */
export function nodeModule<T>(name: string): T {
  const { process } = globalThis as unknown as { process: { getBuiltinModule(name: string): T } };
  return process.getBuiltinModule(name);
}

/** A warning for operators if Deno is too old; undefined otherwise, and for other runtimes. */
export function adviceForOldDeno(): string | undefined {
  if (typeof Deno === "undefined") return undefined;
  return tooOld(Deno.version.deno)
    ? `Deno ${Deno.version.deno} leaks sockets of closed connections; use ${OLDEST_DENO} or later`
    : undefined;
}

/**
 * Checks that client certificates can be required: Deno has to tell resumed TLS sessions from others, which are fully verified.
 *
 * @throws {TypeError} If they are required, and Deno is too old
 */
export function checkMutualTls({ clientCaCerts }: { readonly clientCaCerts?: string[] }): void {
  if (clientCaCerts === undefined || !tooOld(Deno.version.deno)) return;
  throw new TypeError(`the option tls.clientCaCerts requires Deno ${OLDEST_DENO} or later`);
}

/** Whether a version of Deno, such as `2.9.4` or `2.10.0-rc.1`, is too old. */
export function tooOld(version: string): boolean {
  const [numbers, oldest] = [version, OLDEST_DENO].map((each) => each.split(/[.+-]/, 3).map(Number));
  const differs = oldest!.findIndex((least, i) => numbers![i] !== least);
  return differs >= 0 && numbers![differs]! < oldest![differs]!;
}
