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
 * @returns What is shown; or an answer to give instead, such as one with status 401 by which browsers ask for a password.
 *   What this throws goes to `log`, and nothing is shown
 */
export type ShowTo = (
  request: Request,
  peer: string,
) => Visibility | Response | Promise<Visibility | Response>;

/** What a proxy says of those that it speaks for. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/** Without the option: everything to whoever sits at this machine, the figures to everyone else. */
export const showByPlace: ShowTo = (request, peer) => isFromHere(request, peer) ? true : "figures";

/**
 * Checks the option.
 *
 * @throws {TypeError} If it is none
 */
export function checkVisibility(option: Visibility | ShowTo | undefined): false | ShowTo {
  if (option === undefined) return showByPlace;
  if (typeof option === "function") return option;
  if (typeof option === "boolean" || option === "figures") return option && (() => option);
  throw new TypeError('Cannot use monitoring: expected true, false, "figures" or a function');
}

/**
 * Whether a request comes from this machine, and is meant for it: a page of somebody else's whose name leads to 127.0.0.1
 * (DNS rebinding) sends its own name as `Host`, and a proxy what it forwards.
 */
function isFromHere(request: Request, peer: string): boolean {
  if (FORWARDED.some((name) => request.headers.has(name))) return false;
  // Clients of Unix sockets have no path of their own.
  if (peer.startsWith("unix@")) return true;
  try {
    const address = parseAddress(peer);
    return "hostname" in address && isLoopback(address.hostname) &&
      isLoopback(bare(new URL(request.url).hostname));
  } catch {
    return false;
  }
}

/** A URL's host without the brackets of IPv6. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}
