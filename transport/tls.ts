// The dialing side of TLS over Deno's sockets: certificate and name are verified before there is a Conn, so before any RPC data
// is sent. Also the TLS options of both sides. Used by dial.ts; the accepting side is tls_listener.ts.

import { checkOptions, type Names } from "../call/check_options.ts";
import type { Conn } from "./conn.ts";
import { connectTcp, type HostAndPort, SocketConn } from "./tcp.ts";

/** The ALPN protocol of both sides. A peer without ALPN is accepted, a peer with only other protocols is not. */
export const PROTOCOLS = ["troodon/1"];

/** The TLS identity of a server, and which client certificates it requires. */
export interface ServerTlsOptions {
  /** The certificate, followed by intermediate certificates, in PEM. */
  cert: string;
  /** The private key of the certificate, in PEM. */
  key: string;
  /**
   * Authorities that client certificates must be issued by, in PEM (mutual TLS). A client without a valid certificate is
   * disconnected before any RPC data is read. Handlers see the certificate as `context.peer.certificate`. Omitted = clients need
   * no certificate.
   *
   * A certificate is valid if one of these authorities has signed it, for clients (extended key usage `clientAuth`, if present),
   * and it has not expired. Revocation lists are not checked: use short-lived certificates.
   */
  clientCaCerts?: string[];
}

/** The servers that a client trusts, and its own certificate, for TLS connections. */
export interface ConnectTlsOptions {
  /**
   * Certificates to trust, in PEM. Deno trusts its default authorities as well, unless the option `cert` is set; Node and
   * Bun trust these alone, since adding the default ones would take Node 50 to 110 ms for each connection. To trust both
   * there, list the default ones too (`rootCertificates` of `node:tls`).
   *
   * @default {[]}
   */
  caCerts?: string[];
  /**
   * The name that the certificate must be for, if it is not the host of the address.
   *
   * @default {"the host of the address"}
   */
  serverName?: string;
  /**
   * The client's certificate for servers that require one, followed by intermediate certificates, in PEM. Requires `key`.
   */
  cert?: string;
  /** The private key of `cert`, in PEM. */
  key?: string;
}

const SERVER_NAMES: Names<ServerTlsOptions> = { cert: true, key: true, clientCaCerts: true };
const CONNECT_NAMES: Names<ConnectTlsOptions> = { caCerts: true, serverName: true, cert: true, key: true };

/**
 * Validates the TLS options of a client.
 *
 * @throws {TypeError} If an option is unknown or not text, or a certificate is not PEM
 */
export function checkConnectTls(tls: ConnectTlsOptions = {}): ConnectTlsOptions {
  checkOptions("use tls", tls, CONNECT_NAMES);
  const { caCerts = [], serverName, cert, key } = tls;
  if (!isTexts(caCerts)) {
    throw new TypeError("Cannot use tls.caCerts: expected a list of certificates in PEM");
  }
  caCerts.forEach((text, i) => checkPem(`tls.caCerts[${i}]`, text));
  if (serverName !== undefined && typeof serverName !== "string") {
    throw new TypeError("Cannot use tls.serverName: expected text");
  }
  if (cert === undefined && key === undefined) return { caCerts: [...caCerts], serverName };
  if (typeof cert !== "string" || typeof key !== "string") {
    throw new TypeError("Cannot use tls.cert and tls.key: expected both, as text in PEM");
  }
  checkPem("tls.cert", cert);
  checkPem("tls.key", key);
  return { caCerts: [...caCerts], serverName, cert, key };
}

/**
 * Validates the TLS options of a server. The content of certificates and keys is checked when the server listens.
 *
 * @throws {TypeError} If an option is unknown or not text in PEM
 */
export function checkServerTls(tls: ServerTlsOptions): ServerTlsOptions {
  checkOptions("use tls", tls, SERVER_NAMES);
  const { cert, key, clientCaCerts } = tls;
  if (typeof cert !== "string" || typeof key !== "string") {
    throw new TypeError("Cannot use tls: expected cert and key as text in PEM");
  }
  checkPem("tls.cert", cert);
  checkPem("tls.key", key);
  if (clientCaCerts === undefined) return { cert, key };
  // An empty list is rejected, since it would silently accept all clients.
  if (!isTexts(clientCaCerts) || clientCaCerts.length === 0) {
    throw new TypeError(
      "Cannot use tls.clientCaCerts: expected a list of certificates in PEM, at least one",
    );
  }
  clientCaCerts.forEach((text, i) => checkPem(`tls.clientCaCerts[${i}]`, text));
  return { cert, key, clientCaCerts: [...clientCaCerts] };
}

/**
 * Validates changes to the TLS options of a server; omitted options stay.
 *
 * @throws {TypeError} If an option is unknown or not text in PEM
 */
export function renewedServerTls(
  before: ServerTlsOptions,
  changes: Partial<ServerTlsOptions>,
): ServerTlsOptions {
  checkOptions("renew", changes, SERVER_NAMES);
  const { cert = before.cert, key = before.key, clientCaCerts = before.clientCaCerts } = changes;
  return checkServerTls({ cert, key, clientCaCerts });
}

function isTexts(list: unknown): boolean {
  return Array.isArray(list) && list.every((each) => typeof each === "string");
}

/** Rejects text that is not PEM (RFC 7468), such as a file path. The text is not quoted, since it may be a key. */
function checkPem(name: string, text: string): void {
  if (text.includes("-----BEGIN ")) return;
  throw new TypeError(
    `Cannot use ${name}: expected text in PEM, with a line -----BEGIN; to use a file, pass the result of ` +
      "Deno.readTextFile(path)",
  );
}

/**
 * Dials a host and port over TLS. Resolves after the certificate and its name were verified.
 *
 * @param alpnProtocols The protocols offered in ALPN
 * @throws {Error} If the address cannot be reached, the certificate is invalid, or the signal aborts
 */
export async function dialTls(
  { hostname, port }: HostAndPort,
  { caCerts, serverName = hostname }: ConnectTlsOptions,
  signal: AbortSignal,
  alpnProtocols = PROTOCOLS,
): Promise<Conn> {
  const tcp = await connectTcp({ hostname, port }, signal);
  let conn = new SocketConn(tcp, "tcp");
  const stop = () => conn.close();
  signal.addEventListener("abort", stop);
  try {
    tcp.setNoDelay(true);
    const socket = await Deno.startTls(tcp, { hostname: serverName, caCerts, alpnProtocols });
    conn = new SocketConn(socket, "tls");
    if (signal.aborted) throw signal.reason;
    // Deno would do this with the first write, and the data written could not be held back.
    await socket.handshake();
    return conn;
  } catch (error) {
    // Until the handshake ends, Deno keeps the socket open although it is closed here, until the peer ends it.
    conn.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
