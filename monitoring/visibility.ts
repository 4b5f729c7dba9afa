// Who is shown what of a server over HTTP: the option `monitoring`. Names and figures are one thing; who is connected, and
// what they are calling right now, another. Asked by Monitoring.

import { parseAddress } from "../discovery/endpoint.ts";
import { isLoopback } from "../transport/secure.ts";

/** What is shown: everything, the figures alone, or nothing. */
export type Visibility = boolean | "figures";

/**
 * Decides what is shown to whoever asks.
 *
 * @param request The request: its headers, its URL
 * @param peer Where it comes from, such as `tcp@127.0.0.1:50312`; `unknown` if `Server.fetch` was not told
 * @returns What is shown; or an answer to give instead, such as one with status 401 by which browsers ask for a password,
 *   which may be the same each time. What this throws goes to `log`, and nothing is shown
 */
export type VisibilityRule = (
  request: Request,
  peer: string,
) => Visibility | Response | Promise<Visibility | Response>;

/** The headers by which a proxy says that it speaks for others. */
const FORWARDED = /^(?:x-)?forwarded|^x-real-ip$|^via$/;

/** Without the option: everything to whoever sits at this machine, the figures to everyone else. */
export const defaultVisibility: VisibilityRule = (request, peer) =>
  isFromHere(request, peer) ? true : "figures";

/**
 * Checks the option.
 *
 * @throws {TypeError} If it is none
 */
export function checkVisibility(option: Visibility | VisibilityRule | undefined): false | VisibilityRule {
  if (option === undefined) return defaultVisibility;
  if (typeof option === "function") return option;
  if (typeof option === "boolean" || option === "figures") return option && (() => option);
  throw new TypeError('Cannot use monitoring: expected true, false, "figures" or a function');
}

/**
 * Whether a request comes from this machine, and is meant for it: a page of somebody else's whose name leads to 127.0.0.1
 * (DNS rebinding) sends its own name as `Host`, and a proxy what it forwards.
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
 * Whether both `Host` and URL name this machine: a request line with a whole URL in it says two things, of which a page
 * in a browser chooses one at most. HTTP/2, which is spoken over TLS alone, has no `Host`: there the URL says it.
 */
function isForHere(host: string | null, url: URL): boolean {
  const named = host === null && url.protocol === "https:" ? url : new URL(`http://${host ?? ""}`);
  return isLoopback(bare(named.hostname)) && isLoopback(bare(url.hostname));
}

/** A URL's host without the brackets of IPv6. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}
