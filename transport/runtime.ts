// Capabilities of the runtime (Deno, Node, Bun or a browser), and advice if something is missing. Checked when dialing or listening
// and not at import, which has to work everywhere. Used by sockets.ts, tls_dial.ts, websocket.ts and servers.

/** The oldest Deno for servers. Earlier versions leak the socket of a connection that is closed during a read or a write. */
export const OLDEST_DENO = "2.9.5";
/** The oldest Deno for clients. Earlier versions ignore the certificate of a client. */
const OLDEST_CLIENT_DENO = "2.5.0";

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

/** Node's way to import its own modules, which Deno and Bun also have. */
interface NodeGlobals {
  readonly process?: { getBuiltinModule?(name: string): unknown; readonly platform?: string };
}

/** The operating system, such as `linux`; undefined if the runtime does not tell. */
export function operatingSystem(): string | undefined {
  return typeof Deno === "undefined" ? (globalThis as NodeGlobals).process?.platform : Deno.build.os;
}

/** Whether the runtime has Node's modules: Node from 20.16 on, Bun and Deno. */
export function hasNodeModules(): boolean {
  return typeof (globalThis as NodeGlobals).process?.getBuiltinModule === "function";
}

/**
 * A module of Node, which Deno and Bun also have. Not imported statically, since bundlers for browsers would try to resolve it.
 *
 * @typeParam T The module's type
 */
export function nodeModule<T>(name: string): T {
  return (globalThis as NodeGlobals).process!.getBuiltinModule!(name) as T;
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
  if (clientCaCerts === undefined || typeof Deno === "undefined" || !tooOld(Deno.version.deno)) return;
  throw new TypeError(`the option tls.clientCaCerts requires Deno ${OLDEST_DENO} or later`);
}

/**
 * Checks that a client can use a certificate. Otherwise the server's error would say that it has none.
 *
 * @throws {Error} If Deno is too old
 */
export function checkClientCertificate({ cert }: { readonly cert?: string }): void {
  if (cert === undefined || typeof Deno === "undefined") return;
  const { deno } = Deno.version;
  if (!tooOld(deno, OLDEST_CLIENT_DENO)) return;
  throw new Error(`Deno ${deno} ignores the option tls.cert; use ${OLDEST_CLIENT_DENO} or later`);
}

/** Whether a version of Deno, such as `2.9.4` or `2.10.0-rc.1`, is too old. */
export function tooOld(version: string, oldest: string = OLDEST_DENO): boolean {
  const [numbers, least] = [version, oldest].map((each) => each.split(/[.+-]/, 3).map(Number));
  const differs = least!.findIndex((number, i) => numbers![i] !== number);
  return differs >= 0 && numbers![differs]! < least![differs]!;
}
