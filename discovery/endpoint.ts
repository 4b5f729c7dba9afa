// Endpoints, which are servers as clients know them: an address and optional details. Also parses and formats addresses. Used by
// discovery, transports, server, client and registry.

import { misleads } from "../call/safe_text.ts";

/** A server that calls can be sent to. */
export interface Endpoint {
  /** The address that it listens on, as `protocol@host:port`, such as `tcp@10.0.0.7:9999`. Identifies the endpoint. */
  readonly address: string;
  /** The services that it offers, if known. */
  readonly services?: readonly string[];
  /**
   * Relative share of calls, 0 to 1 000 000, for balancers that use weights.
   *
   * @default {1}
   */
  readonly weight?: number;
  /** The version of its program, as free text of at most 128 characters, such as `1.4.2`. */
  readonly version?: string;
  /** Free text by name, such as the zone. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An {@linkcode Address} with a host and a port: plain TCP, or TLS over TCP. */
export interface HostAddress {
  /** The transport protocol. */
  readonly transport: "tcp" | "tls";
  /** A name or an IP address; an IPv6 address without its brackets. */
  readonly hostname: string;
  /** 1 to 65535; 0 if any free port was requested. */
  readonly port: number;
}

/** An {@linkcode Address} with a path on an HTTP server: CONNECT, or a WebSocket with or without TLS. */
export interface HttpAddress {
  /** The transport protocol. */
  readonly transport: "http" | "ws" | "wss";
  /** A name or an IP address; an IPv6 address without its brackets. */
  readonly hostname: string;
  /** 1 to 65535; 0 if any free port was requested. */
  readonly port: number;
  /** The path of the RPC handler, with its leading slash; `/_rpc_` by default. */
  readonly path: string;
}

/** An {@linkcode Address} of a socket in the file system. */
export interface UnixAddress {
  /** The transport protocol. */
  readonly transport: "unix";
  /** The absolute path of the socket. */
  readonly path: string;
}

/** A parsed address, returned by {@linkcode parseAddress}. */
export type Address = HostAddress | HttpAddress | UnixAddress;

/** Options of {@linkcode parseAddress}. */
export interface ParseAddressOptions {
  /**
   * Whether the address is for listening, where port 0 means any free port.
   *
   * @default {false}
   */
  listen?: boolean;
}

const DEFAULT_PATH = "/_rpc_";
const EXAMPLE = "expected protocol@host:port, such as tcp@127.0.0.1:9999";
/** Maximum number of characters of an address that a message quotes, since it may come from an untrusted peer. */
const QUOTED_CHARS = 64;
/** Maximum path length in Linux's `sockaddr_un`, without the terminating NUL. */
const UNIX_PATH_BYTES = 107;

const HOST_PORT = /^[0-9A-Za-z._-]{1,253}:[0-9]{1,5}$/;
const HOST_PORT_PATH = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+))(?::([0-9]+))?(\/.*)?$/;
/** The default ports of transports that have one. */
const USUAL_PORTS: Readonly<Record<string, string>> = { ws: "80", wss: "443" };
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;
/** Characters of a URL's path, without query, fragment and comma. */
const PATH = /^[0-9A-Za-z\-._~!$&'()*+;=:@%/]*$/;

/**
 * Parses an address: `tcp@host:port`, `tls@host:port`, `unix@/path`, or `http@host:port[/path]`, `ws@…`, `wss@…`.
 *
 * The port of `ws@` may be left out: 80, and 443 of `wss@`.
 *
 * IPv6 addresses are in brackets, without a zone. A URL's path has neither query nor fragment. Addresses contain no control
 * characters and no comma.
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
 * @param options Whether port 0 is allowed
 * @returns The parts of the address
 * @throws {TypeError} If the address is invalid, or its port is 0 without `listen`; the message says what is wrong
 */
export function parseAddress(text: string, options: ParseAddressOptions = {}): Address {
  if (typeof text !== "string") {
    throw new TypeError(`Cannot parse address of type ${typeof text}: ${EXAMPLE}`);
  }
  const at = text.indexOf("@");
  if (/^https?:\/\//.test(text)) {
    fail(
      text,
      `${EXAMPLE}; the URL of a registry is for RegistryDiscovery, an RPC server on HTTP is http@host:port`,
    );
  }
  if (at < 1) fail(text, HOST_PORT.test(text) ? `${EXAMPLE}; did you mean tcp@${text}?` : EXAMPLE);
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
      if (path !== undefined) fail(text, `${transport} addresses have no path after the port`);
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
    case "fd":
      return fail(
        text,
        "fd@ is for listening on an inherited socket; clients use the address of that socket",
      );
    default:
      return fail(text, `unknown protocol, expected one of tcp, tls, unix, http, ws, wss`);
  }
}

