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
import { TlsAcceptor } from "./tls_acceptor.ts";

/** Listens over TLS. Created by {@linkcode listenTls}. */
export class TlsListener implements Listener {
  readonly #listener: NodeListener;
  #acceptor: TlsAcceptor;

  constructor(server: Server, acceptor: TlsAcceptor, onAcceptError?: AcceptErrorListener) {
    this.#acceptor = acceptor;
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
    const conn = new NodeConn(socket, peerOf(socket, "tls"));
    this.#acceptor.accept(socket, conn);
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
  { onAcceptError, reusePort = false }: ListeningOptions = {},
): Promise<TlsListener> {
  checkMutualTls(options);
  const acceptor = new TlsAcceptor(options);
  const server = await startServer({ host: hostname, port, reusePort });
  return new TlsListener(server, acceptor, onAcceptError);
}
