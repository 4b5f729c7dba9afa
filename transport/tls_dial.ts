// Dialling over TLS with a certificate of one's own, over Node's sockets: Deno's (2.9) take none for a connection that can
// be given up before it is made, or that is for another name. Used by dial.ts.

import type { PeerCertificate } from "node:tls";
import { formatAddress } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import type { HostAndPort } from "./tcp.ts";
import { nodeModule } from "./runtime.ts";
import { type ConnectTlsOptions, PROTOCOLS } from "./tls.ts";
import { TlsConn } from "./tls_conn.ts";

/**
 * Dials a host and port over TLS, and shows a certificate if the server asks for one. Resolves when the server's
 * certificate and its name have been found good; what the server thinks of this side's shows when it is read from.
 *
 * @param alpnProtocols What is named in ALPN
 * @throws {Error} If nobody answers there, a certificate is not good, or the signal aborts
 */
export async function dialShowing(
  { hostname, port }: HostAndPort,
  { caCerts = [], serverName = hostname, cert, key }: ConnectTlsOptions,
  signal: AbortSignal,
  alpnProtocols = PROTOCOLS,
): Promise<Conn> {
  const net = nodeModule<typeof import("node:net")>("node:net");
  const tls = nodeModule<typeof import("node:tls")>("node:tls");
  signal.throwIfAborted();
  const options = {
    host: hostname,
    port,
    cert,
    key,
    // To name those that are trusted anyway would take a permission of its own.
    ca: caCerts.length > 0 ? caCerts : undefined,
    // An IP address is no name for SNI (RFC 6066 section 3), but the certificate is checked for it all the same.
    servername: net.isIP(serverName) ? undefined : serverName,
    checkServerIdentity: (_: string, shown: PeerCertificate) => tls.checkServerIdentity(serverName, shown),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2" as const,
    ALPNProtocols: alpnProtocols,
    allowHalfOpen: true,
  };
  const socket = tls.connect(options);
  const conn = new TlsConn(socket, formatAddress({ transport: "tls", hostname, port }));
  socket.setNoDelay(true);
  socket.on("error", (error) => conn.fail(error));
  socket.on("close", () => conn.fail(new Error("the server ended the connection in the TLS handshake")));
  socket.on("secureConnect", () => {
    if (socket.authorized === true) conn.secure(socket);
    else conn.fail(socket.authorizationError ?? new Error("the server's certificate is not good"));
  });
  const stop = () => conn.close();
  signal.addEventListener("abort", stop);
  try {
    await conn.opened();
    return conn;
  } catch (error) {
    conn.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
