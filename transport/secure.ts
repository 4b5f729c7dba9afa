// Where a client's secrets may go: an address that somebody else names, such as a registry, must not talk a client out of
// TLS. Asked by dial.ts before it dials.

import type { Address } from "../discovery/endpoint.ts";

/**
 * Which addresses a client dials: encrypted ones, or those on this machine besides, or all. Unix sockets, which nobody on
 * a network reads, are always among them.
 */
export type Reach = "encrypted" | "local" | "all";

/** A credential for the handshake, or a function that returns it for each dial. */
export type Token = string | (() => string | Promise<string>);

/** Options of a client that decide about it. */
export interface ReachOptions {
  readonly secure?: boolean;
  readonly token?: Token;
  readonly tls?: object;
}

/**
 * What the options of a client come to.
 *
 * @param sendsToken Whether it has a token, for its handshakes or for its calls
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

/** Whether an address may be dialled. */
export function isWithin(reach: Reach, address: Address): boolean {
  if (reach === "all" || address.transport === "unix") return true;
  if (address.transport === "tls" || address.transport === "wss") return true;
  return reach === "local" && isLoopback(address.hostname);
}

/** Whether a host, an IPv6 address without its brackets, is this machine as it calls itself. */
export function isLoopback(hostname: string): boolean {
  // Canonical, whatever way it was written.
  const { hostname: host } = new URL(`http://${hostname.includes(":") ? `[${hostname}]` : hostname}`);
  // The last is an IPv4 address as sockets for both kinds show it.
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host) ||
    /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/.test(host);
}
