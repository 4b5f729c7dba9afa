// Puts TLS on accepted sockets, and decides which clients' certificates are accepted. Owned by a TlsListener, which makes
// another one when its certificate is renewed.

import type { Socket } from "node:net";
import type { SecureVersion, Server, TlsOptions, TLSSocket } from "node:tls";
import type { PeerCertificate } from "../call/handler.ts";
import { readCertificate } from "./certificate.ts";
import { Recent } from "./recent.ts";
import { nodeModule } from "./runtime.ts";
import { PROTOCOLS, type ServerTlsOptions } from "./tls.ts";
import { type TlsConn, TlsFailure } from "./tls_conn.ts";

/** How many certificates, and how many addresses of clients, are remembered: those that were used last. */
const MOST_REMEMBERED = 16_384;

/**
 * Puts TLS on sockets by a `tls.Server` that listens nowhere: a `TLSSocket` made without one accepts any certificate of a
 * client in Deno 2.9, whatever its options are.
 *
 * In Deno 2.9 all `tls.Server`s of a process share the sessions that clients may resume, and a resumed session brings the
 * certificate of its first handshake, which is not verified again. So a certificate is accepted from a resumed session
 * only if a full handshake here has verified it, and while it is valid.
 */
export class TlsAcceptor {
  readonly #options: ServerTlsOptions;
  readonly #server: Server;
  readonly #conns = new WeakMap<Socket, TlsConn>();
  /** Fingerprints of the certificates that were verified in full handshakes, for the same authorities. */
  readonly #verified: Recent<true>;
  /**
   * Addresses of clients whose resumed session was refused. The next connection from there is limited to another version
   * of TLS, with which the session cannot be resumed: it gets a full handshake, or fails in it, so that the client drops
   * the session. Otherwise many clients would offer it again and again.
   */
  readonly #refused = new Recent<SecureVersion>(MOST_REMEMBERED);

  /**
   * @param before What it replaces, if anything: with the same authorities, certificates need not be verified again
   * @throws {TypeError} If certificate, key or authorities are invalid
   */
  constructor(options: ServerTlsOptions, before?: TlsAcceptor) {
    checkIdentity(options);
    this.#options = options;
    this.#server = this.#createServer("TLSv1.2", "TLSv1.3");
    const { clientCaCerts } = options;
    const same = before !== undefined && String(before.#options.clientCaCerts) === String(clientCaCerts);
    this.#verified = same ? before.#verified : new Recent(MOST_REMEMBERED);
  }

  /** Begins the TLS handshake; the Conn learns how it ended. */
  accept(socket: Socket, conn: TlsConn): void {
    this.#conns.set(socket, conn);
    // Of a certificate that it does not accept, Deno says no more than that the connection has ended.
    const ended = this.#options.clientCaCerts === undefined
      ? "the client went away"
      : "no good certificate was shown, or the client went away";
    socket.on("error", (error) => conn.fail(failure(error.message)));
    socket.on("close", () => conn.fail(failure(ended)));
    const version = this.#refused.take(socket.remoteAddress ?? "");
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
    server.on("secureConnection", (socket) => this.#admit(socket));
    server.on("tlsClientError", (error, socket) => this.#connOf(socket)?.fail(failure(error.message)));
    return server;
  }

  /** The TLS handshake is over. */
  #admit(socket: TLSSocket): void {
    const conn = this.#connOf(socket);
    if (conn === undefined) return void socket.destroy();
    if (this.#options.clientCaCerts === undefined) return conn.secure(socket);
    const certificate = certificateOf(socket);
    if (certificate === undefined) {
      return conn.fail(failure("the client has shown no certificate that is good here"));
    }
    const { fingerprint } = certificate;
    // Where it is not known whether a session was resumed, it is taken for resumed.
    if (socket.isSessionReused() !== false && !(this.#verified.get(fingerprint) && isValidNow(socket))) {
      const other = socket.getProtocol() === "TLSv1.3" ? "TLSv1.2" : "TLSv1.3";
      this.#refused.set(socket.remoteAddress ?? "", other);
      return conn.fail(
        failure("the certificate of the resumed session is not verified here, or has expired"),
      );
    }
    this.#verified.set(fingerprint, true);
    conn.secure(socket, certificate);
  }

  /** The Conn that waits for a socket to be secure; undefined, and so never secure, if there is none. */
  #connOf(socket: TLSSocket): TlsConn | undefined {
    const { _parent: below } = socket as { _parent?: Socket };
    return below === undefined ? undefined : this.#conns.get(below);
  }
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

/** Whether the client's certificate has begun to be valid, and has not expired. */
function isValidNow(socket: TLSSocket): boolean {
  const { valid_from: from, valid_to: to } = socket.getPeerCertificate();
  const now = Date.now();
  return Date.parse(from) <= now && now <= Date.parse(to);
}

function failure(why: string): TlsFailure {
  return new TlsFailure(`The TLS handshake failed: ${why}`);
}

/** Nothing else looks at them before the first client comes. What is wrong is said without quoting them. */
function checkIdentity({ cert, key, clientCaCerts = [] }: ServerTlsOptions): void {
  const { createPrivateKey, X509Certificate } = nodeModule<typeof import("node:crypto")>("node:crypto");
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
