// The dialling side of TLS, over Deno's sockets: certificate and name have been checked before there is a Conn, so before
// a byte of RPC is sent. Also the options of both sides. Used by dial.ts; the accepting side is tls_listener.ts.

import { checkOptions, type Names } from "../call/check_options.ts";
import type { Conn } from "./conn.ts";
import { connectTcp, type HostAndPort, SocketConn } from "./tcp.ts";

/** What both sides name in ALPN. A side that names nothing may come too, one that names only others may not. */
export const PROTOCOLS = ["troodon/1"];

/** Who a server is, to clients that come over TLS. */
export interface ServerTlsOptions {
  /** The certificate and those between it and the root, in PEM. */
  cert: string;
  /** The private key that belongs to it, in PEM. */
  key: string;
  /**
   * The authorities whose certificates clients must show, in PEM (mutual TLS): whoever shows none that is good is cut
   * off before a byte of RPC is read. Handlers see it as `context.peer.certificate`. Left out, clients need none.
   *
   * Good is what one of these has signed, for clients (the extended key usage `clientAuth`, if there is one), and what
   * has not expired. Lists of certificates that were revoked are not looked at: make them short-lived.
   */
  clientCaCerts?: string[];
}

/** Whom a client trusts, where it comes over TLS. */
export interface ConnectTlsOptions {
  /**
   * Certificates to trust besides those that Deno trusts, in PEM. Together with `cert`, in place of those.
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
   * The certificate to show to servers that ask for one, and those between it and the root, in PEM. Goes with `key`.
   */
  cert?: string;
  /** The private key that belongs to `cert`, in PEM. */
  key?: string;
}

const SERVER_NAMES: Names<ServerTlsOptions> = { cert: true, key: true, clientCaCerts: true };
const CONNECT_NAMES: Names<ConnectTlsOptions> = { caCerts: true, serverName: true, cert: true, key: true };

/**
 * Checks what a client trusts and shows.
 *
 * @throws {TypeError} If something in it is not text, or a certificate not PEM
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
 * Checks who a server is. What is inside is checked when it listens.
 *
 * @throws {TypeError} If something in it is not text in PEM
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
  // An empty list is no wish to let everyone in.
  if (!isTexts(clientCaCerts) || clientCaCerts.length === 0) {
    throw new TypeError("Cannot use tls.clientCaCerts: expected a list of certificates in PEM, one at least");
  }
  clientCaCerts.forEach((text, i) => checkPem(`tls.clientCaCerts[${i}]`, text));
  return { cert, key, clientCaCerts: [...clientCaCerts] };
}

/**
 * Checks what replaces a part of who a server is; what is left out stays.
 *
 * @throws {TypeError} If something in it is not text in PEM
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

/** Catches what is not PEM (RFC 7468), such as the path of a file. It is not quoted: it may be a key all the same. */
function checkPem(name: string, text: string): void {
  if (text.includes("-----BEGIN ")) return;
  throw new TypeError(
    `Cannot use ${name}: expected text in PEM, which has a line -----BEGIN; of a file, give what ` +
      "Deno.readTextFile(path) returns",
  );
}

/**
 * Dials a host and port over TLS. Resolves when the certificate and its name have been found good.
 *
 * @param alpnProtocols What is named in ALPN
 * @throws {Error} If nobody answers there, the certificate is not good, or the signal aborts
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
    // Deno would do this with the first write, and give no chance to hold what is written back.
    await socket.handshake();
    return conn;
  } catch (error) {
    // Until a handshake is over, Deno keeps the socket although it is closed here: until the peer ends it.
    conn.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
