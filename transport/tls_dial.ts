// Dials over TLS over Node's sockets: in Node and Bun, and in Deno with a client certificate, since Deno's sockets (2.9) do not support
// one for a connection that can be canceled while it is opened, or whose certificate has another name. Used by sockets.ts.

import type { PeerCertificate } from "node:tls";
import { formatAddress } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import type { HostAndPort } from "./tcp.ts";
import { checkClientCertificate, nodeModule } from "./runtime.ts";
import { type ConnectTlsOptions, PROTOCOLS } from "./tls.ts";
import { NodeConn } from "./node_conn.ts";
import { untilOpen } from "./node_dial.ts";

/**
 * Dials a host and port over TLS, with a client certificate for servers that require one. Resolves after the server's certificate
 * and its name were verified. Whether the server accepts the client's certificate only shows when data is read.
 *
 * @param alpnProtocols The protocols offered in ALPN
 * @throws {Error} If the address cannot be reached, the certificate is invalid, or the signal aborts
 */
export async function dialShowing(
  { hostname, port }: HostAndPort,
  { caCerts = [], serverName = hostname, cert, key }: ConnectTlsOptions,
  signal: AbortSignal,
  alpnProtocols = PROTOCOLS,
): Promise<Conn> {
  checkClientCertificate({ cert });
  const net = nodeModule<typeof import("node:net")>("node:net");
  const tls = nodeModule<typeof import("node:tls")>("node:tls");
  signal.throwIfAborted();
  const options = {
    host: hostname,
    port,
    cert,
    key,
    // Listing the default authorities explicitly would require another permission.
    ca: caCerts.length > 0 ? caCerts : undefined,
    // An IP address is not valid in SNI (RFC 6066 section 3), but the certificate is checked for it anyway.
    servername: net.isIP(serverName) ? undefined : serverName,
    checkServerIdentity: (_: string, shown: PeerCertificate) => tls.checkServerIdentity(serverName, shown),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2" as const,
    ALPNProtocols: alpnProtocols,
    allowHalfOpen: true,
  };
  const socket = tls.connect(options);
  const conn = new NodeConn(socket, formatAddress({ transport: "tls", hostname, port }));
  socket.setNoDelay(true);
  socket.on("secureConnect", () => {
    if (socket.authorized === true) conn.open(socket);
    else conn.fail(socket.authorizationError ?? new Error("the server's certificate is invalid"));
  });
  return await untilOpen(socket, conn, signal);
}