/**
 * Formats an address as the text that {@linkcode parseAddress} parses.
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
 * @returns The address as text, without the path of an HTTP address if it is the default `/_rpc_`
 */
export function formatAddress(address: Address): string {
  if (address.transport === "unix") return `unix@${address.path}`;
  const path = "path" in address && address.path !== DEFAULT_PATH ? address.path : "";
  return `${address.transport}@${urlHost(address.hostname)}:${address.port}${path}`;
}

/**
 * Formats a host as in URLs and in the `Host` header: an IPv6 address in brackets, once, whether it has them or not.
 *
 * @example
 * ```ts
 * import { urlHost } from "@troodon/rpc/discovery";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(["::1", "[::1]", "localhost"].map(urlHost), ["[::1]", "[::1]", "localhost"]);
 * ```
 *
 * @param hostname A name or an IP address
 * @returns The host, to which a port may be appended
 */
export function urlHost(hostname: string): string {
  return hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
}

function parseHost(
  text: string,
  rest: string,
  listen: boolean,
): { hostname: string; port: number; path: string | undefined } {
  const match = HOST_PORT_PATH.exec(rest);
  if (match === null) {
    fail(
      text,
      /^[0-9A-Fa-f]*:[0-9A-Fa-f:]*:/.test(rest) ? "an IPv6 address needs brackets: [::1]:9999" : EXAMPLE,
    );
  }
  const usualPort = listen ? undefined : USUAL_PORTS[text.split("@", 1)[0]!];
  const [, ipv6, name, portText = usualPort, path] = match;
  if (portText === undefined) fail(text, `the port is missing, ${EXAMPLE}`);
  const hostname = ipv6 ?? name ?? "";
  // The URL parser validates IP addresses: it rejects ::1::2 as well as 999.0.0.1.
  if (!URL.canParse(`http://${ipv6 === undefined ? hostname : `[${ipv6}]`}/`)) {
    fail(text, "the host is neither a name nor an IP address");
  }
  const port = Number(portText);
  if (!PORT.test(portText) || port > 65535) {
    fail(text, `the port must be an integer from ${listen ? 0 : 1} to 65535`);
  }
  if (port === 0 && !listen) {
    fail(text, "port 0 is for listening only, expected a port from 1 to 65535");
  }
  if (path !== undefined && !PATH.test(path)) {
    fail(text, "expected the path of a URL, without query and fragment");
  }
  return { hostname, port, path };
}

function parseUnixPath(text: string, path: string): string {
  if (!path.startsWith("/") || path.endsWith("/")) {
    fail(text, "expected the absolute path of a socket, such as unix@/run/app.sock");
  }
  if (new TextEncoder().encode(path).length > UNIX_PATH_BYTES) {
    fail(text, `the path of a socket may have at most ${UNIX_PATH_BYTES} bytes`);
  }
  return path;
}

function fail(text: string, reason: string): never {
  const quoted = text.length > QUOTED_CHARS ? `${text.slice(0, QUOTED_CHARS)}…` : text;
  throw new TypeError(`Cannot parse address ${JSON.stringify(quoted)}: ${reason}`);
}
