// Node's TLS sockets as Conns. Used by the accepting side (tls_acceptor.ts), and by the dialling side where it shows a
// certificate of its own (tls_dial.ts).

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Deferred, deferred } from "../call/deferred.ts";
import type { PeerCertificate } from "../call/handler.ts";
import type { Conn } from "./conn.ts";

/** The most that one write takes, so that its progress can be seen. */
const WRITE_BYTES = 65_536;

/** Why a connection did not get through its TLS handshake. */
export class TlsFailure extends Error {
  override readonly name = "TlsFailure";
}

/**
 * A socket with TLS. Its handshake need not be over: what is read and written waits for {@linkcode TlsConn.secure}, so
 * nothing passes that has not been found good.
 */
export class TlsConn implements Conn {
  readonly peer: string;
  certificate: PeerCertificate | undefined;
  /** What is below TLS: closed as long as there is nothing above. */
  readonly #below: Socket;
  #socket: TLSSocket | undefined;
  /** Resolves when there is a socket, or none will be. */
  #opening: Deferred<void> | undefined = deferred();
  /** What was taken from the socket and is not read yet. */
  #rest: Uint8Array | null = null;
  #ended = false;
  #lost: Error | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(below: Socket, peer: string) {
    this.peer = peer;
    this.#below = below;
  }

  /** The TLS handshake is over, and whoever is on the other side may be there. */
  secure(socket: TLSSocket, certificate?: PeerCertificate): void {
    if (this.#lost !== undefined || this.#socket !== undefined) return void socket.destroy();
    this.#socket = socket;
    this.certificate = certificate;
    stopReadingWhenFull(socket);
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("error", (error) => this.#lose(error));
    socket.on("close", () => this.#lose(new Error("Connection closed")));
    this.#settle();
  }

  /** The TLS handshake has failed. Without effect once it is over. */
  fail(error: Error): void {
    if (this.#socket !== undefined || this.#lost !== undefined) return;
    this.#lose(error);
    this.#below.destroy();
  }

  /**
   * Waits for the end of the TLS handshake.
   *
   * @throws {Error} If it fails
   */
  async opened(): Promise<TLSSocket> {
    await this.#opening?.promise;
    if (this.#socket === undefined || this.#lost !== undefined) {
      throw this.#lost ?? new Error("Connection closed");
    }
    return this.#socket;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const socket = this.#socket ?? await this.opened();
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

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    const socket = this.#socket ?? await this.opened();
    return await new Promise((resolve, reject) => {
      if (this.#lost !== undefined) throw this.#lost;
      const part = from.subarray(0, WRITE_BYTES);
      socket.write(part, (error) => error ? reject(this.#lost ?? error) : resolve(part.length));
    });
  }

  async closeWrite(): Promise<void> {
    const socket = this.#socket ?? await this.opened();
    await new Promise<void>((resolve, reject) => {
      if (this.#lost !== undefined) throw this.#lost;
      socket.end((error?: Error | null) => error ? reject(error) : resolve());
    });
  }

  close(): void {
    this.#lose(new Error("Connection closed"));
    this.#socket?.destroy();
    this.#below.destroy();
  }

  #lose(error: Error): void {
    this.#lost ??= error;
    this.#settle();
    this.#wake();
  }

  #settle(): void {
    this.#opening?.resolve();
    this.#opening = undefined;
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}

/** One of Deno's handles: what a socket of Node's reads from. */
interface Handle {
  readStart(): number;
  readStop(): number;
}

/**
 * Makes a socket stop reading from the network while its buffer is full, so that the peer has to wait. In Deno 2.9 the
 * stream stops its TLS handle alone: the TCP handle below reads on without limit, and an end that comes meanwhile is lost.
 */
function stopReadingWhenFull(socket: TLSSocket): void {
  const { _handle: tls } = socket as { _handle?: Handle & { _nativeTcpHandle?: Handle } };
  const tcp = tls?._nativeTcpHandle;
  if (tls === undefined || tcp === undefined) return;
  const decrypt = tls.readStart.bind(tls);
  tls.readStop = () => tcp.readStop();
  tls.readStart = () => tcp.readStart() || decrypt();
}
