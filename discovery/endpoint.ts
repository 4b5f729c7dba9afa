// What a server is to those who look for one: an address with what it says of itself, and how the text of an
// address is read and written. Used by discovery, transports, server, client and registry alike.

import { misleads } from "../call/one_line.ts";

/** One server that calls may go to. */
export interface Endpoint {
  /** Where it listens, as `protocol@host:port`, such as `tcp@10.0.0.7:9999`. Also what tells endpoints apart. */
  readonly address: string;
  /** The services that it says it offers. Left out, it says nothing about them. */
  readonly services?: readonly string[];
  /**
   * Its share of the calls beside others', 0 to 1 000 000, for balancers that weigh.
   *
   * @default {1}
   */
  readonly weight?: number;
  /** Which version of its program it runs, as free text of at most 128 characters, such as `1.4.2`. */
  readonly version?: string;
  /** Free text by name, such as its zone. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An {@linkcode Address} that is a host and a port: plain TCP, or TLS over it. */
export interface HostAddress {
  /** How to speak to it. */
  readonly transport: "tcp" | "tls";
  /** A name or an IP address; an IPv6 address without its brackets. */
  readonly hostname: string;
  /** 1 to 65535, or 0 where any free port was asked for. */
  readonly port: number;
}

/** An {@linkcode Address} that is a path of an HTTP server: CONNECT or a WebSocket, the latter with or without TLS. */
export interface HttpAddress {
  /** How to speak to it. */
  readonly transport: "http" | "ws" | "wss";
  /** A name or an IP address; an IPv6 address without its brackets. */
  readonly hostname: string;
  /** 1 to 65535, or 0 where any free port was asked for. */
  readonly port: number;
  /** The path of the RPC handler, with its leading slash; `/_rpc_` if the text named none. */
  readonly path: string;
}

/** An {@linkcode Address} that is a socket in the file system. */
export interface UnixAddress {
  /** How to speak to it. */
  readonly transport: "unix";
  /** The absolute path of the socket. */
  readonly path: string;
}

/** An address taken apart by {@linkcode parseAddress}. */
export type Address = HostAddress | HttpAddress | UnixAddress;

/** Options of {@linkcode parseAddress}. */
export interface ParseAddressOptions {
  /**
   * Whether the address is one to listen on, for which port 0 means any free port.
   *
   * @default {false}
   */
  listen?: boolean;
}

const DEFAULT_PATH = "/_rpc_";
const EXAMPLE = "expected protocol@host:port, such as tcp@127.0.0.1:9999";
/** What a message quotes of an address at most: it may come from a stranger. */
const QUOTED_CHARS = 64;
/** Room for a path in Linux's `sockaddr_un`, less the closing NUL. */
const UNIX_PATH_BYTES = 107;

const HOST_PORT_PATH = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+)):([0-9]+)(\/.*)?$/;
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;
/** The characters of a URL's path, without query, fragment and comma. */
const PATH = /^[0-9A-Za-z\-._~!$&'()*+;=:@%/]*$/;

/**
 * Takes the text of an address apart: `tcp@host:port`, `tls@host:port`, `unix@/path`, and
 * `http@host:port[/path]`, `ws@…`, `wss@…`.
 *
 * An IPv6 address stands in brackets, without a zone. A path of a URL has neither query nor fragment. No
 * address contains control characters or a comma.
 *
 * @example Usage
 * ```ts
 * import { parseAddress } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseAddress("tcp@[::1]:9999"), { transport: "tcp", hostname: "::1", port: 9999 });
 * ```
 *
 * @param text The address
 * @param options Whether port 0 will do
 * @returns Its parts
 * @throws {TypeError} If it is no address, or its port is 0 without `listen`; the message says what is wrong
 */
export function parseAddress(text: string, options: ParseAddressOptions = {}): Address {
  if (typeof text !== "string") {
    throw new TypeError(`Cannot parse address of type ${typeof text}: ${EXAMPLE}`);
  }
  const at = text.indexOf("@");
  if (/^https?:\/\//.test(text)) fail(text, `${EXAMPLE}; the URL of a registry is for RegistryDiscovery`);
  if (at < 1) fail(text, EXAMPLE);
  // The comma is what separates addresses in a list.
  if (text.includes(",") || misleads(text)) {
    fail(text, "it contains a comma, a control or an invisible character");
  }
  const transport = text.slice(0, at);
  const rest = text.slice(at + 1);
  switch (transport) {
    case "tcp":
    case "tls": {
      const { hostname, port, path } = parseHost(text, rest, options.listen ?? false);
      if (path !== undefined) fail(text, `${transport} takes no path after the port`);
      return { transport, hostname, port };
    }
    case "http":
    case "ws":
    case "wss": {
      const { hostname, port, path } = parseHost(text, rest, options.listen ?? false);
      return { transport, hostname, port, path: path ?? DEFAULT_PATH };
    }
    case "unix":
      return { transport, path: parseUnixPath(text, rest) };
    case "dns":
      return fail(
        text,
        "a dns@ name is a target of connect of @troodon/rpc, not the address of a server; elsewhere use " +
          "new DnsDiscovery(name, { port })",
      );
    default:
      return fail(text, `unknown protocol, use one of tcp, tls, unix, http, ws, wss`);
  }
}

/**
 * Writes an address as the text that {@linkcode parseAddress} reads.
 *
 * @example Usage
 * ```ts
 * import { formatAddress } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(formatAddress({ transport: "tcp", hostname: "::1", port: 9999 }), "tcp@[::1]:9999");
 * ```
 *
 * @param address The parts of the address
 * @returns Its text, without the path of an HTTP address if that is the usual `/_rpc_`
 */
export function formatAddress(address: Address): string {
  if (address.transport === "unix") return `unix@${address.path}`;
  const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname;
  const path = "path" in address && address.path !== DEFAULT_PATH ? address.path : "";
  return `${address.transport}@${host}:${address.port}${path}`;
}

function parseHost(
  text: string,
  rest: string,
  listen: boolean,
): { hostname: string; port: number; path: string | undefined } {
  const match = HOST_PORT_PATH.exec(rest);
  if (match === null) fail(text, EXAMPLE);
  const [, ipv6, name, portText = "", path] = match;
  const hostname = ipv6 ?? name ?? "";
  // The URL parser knows what an IP address is: it refuses ::1::2 as well as 999.0.0.1.
  if (!URL.canParse(`http://${ipv6 === undefined ? hostname : `[${ipv6}]`}/`)) {
    fail(text, "the host is neither a name nor an IP address");
  }
  const port = Number(portText);
  if (!PORT.test(portText) || port > 65535) fail(text, "the port must be a whole number from 1 to 65535");
  if (port === 0 && !listen) {
    fail(text, "port 0 is for listening only, a port from 1 to 65535 is needed here");
  }
  if (path !== undefined && !PATH.test(path)) {
    fail(text, "the path may contain what a URL's path may, without query and fragment");
  }
  return { hostname, port, path };
}

function parseUnixPath(text: string, path: string): string {
  if (!path.startsWith("/") || path.endsWith("/")) {
    fail(text, "expected the absolute path of a socket, such as unix@/run/app.sock");
  }
  if (new TextEncoder().encode(path).length > UNIX_PATH_BYTES) {
    fail(text, `the path of a socket may have ${UNIX_PATH_BYTES} bytes at most`);
  }
  return path;
}

function fail(text: string, reason: string): never {
  const quoted = text.length > QUOTED_CHARS ? `${text.slice(0, QUOTED_CHARS)}…` : text;
  throw new TypeError(`Cannot parse address ${JSON.stringify(quoted)}: ${reason}`);
}
