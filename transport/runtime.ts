// What the runtime has, be it Deno, Node or a browser, and what to do about what it has not. Asked when something is
// dialled or listened on, never by loading a file, since that must work everywhere. Used by dial.ts, tls_dial.ts,
// websocket.ts and servers.

import type { Address } from "../discovery/endpoint.ts";

/** The oldest Deno that will do: before, a connection that was closed during a read or a write leaked its socket. */
export const OLDEST_DENO = "2.9.5";

/**
 * Checks that an address can be dialled at all by this runtime.
 *
 * @throws {Error} If that takes Deno, and this is none
 */
export function checkDialable(
  transport: Address["transport"],
  tls: { readonly caCerts?: string[]; readonly cert?: string },
): void {
  if (typeof Deno !== "undefined") return;
  if (transport !== "ws" && transport !== "wss") {
    throw new Error(
      `only Deno dials ${transport}@, so use ws@ or wss@ there, which Deno.serve(server.fetch) answers`,
    );
  }
  if (transport === "wss" && (tls.caCerts?.length || tls.cert !== undefined)) {
    throw new Error(
      "the option tls is for Deno: elsewhere the runtime decides whom to trust, Node by NODE_EXTRA_CA_CERTS",
    );
  }
}

/**
 * The runtime's WebSocket.
 *
 * @throws {Error} If there is none, as in Node before version 22
 */
export function webSocketClass(): typeof WebSocket {
  if (typeof WebSocket !== "undefined") return WebSocket;
  throw new Error(
    "there is no WebSocket here; with Node 20 start it as node --experimental-websocket, " +
      'or set globalThis.WebSocket = (await import("ws")).WebSocket before',
  );
}

/**
 * One of Node's modules, which Deno has too. Not by `import`: bundlers for browsers look for what is imported, and fail.
 *
 * @typeParam T Its type
 */
export function nodeModule<T>(name: string): T {
  const { process } = globalThis as unknown as { process: { getBuiltinModule(name: string): T } };
  return process.getBuiltinModule(name);
}

/** What to tell whoever runs a Deno that is too old; undefined if it is not, or is none. */
export function adviceForOldDeno(): string | undefined {
  if (typeof Deno === "undefined") return undefined;
  return tooOld(Deno.version.deno)
    ? `Deno ${Deno.version.deno} leaks sockets of connections that are closed; use ${OLDEST_DENO} or later`
    : undefined;
}

/**
 * Checks that certificates of clients can be asked for: that it is known of this Deno that it tells resumed sessions from
 * others, which are verified in full.
 *
 * @throws {TypeError} If they are asked for, and it is too old
 */
export function checkMutualTls({ clientCaCerts }: { readonly clientCaCerts?: string[] }): void {
  if (clientCaCerts === undefined || !tooOld(Deno.version.deno)) return;
  throw new TypeError(`the option tls.clientCaCerts needs Deno ${OLDEST_DENO} or later`);
}

/** Whether a version of Deno, such as `2.9.4` or `2.10.0-rc.1`, is too old. */
export function tooOld(version: string): boolean {
  const [numbers, oldest] = [version, OLDEST_DENO].map((each) => each.split(/[.+-]/, 3).map(Number));
  const differs = oldest!.findIndex((least, i) => numbers![i] !== least);
  return differs >= 0 && numbers![differs]! < oldest![differs]!;
}
