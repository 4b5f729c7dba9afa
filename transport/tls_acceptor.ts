// Starts TLS on accepted sockets and decides which client certificates are accepted. Owned by a TlsListener, which creates another
// one when its certificate is renewed.

import type { Socket } from "node:net";
import type { SecureVersion, Server, TlsOptions, TLSSocket } from "node:tls";
import type { PeerCertificate } from "../call/handler.ts";
import { readCertificate } from "./certificate.ts";
import { Recent } from "./recent.ts";
import { nodeModule } from "./runtime.ts";
import { PROTOCOLS, type ServerTlsOptions } from "./tls.ts";
import { type NodeConn, TlsFailure } from "./node_conn.ts";

/** Maximum number of remembered certificates, and of remembered client addresses; the least recently used are evicted. */
const MAX_REMEMBERED = 16_384;

/**
 * Starts TLS on sockets with a `tls.Server` that does not listen itself: a `TLSSocket` created without a server accepts any
 * client certificate in Deno 2.9, whatever its options are.
 *
 * In Deno 2.9 all `tls.Server`s of a process share the sessions that clients may resume, and a resumed session has the
 * certificate of its first handshake, which is not verified again. Therefore the certificate of a resumed session is accepted
 * only if a full handshake here has verified it, and while it is valid.
 */
export class TlsAcceptor {
  readonly #options: ServerTlsOptions;
  readonly #server: Server;
  readonly #conns = new WeakMap<Socket, NodeConn>();
  /** Fingerprints of certificates that full handshakes have verified for the same authorities. */
  readonly #verified: Recent<true>;
  /**
   * Addresses of clients whose resumed session was rejected. The next connection from such an address is limited to another TLS
   * version, with which the session cannot be resumed: it makes a full handshake or fails in it, and the client drops the
   * session. Otherwise many clients would offer the same session again and again.
   */
  readonly #rejected = new Recent<SecureVersion>(MAX_REMEMBERED);

  /**
   * @param before The acceptor that is replaced, if any. With the same authorities, its verified certificates stay verified
   * @throws {TypeError} If certificate, key or authorities are invalid
   */
  constructor(options: ServerTlsOptions, before?: TlsAcceptor) {
    checkIdentity(options);
    this.#options = options;
    this.#server = this.#createServer("TLSv1.2", "TLSv1.3");
    const { clientCaCerts } = options;
    const same = before !== undefined && String(before.#options.clientCaCerts) === String(clientCaCerts);
    this.#verified = same ? before.#verified : new Recent(MAX_REMEMBERED);
  }

  /** Starts the TLS handshake, and reports its outcome to the Conn. */
  accept(socket: Socket, conn: NodeConn): void {
    this.#conns.set(socket, conn);
    // If Deno rejects a certificate, it only reports that the connection has ended.
    const ended = this.#options.clientCaCerts === undefined
      ? "the client disconnected"
      : "the client has no valid certificate, or disconnected";
    socket.on("error", (error) => conn.fail(failure(error.message)));
    socket.on("close", () => conn.fail(failure(ended)));
    const version = this.#rejected.take(hostOf(conn));
    const server = version === undefined ? this.#server : this.#createServer(version, version);
    server.emit("connection", socket);
  }

  #createServer(minVersion: SecureVersion, maxVersion: SecureVersion): Server {
    const { cert, key, clientCaCerts: ca } = this.#options;
    const mutual: TlsOptions = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true };
    const server = nodeModule<typeof import("node:tls")>("node:tls").createServer({
      cert,
      key,
      minVersion,
      maxVersion,
      ALPNProtocols: PROTOCOLS,
      allowHalfOpen: true,
      ...mutual,
    });
    server.on("secureConnection", (socket) => this.#onSecure(socket));
    server.on("tlsClientError", (error, socket) => this.#connOf(socket)?.fail(failure(error.message)));
    return server;
  }

  /** Called when the TLS handshake is complete. */
  #onSecure(socket: TLSSocket): void {
    const conn = this.#connOf(socket);
    if (conn === undefined) return void socket.destroy();
    if (this.#options.clientCaCerts === undefined) return conn.open(socket);
    const certificate = certificateOf(socket);
    if (certificate === undefined) {
      return conn.fail(failure("the client has no valid certificate"));
    }
    const { fingerprint } = certificate;
    // A session of unknown state counts as resumed.
    if (socket.isSessionReused() !== false && !(this.#verified.get(fingerprint) && isValidNow(socket))) {
      const other = socket.getProtocol() === "TLSv1.3" ? "TLSv1.2" : "TLSv1.3";
      this.#rejected.set(hostOf(conn), other);
      return conn.fail(
        failure("the certificate of the resumed session was not verified here, or has expired"),
      );
    }
    this.#verified.set(fingerprint, true);
    conn.open(socket, certificate);
  }

  /** The Conn of a socket; undefined, and so never secure, if it is unknown. */
  #connOf(socket: TLSSocket): NodeConn | undefined {
    const { _parent: below } = socket as { _parent?: Socket };
    return below === undefined ? undefined : this.#conns.get(below);
  }
}

/** The client's certificate, if the system has verified it. */
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

/** Whether the client's certificate is within its validity period. */
function isValidNow(socket: TLSSocket): boolean {
  const { valid_from: from, valid_to: to } = socket.getPeerCertificate();
  const now = Date.now();
  return Date.parse(from) <= now && now <= Date.parse(to);
}

function failure(why: string): TlsFailure {
  return new TlsFailure(`The TLS handshake failed: ${why}`);
}

/** Checks certificates and keys, which would otherwise fail with the first client. Messages do not quote them. */
function checkIdentity({ cert, key, clientCaCerts = [] }: ServerTlsOptions): void {
  const { createPrivateKey, X509Certificate } = nodeModule<typeof import("node:crypto")>("node:crypto");
  let fits: boolean;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new TypeError("the option tls requires a certificate and a private key in PEM");
  }
  if (!fits) throw new TypeError("the key in the option tls does not match the certificate");
  for (const each of clientCaCerts) {
    try {
      new X509Certificate(each);
    } catch {
      throw new TypeError("the option tls.clientCaCerts requires certificates in PEM");
    }
  }
}

/** The address of a client without its port: behind a proxy, that of the proxy's client. */
function hostOf({ peer }: NodeConn): string {
  return peer.slice(0, peer.lastIndexOf(":"));
}
