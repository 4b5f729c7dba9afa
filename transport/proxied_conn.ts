// Connections that come through a proxy, and begin with its header. Made by a server's listeners, for the sources that the
// option proxyProtocol names.

import { formatAddress, parseAddress } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import { parseProxyHeader, type ProxyHeader } from "./proxy_header.ts";

/** The most that is read at once: a header and what follows it. */
const READ_BYTES = 4_096;

/** Another Conn without the header in front. */
export class ProxiedConn implements Conn {
  readonly #conn: Conn;
  #peer: string;
  /** Bytes that were read after the header. */
  #rest: Uint8Array<ArrayBuffer> | undefined;

  constructor(conn: Conn) {
    this.#conn = conn;
    this.#peer = conn.peer;
  }

  /** The proxy's address; that of its client once the header was read. */
  get peer(): string {
    return this.#peer;
  }

  readonly readProxyHeader = async (): Promise<void> => {
    let held = new Uint8Array(0);
    let header: ProxyHeader | undefined;
    while (header === undefined) {
      const chunk = new Uint8Array(READ_BYTES);
      const count = await this.#conn.read(chunk);
      // A health check that sends nothing.
      if (count === null && held.length === 0) return;
      if (count === null) throw new SyntaxError("Cannot read the PROXY protocol header: it is cut off");
      held = joined(held, chunk.subarray(0, count));
      header = parseProxyHeader(held);
    }
    if (header.length < held.length) this.#rest = held.subarray(header.length);
    this.#peer = clientOf(this.#peer, header);
  };

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const rest = this.#rest;
    if (rest === undefined) return this.#conn.read(into);
    const count = Math.min(rest.length, into.length);
    into.set(rest.subarray(0, count));
    this.#rest = count < rest.length ? rest.subarray(count) : undefined;
    return Promise.resolve(count);
  }

  write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#conn.write(from);
  }

  closeWrite(fault?: boolean): Promise<void> {
    return this.#conn.closeWrite(fault);
  }

  close(): void {
    this.#conn.close();
  }
}

/** The address of the client that a header names; that of the proxy if it names none. */
export function clientOf(proxy: string, { source }: ProxyHeader): string {
  if (source === undefined) return proxy;
  const { transport } = parseAddress(proxy, { listen: true });
  return formatAddress({ transport: transport as "tcp", ...source });
}

function joined(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
