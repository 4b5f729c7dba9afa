// The accepting side of TLS, over Node's sockets. Deno's own (2.9) cannot be closed before their TLS handshake is over,
// so that clients that stay silent would hold them for as long as they like, and they wait for acknowledgements before
// they send a small write behind another. Used by servers.

import type { Server as NodeServer, Socket } from "node:net";
import type { TlsOptions, TLSSocket } from "node:tls";
import type { PeerCertificate } from "../call/dispatch.ts";
import { formatAddress } from "../discovery/endpoint.ts";
import { readCertificate } from "./certificate.ts";
import type { Conn, Listener, ListeningOptions, Trouble } from "./conn.ts";
import { BACKLOG, type HostAndPort } from "./tcp.ts";
import { PROTOCOLS, type ServerTlsOptions } from "./tls.ts";
import { TlsConn, TlsFailure } from "./tls_conn.ts";

/** Connections that may wait to be taken; who comes then is cut off. A server takes them at once. */
const MAX_WAITING = 1_024;

/**
 * How often a listener is told to listen, in ms. When there are no files left, Deno's (2.9) `node:net` stops accepting,
 * for good and without a word, unless it is told again; that harms nobody.
 */
const LISTEN_AGAIN = 1_000;

class TlsListener implements Listener {
  readonly port: number;
  readonly #server: NodeServer;
  /** Accepted, and not taken yet. */
  readonly #waiting: Conn[] = [];
  readonly #listening: ReturnType<typeof setInterval>;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(server: NodeServer, port: number, wrap: (socket: Socket) => Conn, trouble: Trouble) {
    this.port = port;
    this.#server = server;
    const { _handle: handle } = server as { _handle?: { listen?(backlog: number): number } };
    this.#listening = setInterval(() => handle?.listen?.(BACKLOG), LISTEN_AGAIN);
    let failed = false;
    server.on("connection", (socket) => {
      failed = false;
      if (this.#waiting.length >= MAX_WAITING) return void socket.destroy();
      this.#waiting.push(wrap(socket));
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

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#listening);
    this.#server.close();
    this.#wake?.();
  }
}

/**
 * Listens on a host and port over TLS; port 0 takes a free one. A connection is accepted before its TLS handshake,
 * which its first read or write waits for; with `clientCaCerts` that fails unless a good certificate was shown.
 *
 * @throws {Error} If the address cannot be listened on, or certificate and key are no good
 */
export async function listenTls(
  { hostname, port }: HostAndPort,
  options: ServerTlsOptions,
  { trouble = () => {}, reusePort = false }: ListeningOptions = {},
): Promise<Listener> {
  const net = await import("node:net");
  const secured = await securing(options);
  const server = net.createServer({ noDelay: true, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port, backlog: BACKLOG, reusePort }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const address = server.address();
  const wrap = (socket: Socket) => {
    const { remoteAddress = "unknown", remotePort = 0 } = socket;
    const peer = formatAddress({ transport: "tls", hostname: remoteAddress, port: remotePort });
    const conn = new TlsConn(socket, peer);
    secured(socket, conn);
    return conn;
  };
  return new TlsListener(
    server,
    typeof address === "object" ? address?.port ?? 0 : 0,
    wrap,
    trouble,
  );
}

/**
 * What puts TLS on sockets. `tls.Server` does it, which listens nowhere here: a `TLSSocket` made without one takes any
 * certificate of a client in Deno 2.9, whatever it is told.
 */
async function securing(options: ServerTlsOptions): Promise<(socket: Socket, conn: TlsConn) => void> {
  const tls = await import("node:tls");
  const { cert, key, clientCaCerts: ca } = options;
  await checkIdentity(options);
  const mutual: TlsOptions = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true };
  const server = tls.createServer({
    cert,
    key,
    minVersion: "TLSv1.2",
    ALPNProtocols: PROTOCOLS,
    allowHalfOpen: true,
    ...mutual,
  });
  const conns = new WeakMap<Socket, TlsConn>();
  server.on("secureConnection", (socket) => {
    const conn = connOf(conns, socket);
    if (conn === undefined) return void socket.destroy();
    if (ca === undefined) return conn.secure(socket);
    const certificate = certificateOf(socket);
    if (certificate !== undefined) return conn.secure(socket, certificate);
    conn.fail(failure("the client has shown no certificate that is good here"));
  });
  server.on("tlsClientError", (error, socket) => connOf(conns, socket)?.fail(failure(error.message)));
  return (socket, conn) => {
    conns.set(socket, conn);
    // Of a certificate that it does not accept, Deno says no more than that the connection has ended.
    const ended = ca === undefined
      ? "the client went away"
      : "no good certificate was shown, or the client went away";
    socket.on("error", (error) => conn.fail(failure(error.message)));
    socket.on("close", () => conn.fail(failure(ended)));
    server.emit("connection", socket);
  };
}

/** The Conn that waits for a socket to be secure; undefined, and so never secure, if there is none. */
function connOf(conns: WeakMap<Socket, TlsConn>, socket: TLSSocket): TlsConn | undefined {
  const { _parent: below } = socket as { _parent?: Socket };
  return below === undefined ? undefined : conns.get(below);
}

/** What the client has shown; undefined unless the system says that it is good. */
function certificateOf(socket: TLSSocket): PeerCertificate | undefined {
  if (socket.authorized !== true) return undefined;
  const shown = socket.getPeerCertificate();
  if (!(shown?.raw?.length > 0) || !shown.fingerprint256) return undefined;
  try {
    return readCertificate(shown.raw, shown.fingerprint256);
  } catch {
    return undefined;
  }
}

function failure(why: string): TlsFailure {
  return new TlsFailure(`The TLS handshake failed: ${why}`);
}

/** Nothing else looks at them before the first client comes. What is wrong is said without quoting them. */
async function checkIdentity({ cert, key, clientCaCerts = [] }: ServerTlsOptions): Promise<void> {
  const { createPrivateKey, X509Certificate } = await import("node:crypto");
  let fits: boolean;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new TypeError("the option tls needs a certificate and a private key in PEM");
  }
  if (!fits) throw new TypeError("the key of the option tls does not belong to its certificate");
  for (const each of clientCaCerts) {
    try {
      new X509Certificate(each);
    } catch {
      throw new TypeError("the option tls.clientCaCerts needs certificates in PEM");
    }
  }
}
