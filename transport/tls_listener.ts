// The accepting side of TLS, over Node's sockets. Deno's own (2.9) cannot be closed before their TLS handshake is over,
// so that clients that stay silent would hold them for as long as they like, and they wait for acknowledgements before
// they send a small write behind another. Used by servers.

import type { Server as NodeServer, Socket } from "node:net";
import { formatAddress } from "../discovery/endpoint.ts";
import type { Conn, Listener, ListeningOptions, Trouble } from "./conn.ts";
import { checkMutualTls } from "./runtime.ts";
import { BACKLOG, type HostAndPort } from "./tcp.ts";
import type { ServerTlsOptions } from "./tls.ts";
import { TlsAcceptor } from "./tls_acceptor.ts";
import { TlsConn } from "./tls_conn.ts";

/** Connections that may wait to be taken; who comes then is cut off. A server takes them at once. */
const MAX_WAITING = 1_024;

/**
 * How often a listener is told to listen, in ms. When there are no files left, Deno's (2.9) `node:net` stops accepting,
 * for good and without a word, unless it is told again; that harms nobody.
 */
const LISTEN_AGAIN = 1_000;

/** Listens over TLS; see {@linkcode listenTls}. */
export class TlsListener implements Listener {
  readonly port: number;
  readonly #server: NodeServer;
  #acceptor: TlsAcceptor;
  /** Accepted, and not taken yet. */
  readonly #waiting: Conn[] = [];
  readonly #listening: ReturnType<typeof setInterval>;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(server: NodeServer, acceptor: TlsAcceptor, trouble: Trouble) {
    const address = server.address();
    this.port = typeof address === "object" ? address?.port ?? 0 : 0;
    this.#server = server;
    this.#acceptor = acceptor;
    const { _handle: handle } = server as { _handle?: { listen?(backlog: number): number } };
    this.#listening = setInterval(() => handle?.listen?.(BACKLOG), LISTEN_AGAIN);
    let failed = false;
    server.on("connection", (socket) => {
      failed = false;
      if (this.#waiting.length >= MAX_WAITING) return void socket.destroy();
      this.#waiting.push(this.#wrap(socket));
      this.#wake?.();
    });
    server.on("error", (error) => {
      trouble(error, !failed);
      failed = true;
    });
  }

  async accept(): Promise<Conn | null> {
    while (this.#waiting.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (!this.#closed) return this.#waiting.shift()!;
    for (const conn of this.#waiting.splice(0)) conn.close();
    return null;
  }

  /**
   * Takes another certificate, key or authorities for connections that arrive from now on.
   *
   * @throws {TypeError} If they are invalid; those before stay in use
   */
  renew(options: ServerTlsOptions): void {
    checkMutualTls(options);
    this.#acceptor = new TlsAcceptor(options, this.#acceptor);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#listening);
    this.#server.close();
    this.#wake?.();
  }

  #wrap(socket: Socket): Conn {
    const { remoteAddress = "unknown", remotePort = 0 } = socket;
    const peer = formatAddress({ transport: "tls", hostname: remoteAddress, port: remotePort });
    const conn = new TlsConn(socket, peer);
    this.#acceptor.accept(socket, conn);
    return conn;
  }
}

/**
 * Listens on a host and port over TLS; port 0 takes a free one. A connection is accepted before its TLS handshake,
 * which its first read or write waits for; with `clientCaCerts` that fails unless a good certificate was shown.
 *
 * @throws {TypeError} If certificate, key or authorities are invalid, or this Deno is too old for the latter
 * @throws {Error} If the address cannot be listened on
 */
export async function listenTls(
  { hostname, port }: HostAndPort,
  options: ServerTlsOptions,
  { trouble = () => {}, reusePort = false }: ListeningOptions = {},
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
  return new TlsListener(server, acceptor, trouble);
}
