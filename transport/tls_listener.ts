// The accepting side of TLS, over Node's sockets. Deno's own sockets (2.9) cannot be closed before their TLS handshake has ended,
// so silent clients could hold them indefinitely, and they wait for acknowledgments before they send a second small write. Used
// by servers.

import type { Server as NodeServer, Socket } from "node:net";
import { formatAddress } from "../discovery/endpoint.ts";
import type { AcceptErrorListener, Conn, Listener, ListeningOptions } from "./conn.ts";
import { checkMutualTls } from "./runtime.ts";
import { BACKLOG, type HostAndPort } from "./tcp.ts";
import type { ServerTlsOptions } from "./tls.ts";
import { TlsAcceptor } from "./tls_acceptor.ts";
import { NodeConn } from "./node_conn.ts";

/** Maximum number of connections waiting for accept(); further ones are closed. A server accepts them at once. */
const MAX_BACKLOG = 1_024;

/**
 * Interval in ms at which listen() is repeated. When no file descriptors are left, Deno's (2.9) `node:net` silently stops
 * accepting for good, unless it listens again; repeating it has no other effect.
 */
const RELISTEN_INTERVAL = 1_000;

/** Listens over TLS. Created by {@linkcode listenTls}. */
export class TlsListener implements Listener {
  readonly port: number;
  readonly #server: NodeServer;
  #acceptor: TlsAcceptor;
  /** Connections waiting for accept(). */
  readonly #backlog: Conn[] = [];
  readonly #relistenTimer: ReturnType<typeof setInterval>;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(server: NodeServer, acceptor: TlsAcceptor, onAcceptError: AcceptErrorListener) {
    const address = server.address();
    this.port = typeof address === "object" ? address?.port ?? 0 : 0;
    this.#server = server;
    this.#acceptor = acceptor;
    const { _handle: handle } = server as { _handle?: { listen?(backlog: number): number } };
    this.#relistenTimer = setInterval(() => handle?.listen?.(BACKLOG), RELISTEN_INTERVAL);
    let failed = false;
    server.on("connection", (socket) => {
      failed = false;
      if (this.#backlog.length >= MAX_BACKLOG) return void socket.destroy();
      this.#backlog.push(this.#wrap(socket));
      this.#wake?.();
    });
    server.on("error", (error) => {
      onAcceptError(error, !failed);
      failed = true;
    });
  }

  async accept(): Promise<Conn | null> {
    while (this.#backlog.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (!this.#closed) return this.#backlog.shift()!;
    for (const conn of this.#backlog.splice(0)) conn.close();
    return null;
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
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#relistenTimer);
    this.#server.close();
    this.#wake?.();
  }

  #wrap(socket: Socket): Conn {
    const { remoteAddress = "unknown", remotePort = 0 } = socket;
    const peer = formatAddress({ transport: "tls", hostname: remoteAddress, port: remotePort });
    const conn = new NodeConn(socket, peer);
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
  { onAcceptError = () => {}, reusePort = false }: ListeningOptions = {},
): Promise<TlsListener> {
  const net = await import("node:net");
  checkMutualTls(options);
  const acceptor = new TlsAcceptor(options);
  const server = net.createServer({ noDelay: true, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port, backlog: BACKLOG, reusePort }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return new TlsListener(server, acceptor, onAcceptError);
}
