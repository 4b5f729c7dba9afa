// What an HTTP request may see of a server: the option `monitoring`. Method names and figures are less sensitive than
// connections and running calls. Used by Monitoring.

import { parseAddress } from "../discovery/endpoint.ts";
import { isLoopback } from "../transport/secure.ts";

/** What a request may see: everything (true), only the figures, or nothing (false). */
export type Visibility = boolean | "figures";

/**
 * Decides what a request may see.
 *
 * @param request The request: its headers, its URL
 * @param peer The client's address, such as `tcp@127.0.0.1:50312`; `unknown` if `Server.fetch` was called without it
 * @returns What the request may see; or a response to send instead, such as one with status 401, which makes browsers
 * ask for   a password. The same response may be returned each time. What this throws goes to `log`, and the request
 * sees nothing
 */
export type VisibilityRule = (
  request: Request,
  peer: string,
) => Visibility | Response | Promise<Visibility | Response>;

/** The headers that proxies add. */
const FORWARDED = /^(?:x-)?forwarded|^x-real-ip$|^via$/;

/** The default: requests from this machine see everything, all others the figures. */
const defaultVisibility: VisibilityRule = (request, peer) => isFromHere(request, peer) ? true : "figures";

/**
 * Checks the option.
 *
 * @throws {TypeError} If it is invalid
 */
export function checkVisibility(option: Visibility | VisibilityRule | undefined): false | VisibilityRule {
  if (option === undefined) return defaultVisibility;
  if (typeof option === "function") return option;
  if (typeof option === "boolean" || option === "figures") return option && (() => option);
  throw new TypeError('Cannot use monitoring: expected true, false, "figures" or a function');
}

/**
 * Whether a request comes from this machine and is addressed to it. A page of another site whose name resolves to
 * 127.0.0.1 (DNS rebinding) sends its own name as `Host`, and a proxy sends the name that it forwards.
 */
function isFromHere({ headers, url }: Request, peer: string): boolean {
  for (const name of headers.keys()) if (FORWARDED.test(name)) return false;
  // Clients of Unix sockets have no path of their own.
  if (peer.startsWith("unix@")) return true;
  try {
    const address = parseAddress(peer);
    return "hostname" in address && isLoopback(address.hostname) &&
      isForHere(headers.get("host"), new URL(url));
  } catch {
    return false;
  }
}

/**
 * Whether both `Host` and URL name this machine. A request line with an absolute URL has both, and a page in a browser
 * can choose at most one of them. HTTP/2, which is used over TLS only, has no `Host`: there the URL decides.
 */
function isForHere(host: string | null, url: URL): boolean {
  const named = host === null && url.protocol === "https:" ? url : new URL(`http://${host ?? ""}`);
  return isLoopback(named.hostname) && isLoopback(url.hostname);
}
