// Decides which addresses a client may send its secrets to, so that an untrusted source of addresses, such as a registry, cannot
// make a client dial without TLS. Called by dial.ts before it dials.

import { type Address, urlHost } from "../discovery/endpoint.ts";

/**
 * The addresses that a client may dial: encrypted ones only, also those on this machine, or all. Unix sockets are always
 * included, since they cannot be observed from a network.
 */
export type Reach = "encrypted" | "local" | "all";

/** A credential for the handshake, or a function that returns it, called for each dial. */
export type Token = string | (() => string | Promise<string>);

/** Options of a client that determine its reach. */
export interface ReachOptions {
  readonly secure?: boolean;
  readonly token?: Token;
  readonly tls?: object;
}

/**
 * The reach that the options of a client result in.
 *
 * @param sendsToken Whether the client sends a token, in its handshakes or with its calls
 * @throws {TypeError} If `secure` is neither true nor false
 */
export function reachOf({ secure, token, tls }: ReachOptions, sendsToken = token !== undefined): Reach {
  if (secure !== undefined && typeof secure !== "boolean") {
    throw new TypeError("Cannot use secure: expected true or false");
  }
  if (secure !== undefined) return secure ? "encrypted" : "all";
  if (tls !== undefined) return "encrypted";
  return sendsToken ? "local" : "all";
}

/** Whether an address may be dialed. */
export function isWithin(reach: Reach, address: Address): boolean {
  if (reach === "all" || address.transport === "unix") return true;
  if (address.transport === "tls" || address.transport === "wss") return true;
  return reach === "local" && isLoopback(address.hostname);
}

/** Whether a host is this machine by name or loopback address. */
export function isLoopback(hostname: string): boolean {
  // The URL parser returns the canonical form.
  const { hostname: host } = new URL(`http://${urlHost(hostname)}`);
  // The last pattern matches IPv4-mapped addresses, as dual-stack sockets report them.
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host) ||
    /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/.test(host);
}
