// Conns over Node's sockets. In Node and Bun all sockets are such; in Deno those of the accepting side of TLS (tls_acceptor.ts), and
// of the dialing side if it has a client certificate (tls_dial.ts).

import type { Socket } from "node:net";
import { type Deferred, deferred } from "../call/deferred.ts";
import type { PeerCertificate } from "../call/handler.ts";
import type { Conn } from "./conn.ts";

/** Maximum number of bytes in one write, so that its progress is visible. */
const WRITE_BYTES = 65_536;

/** The error of a connection whose TLS handshake failed. */
export class TlsFailure extends Error {
  override readonly name = "TlsFailure";

  /** @param silent Whether the client has sent nothing */
  constructor(message: string, readonly silent = false) {
    super(message);
  }
}

/**
 * A socket that may not be connected yet, or whose TLS handshake is pending: reads and writes wait for {@linkcode NodeConn.open},
 * so no data passes before the peer is verified.
 */
export class NodeConn implements Conn {
  peer: string;
  readProxyHeader: (() => Promise<void>) | undefined;
  /** Why the TLS handshake will fail, if that is known: clearer than what TLS reports. */
  mismatch: TlsFailure | undefined;
  certificate: PeerCertificate | undefined;
  /** The socket below TLS, which is closed directly while there is no TLS socket; without TLS the socket itself. */
  readonly #below: Socket;
  #socket: Socket | undefined;
  /** Resolves when opening has succeeded or failed. */
  #opening: Deferred<void> | undefined = deferred();
  /** Bytes that were taken from the socket but not read yet. */
  #rest: Uint8Array | null = null;
  #ended = false;
  #error: Error | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(below: Socket, peer: string) {
    this.peer = peer;
    this.#below = below;
  }

  /** Called when the socket is connected, its TLS handshake has succeeded and the peer is accepted. */
  open(socket: Socket, certificate?: PeerCertificate): void {
    if (this.#error !== undefined || this.#socket !== undefined) return void socket.destroy();
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

  /** Called when connecting or the TLS handshake has failed. Without effect once the socket is open. */
  fail(error: Error): void {
    if (this.#socket !== undefined || this.#error !== undefined) return;
    this.#lose(this.mismatch ?? error);
    this.#below.destroy();
  }

  /**
   * Waits until the socket is open.
   *
   * @throws {Error} If opening fails
   */
  async opened(): Promise<Socket> {
    await this.#opening?.promise;
    if (this.#socket === undefined || this.#error !== undefined) {
      throw this.#error ?? new Error("Connection closed");
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
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
  }

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    const socket = this.#socket ?? await this.opened();
    return await new Promise((resolve, reject) => {
      if (this.#error !== undefined) throw this.#error;
      const part = from.subarray(0, WRITE_BYTES);
      socket.write(part, (error) => error ? reject(this.#error ?? error) : resolve(part.length));
    });
  }

  async closeWrite(): Promise<void> {
    const socket = this.#socket ?? await this.opened();
    await new Promise<void>((resolve, reject) => {
      if (this.#error !== undefined) throw this.#error;
      socket.end((error?: Error | null) => error ? reject(error) : resolve());
    });
  }

  close(): void {
    this.#lose(new Error("Connection closed"));
    this.#socket?.destroy();
    this.#below.destroy();
  }

  #lose(error: Error): void {
    this.#error ??= error;
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

/** A native handle of Deno that a Node socket reads from. */
interface Handle {
  readStart(): number;
  readStop(): number;
}

/**
 * Makes a socket stop reading from the network while its buffer is full, so that the peer has to wait. In Deno 2.9 the stream
 * only pauses its TLS handle: the TCP handle below continues to read without limit, and an end that arrives meanwhile is lost.
 */
function stopReadingWhenFull(socket: Socket): void {
  const { _handle: tls } = socket as unknown as { _handle?: Handle & { _nativeTcpHandle?: Handle } };
  const tcp = tls?._nativeTcpHandle;
  if (tls === undefined || tcp === undefined) return;
  const decrypt = tls.readStart.bind(tls);
  tls.readStop = () => tcp.readStop();
  tls.readStart = () => tcp.readStart() || decrypt();
}
