// Accepts connections over Node's sockets: TCP and Unix sockets in Node and Bun; in every runtime those below TLS
// (tls_listener.ts) and those of inherited sockets, which Deno's own API cannot adopt.

import type { ListenOptions, Server, Socket } from "node:net";
import { formatAddress, type UnixAddress } from "../discovery/endpoint.ts";
import type { AcceptErrorListener, Conn, Listener, ListeningOptions } from "./conn.ts";
import { NodeConn } from "./node_conn.ts";
import { BACKLOG, type HostAndPort } from "./tcp.ts";

/** Maximum number of connections waiting for accept(); further ones are closed. A server accepts them at once. */
const MAX_BACKLOG = 1_024;

/**
 * Interval in ms at which listen() is repeated in Deno. When no file descriptors are left, Deno's (2.9) `node:net` silently stops
 * accepting for good, unless it listens again; repeating it has no other effect.
 */
const RELISTEN_INTERVAL = 1_000;

/** A listener over a server of `node:net`. */
export class NodeListener implements Listener {
  readonly port: number;
  readonly #server: Server;
  /** Connections waiting for accept(). */
  readonly #backlog: Conn[] = [];
  readonly #relistenTimer: ReturnType<typeof setInterval> | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  /** @param wrap Makes the Conn of an accepted socket */
  constructor(server: Server, wrap: (socket: Socket) => Conn, onAcceptError: AcceptErrorListener = () => {}) {
    const address = server.address();
    this.port = typeof address === "object" ? address?.port ?? 0 : 0;
    this.#server = server;
    if (typeof Deno !== "undefined") {
      const { _handle: handle } = server as { _handle?: { listen?(backlog: number): number } };
      this.#relistenTimer = setInterval(() => handle?.listen?.(BACKLOG), RELISTEN_INTERVAL);
    }
    let failed = false;
    server.on("connection", (socket) => {
      failed = false;
      if (this.#backlog.length >= MAX_BACKLOG) return void socket.destroy();
      this.#backlog.push(wrap(socket));
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

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#relistenTimer);
    this.#server.close();
    this.#wake?.();
  }
}

/**
 * Creates a server of `node:net` that listens.
 *
 * @throws {Error} If listening fails
 */
export async function startServer(options: ListenOptions & { readonly fd?: number }): Promise<Server> {
  const net = await import("node:net");
  const server = net.createServer({ noDelay: true, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ backlog: BACKLOG, ...options }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return server;
}

/**
 * Listens over TCP in Node and Bun; port 0 uses any free port.
 *
 * @throws {Error} If listening fails
 */
export async function listenNodeTcp(
  { hostname, port }: HostAndPort,
  { onAcceptError, reusePort = false }: ListeningOptions,
): Promise<Listener> {
  const server = await startServer({ host: hostname, port, reusePort });
  return new NodeListener(server, (socket) => opened(socket, peerOf(socket, "tcp")), onAcceptError);
}

/**
 * Listens on a Unix socket in Node and Bun. An existing file at its path is never removed.
 *
 * @throws {Error} If listening fails, such as with a file at its path
 */
export async function listenNodeUnix(
  address: UnixAddress,
  { onAcceptError }: ListeningOptions,
): Promise<Listener> {
  const server = await startServer({ path: address.path });
  return new NodeListener(server, (socket) => opened(socket, formatAddress(address)), onAcceptError);
}

/** A listener over an inherited socket. */
export interface InheritedListener extends Listener {
  /** The address of the socket; `fd@3` for a Unix socket, since `node:net` does not say its path. */
  readonly address: string;
}

/**
 * Listens on a TCP or Unix socket that listens already, such as one that systemd has opened. Closing releases this process's
 * descriptor only: connections wait in the socket's queue while another process holds it.
 *
 * @throws {TypeError} If a proxy is to name clients of a Unix socket
 * @throws {Error} If the descriptor is closed, or no socket to listen on
 */
export async function listenInherited(
  fd: number,
  { onAcceptError, proxies }: ListeningOptions,
): Promise<InheritedListener> {
  const server = await startServer({ fd }).catch((cause) => {
    throw new Error(
      `file descriptor ${fd} is not a listening TCP or Unix socket; systemd passes sockets of the .socket unit from 3 on`,
      { cause },
    );
  });
  const bound = server.address();
  const isTcp = typeof bound === "object" && bound?.address !== undefined;
  if (!isTcp && proxies !== undefined) {
    server.close();
    throw new TypeError("proxyProtocol is for TCP sockets");
  }
  const address = isTcp
    ? formatAddress({ transport: "tcp", hostname: bound.address, port: bound.port })
    : `fd@${fd}`;
  const wrap = (socket: Socket) => opened(socket, isTcp ? peerOf(socket, "tcp") : address);
  return Object.assign(new NodeListener(server, wrap, onAcceptError), { address });
}

/** The address of the other side of an accepted socket. */
export function peerOf(socket: Socket, transport: "tcp" | "tls"): string {
  const { remoteAddress = "unknown", remotePort = 0 } = socket;
  return formatAddress({ transport, hostname: remoteAddress, port: remotePort });
}

function opened(socket: Socket, peer: string): Conn {
  const conn = new NodeConn(socket, peer);
  conn.open(socket);
  return conn;
}
