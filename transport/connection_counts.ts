// Where connections come from, and how many from each place: what `maxConnectionsPerPeer` is held against. Owned by
// Admission.

import { parseAddress } from "../discovery/endpoint.ts";

/**
 * What a peer counts as: its IPv4 address, or the network of 64 bits that its IPv6 address is in, since that is the least
 * that one customer is given (RFC 6177) and every address in it is as good as another.
 *
 * @param peer Its address, such as `tcp@127.0.0.1:50312`
 * @returns undefined for Unix sockets and whatever else has no IP address
 */
export function networkOf(peer: string): string | undefined {
  let host: string;
  try {
    const address = parseAddress(peer, { listen: true });
    if (address.transport === "unix") return undefined;
    const { hostname } = address;
    // Canonical, whatever way it was written.
    host = new URL(`http://${hostname.includes(":") ? `[${hostname}]` : hostname}`).hostname;
  } catch {
    return undefined;
  }
  if (!host.startsWith("[")) return host;
  const [head = "", tail] = host.slice(1, -1).split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
  if (groups.slice(0, 6).join(":") === "0:0:0:0:0:ffff") {
    // An IPv4 address as sockets for both kinds show it.
    return groups.slice(6).flatMap((group) => {
      const pair = parseInt(group, 16);
      return [pair >> 8, pair & 255];
    }).join(".");
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}

/** How many connections there are of each origin. */
export class ConnectionCounts {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  /** @param most How many there may be of one; Infinity = nothing is counted */
  constructor(most: number) {
    this.#most = most;
  }

  /** Where a peer comes from; undefined if that is not counted. */
  of(peer: string): string | undefined {
    return this.#most === Infinity ? undefined : networkOf(peer);
  }

  /** Whether there is no room for another. */
  full(origin: string | undefined): boolean {
    return origin !== undefined && (this.#counts.get(origin) ?? 0) >= this.#most;
  }

  /** Counts one more. */
  add(origin: string | undefined): void {
    if (origin !== undefined) this.#counts.set(origin, (this.#counts.get(origin) ?? 0) + 1);
  }

  /** Counts one less. */
  remove(origin: string | undefined): void {
    if (origin === undefined) return;
    const left = (this.#counts.get(origin) ?? 0) - 1;
    if (left > 0) this.#counts.set(origin, left);
    else this.#counts.delete(origin);
  }
}
