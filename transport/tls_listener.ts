// The accepting side of TLS, over Node's sockets. Deno's own sockets (2.9) cannot be closed before their TLS handshake has ended,
// so silent clients could hold them indefinitely, and they wait for acknowledgments before they send a second small write. Used
// by servers.

import type { Server, Socket } from "node:net";
import type { AcceptErrorListener, Conn, Listener, ListeningOptions } from "./conn.ts";
import { NodeConn } from "./node_conn.ts";
import { NodeListener, peerOf, startServer } from "./node_listener.ts";
import { checkMutualTls } from "./runtime.ts";
import type { HostAndPort } from "./tcp.ts";
import type { ServerTlsOptions } from "./tls.ts";
import type { IpRanges } from "./ip_ranges.ts";
import { clientOf } from "./proxied_conn.ts";
import { readPreface } from "./tls_preface.ts";
import { TlsAcceptor } from "./tls_acceptor.ts";

/** Listens over TLS. Created by {@linkcode listenTls}. */
export class TlsListener implements Listener {
  readonly #listener: NodeListener;
  #acceptor: TlsAcceptor;
  readonly #proxies: IpRanges | undefined;

  constructor(
    server: Server,
    acceptor: TlsAcceptor,
    onAcceptError: AcceptErrorListener | undefined,
    proxies: IpRanges | undefined,
  ) {
    this.#acceptor = acceptor;
    this.#proxies = proxies;
    this.#listener = new NodeListener(server, (socket) => this.#wrap(socket), onAcceptError);
  }

  get port(): number {
    return this.#listener.port;
  }

  accept(): Promise<Conn | null> {
    return this.#listener.accept();
  }

  /**
   * Replaces certificate, key or authorities for new connections.
   *
   * @throws {TypeError} If they are invalid; the previous ones stay in use
   */
  renew(options: ServerTlsOptions): void {
    checkMutualTls(options);
    this.#acceptor = new TlsAcceptor(options, this.#acceptor);
  }

  close(): void {
    this.#listener.close();
  }

  #wrap(socket: Socket): Conn {
    const peer = peerOf(socket, "tls");
    const conn = new NodeConn(socket, peer);
    // Without a listener, an error would end the process.
    socket.on("error", () => {});
    const proxied = this.#proxies?.includes(socket.remoteAddress ?? "") === true;
    const begun = readPreface(socket, proxied).then(({ header, mismatch }) => {
      // TLS answers what it cannot read with an alert, from which clients learn that this is TLS.
      conn.mismatch = mismatch;
      if (header !== undefined) conn.peer = clientOf(peer, header);
      this.#acceptor.accept(socket, conn);
    });
    begun.catch((error) => conn.fail(error));
    if (proxied) conn.readProxyHeader = () => begun;
    return conn;
  }
}

/**
 * Listens on a host and port over TLS; port 0 uses any free port. A connection is accepted before its TLS handshake, which its
 * first read or write waits for. With `clientCaCerts` the handshake fails without a valid client certificate.
 *
 * @throws {TypeError} If certificate, key or authorities are invalid, or Deno is too old for `clientCaCerts`
 * @throws {Error} If listening fails
 */
export async function listenTls(
  { hostname, port }: HostAndPort,
  options: ServerTlsOptions,
  { onAcceptError, reusePort = false, proxies }: ListeningOptions = {},
): Promise<TlsListener> {
  checkMutualTls(options);
  const acceptor = new TlsAcceptor(options);
  const server = await startServer({ host: hostname, port, reusePort });
  return new TlsListener(server, acceptor, onAcceptError, proxies);
}
