// Counts connections by origin, for the limit `maxConnectionsPerPeer`. Owned by the acceptor.

import { parseAddress, urlHost } from "../discovery/endpoint.ts";

/**
 * The origin of a peer: its IPv4 address, or the 64-bit network of its IPv6 address, which is the least that one customer is
 * assigned (RFC 6177) and whose addresses are interchangeable.
 *
 * @param peer The address, such as `tcp@127.0.0.1:50312`
 * @returns undefined for Unix sockets and others without an IP address
 */
export function networkOf(peer: string): string | undefined {
  let host: string;
  try {
    const address = parseAddress(peer, { listen: true });
    if (address.transport === "unix") return undefined;
    const { hostname } = address;
    // The URL parser returns the canonical form.
    host = new URL(`http://${urlHost(hostname)}`).hostname;
  } catch {
    return undefined;
  }
  if (!host.startsWith("[")) return host;
  const [head = "", tail] = host.slice(1, -1).split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
  if (groups.slice(0, 6).join(":") === "0:0:0:0:0:ffff") {
    // An IPv4-mapped address, as dual-stack sockets report it.
    return groups.slice(6).flatMap((group) => {
      const pair = parseInt(group, 16);
      return [pair >> 8, pair & 255];
    }).join(".");
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}

/** Number of connections by origin. */
export class ConnectionCounts {
  readonly #max: number;
  readonly #counts = new Map<string, number>();

  /** @param max Maximum number of connections of one origin; Infinity = they are not counted */
  constructor(max: number) {
    this.#max = max;
  }

  /** The origin of a peer; undefined if it is not counted. */
  of(peer: string): string | undefined {
    return this.#max === Infinity ? undefined : networkOf(peer);
  }

  /** Whether an origin has reached its limit. */
  full(origin: string | undefined): boolean {
    return origin !== undefined && (this.#counts.get(origin) ?? 0) >= this.#max;
  }

  /** Adds a connection. */
  add(origin: string | undefined): void {
    if (origin !== undefined) this.#counts.set(origin, (this.#counts.get(origin) ?? 0) + 1);
  }

  /** Removes a connection. */
  remove(origin: string | undefined): void {
    if (origin === undefined) return;
    const left = (this.#counts.get(origin) ?? 0) - 1;
    if (left > 0) this.#counts.set(origin, left);
    else this.#counts.delete(origin);
  }
}
