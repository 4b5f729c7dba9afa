// The accepting side of TLS, over Node's sockets. Deno's own (2.9) cannot be closed before their TLS handshake is over,
// so that clients that stay silent would hold them for as long as they like, and they wait for acknowledgements before
// they send a small write behind another. Used by servers.

import type { Server as NodeServer, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { formatAddress } from "../discovery/endpoint.ts";
import type { Conn, Listener } from "./conn.ts";
import { BACKLOG, type HostAndPort } from "./tcp.ts";
import { PROTOCOLS, type ServerTlsOptions } from "./tls.ts";

/** The most that one write takes, so that its progress can be seen. */
const WRITE_BYTES = 65_536;

/** A socket with TLS, whose handshake need not be over: what is read and written waits for it. */
class TlsConn implements Conn {
  readonly peer: string;
  readonly #socket: TLSSocket;
  /** What was taken from the socket and is not read yet. */
  #rest: Uint8Array | null = null;
  #ended = false;
  #lost: Error | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(socket: TLSSocket, peer: string) {
    this.peer = peer;
    this.#socket = socket;
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("error", (error) => this.#lose(error));
    socket.on("close", () => this.#lose(new Error("Connection closed")));
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const socket = this.#socket;
    for (;;) {
      const most = Math.min(into.length, socket.readableLength);
      const chunk: Uint8Array | null = this.#rest ?? socket.read(most > 0 ? most : undefined);
      if (chunk !== null) {
        const count = Math.min(chunk.length, into.length);
        into.set(chunk.subarray(0, count));
        this.#rest = count < chunk.length ? chunk.subarray(count) : null;
        return count;
      }
      if (this.#ended) return null;
      if (this.#lost !== undefined) throw this.#lost;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
  }

  write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) throw this.#lost;
      const part = from.subarray(0, WRITE_BYTES);
      this.#socket.write(part, (error) => error ? reject(this.#lost ?? error) : resolve(part.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) throw this.#lost;
      this.#socket.end((error?: Error | null) => error ? reject(error) : resolve());
    });
  }

  close(): void {
    this.#lose(new Error("Connection closed"));
    this.#socket.destroy();
  }

  #lose(error: Error): void {
    this.#lost ??= error;
    this.#wake();
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}

class TlsListener implements Listener {
  readonly port: number;
  readonly #server: NodeServer;
  /** Accepted, and not taken yet. */
  readonly #waiting: Conn[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(server: NodeServer, port: number, wrap: (socket: Socket) => Conn) {
    this.port = port;
    this.#server = server;
    server.on("connection", (socket) => {
      this.#waiting.push(wrap(socket));
      this.#wake?.();
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

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.close();
    this.#wake?.();
  }
}

/**
 * Listens on a host and port over TLS; port 0 takes a free one. A connection is accepted before its TLS handshake,
 * which its first read or write waits for.
 *
 * @param reusePort Whether other processes may listen there too
 * @throws {Error} If the address cannot be listened on, or certificate and key are no good
 */
export async function listenTls(
  { hostname, port }: HostAndPort,
  { cert, key }: ServerTlsOptions,
  reusePort = false,
): Promise<Listener> {
  const net = await import("node:net");
  const tls = await import("node:tls");
  await checkIdentity(cert, key);
  const secureContext = tls.createSecureContext({ cert, key });
  const server = net.createServer({ noDelay: true, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port, backlog: BACKLOG, reusePort }, resolve);
  });
  // Running out of files, for instance: it goes on when there are some.
  server.on("error", () => {});
  const address = server.address();
  return new TlsListener(server, typeof address === "object" ? address?.port ?? 0 : 0, (socket) => {
    const { remoteAddress = "unknown", remotePort = 0 } = socket;
    const peer = formatAddress({ transport: "tls", hostname: remoteAddress, port: remotePort });
    const options = { isServer: true, secureContext, ALPNProtocols: PROTOCOLS, allowHalfOpen: true };
    return new TlsConn(new tls.TLSSocket(socket, options), peer);
  });
}

/** Nothing else looks at them before the first client comes. What is wrong is said without quoting them. */
async function checkIdentity(cert: string, key: string): Promise<void> {
  const { createPrivateKey, X509Certificate } = await import("node:crypto");
  let fits: boolean;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new TypeError("the option tls needs a certificate and a private key in PEM");
  }
  if (!fits) throw new TypeError("the key of the option tls does not belong to its certificate");
}
