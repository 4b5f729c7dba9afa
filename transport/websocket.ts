// The platform's WebSocket as a Conn: binary messages as a byte stream without message boundaries. Uses only the standard API,
// so that clients run in browsers; servers pass in the socket from Deno.upgradeWebSocket. Where there are sockets,
// websocket_conn.ts implements the protocol itself.

import { deferred } from "../call/deferred.ts";
import { isArrayBuffer } from "../call/cross_realm.ts";
import { type HttpAddress, urlHost } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import { webSocketClass } from "./runtime.ts";
import { closedWith, CloseStatus, WebSocketFault } from "./websocket_frames.ts";

/** The longest message sent. */
const MESSAGE_BYTES = 65_536;
/** Writes wait while more than this is buffered by the platform. */
const HIGH_WATER = 1_048_576;
/** How often a waiting write checks `bufferedAmount`, in ms: there is no event when it falls. */
const LOOK_AGAIN = 2;
/** The cost in memory of an unread message, in addition to its bytes. */
const MESSAGE_COST = 128;

/** Added to a status where programs may only use those from 3000 on, as in browsers. */
const PRIVATE = 3_000;

/** An unread message. */
interface Message {
  bytes: Uint8Array<ArrayBuffer>;
  next: Message | undefined;
}

/** A WebSocket of the platform as a Conn. */
export class PlatformWebSocketConn implements Conn {
  readonly peer: string;
  readonly buffersUnread = true;
  readonly gone: Promise<void>;
  readonly #socket: WebSocket;
  readonly #onGone: () => void;
  readonly #maxHeld: number;
  /** Unread messages, oldest first. */
  #first: Message | undefined;
  #last: Message | undefined;
  /** Their cost in memory. */
  #held = 0;
  /** Why reading and writing fail. */
  #lost: Error | undefined;
  /** Whether this side has closed it. */
  #ended = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /**
   * @param maxHeld Maximum of unread bytes. A WebSocket has no backpressure, so it is closed beyond that
   */
  constructor(socket: WebSocket, peer: string, maxHeld: number) {
    this.peer = peer;
    this.#socket = socket;
    this.#maxHeld = maxHeld;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => this.#wake());
    socket.addEventListener("message", ({ data }) => this.#onMessage(data));
    socket.addEventListener("error", (event) => this.#onError(event));
    const gone = deferred<void>();
    this.gone = gone.promise;
    this.#onGone = gone.resolve;
    socket.addEventListener("close", ({ code, reason }) => {
      gone.resolve();
      this.#lose(closedWith(code, reason));
    });
  }

  /**
   * Waits until it is open.
   *
   * @throws {Error} If it cannot be opened
   */
  async opened(): Promise<void> {
    while (this.#lost === undefined && this.#socket.readyState === WebSocket.CONNECTING) {
      await new Promise<void>((resolve) => this.#wakeWriter = resolve);
    }
    if (this.#lost !== undefined) throw this.#lost;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (this.#first === undefined) {
      if (this.#lost !== undefined) throw this.#lost;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
    const message = this.#first;
    const count = Math.min(message.bytes.length, into.length);
    into.set(message.bytes.subarray(0, count));
    message.bytes = message.bytes.subarray(count);
    this.#held -= count;
    if (message.bytes.length === 0) {
      this.#held -= MESSAGE_COST;
      this.#first = message.next;
      if (message.next === undefined) this.#last = undefined;
    }
    return count;
  }

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    const socket = this.#socket;
    if (socket.readyState === WebSocket.CONNECTING) await this.opened();
    while (this.#lost === undefined && socket.bufferedAmount > HIGH_WATER) await this.#room();
    if (this.#ended) throw this.#lost ?? new Error("Cannot write: this side has ended");
    // The peer may have sent a reason before it closed: like a socket, only reading reports the end.
    if (this.#lost !== undefined && this.#first === undefined) throw this.#lost;
    if (socket.readyState !== WebSocket.OPEN) {
      // A runtime may close it without an event, as Workers do after the request that created it.
      if (socket.readyState === WebSocket.CLOSED) this.#lose(closedWith(CloseStatus.Abnormal));
      return from.length;
    }
    const count = Math.min(from.length, MESSAGE_BYTES);
    try {
      // It takes a copy before it returns.
      socket.send(from.subarray(0, count));
    } catch (error) {
      this.#lose(unusable(error));
      throw this.#lost;
    }
    return count;
  }

  /** Closes after the written data: a WebSocket cannot be half-closed. */
  closeWrite(fault = false): Promise<void> {
    this.#end(fault ? CloseStatus.ProtocolError : undefined);
    return Promise.resolve();
  }

  close(): void {
    this.#drop(new Error("Connection closed"));
    this.#end();
  }

  #onMessage(data: unknown): void {
    if (this.#lost !== undefined) return;
    if (!isArrayBuffer(data)) return this.#refuse(CloseStatus.Unsupported, "expected binary messages");
    if (data.byteLength === 0) return;
    this.#held += data.byteLength + MESSAGE_COST;
    if (this.#held > this.#maxHeld) {
      return this.#refuse(CloseStatus.PolicyViolation, "too many bytes wait to be read");
    }
    const message: Message = { bytes: new Uint8Array(data), next: undefined };
    if (this.#last === undefined) this.#first = message;
    else this.#last.next = message;
    this.#last = message;
    this.#wake();
  }

  /** It could not be opened, or is lost. Browsers do not report why. */
  #onError(event: Event): void {
    const message = "message" in event && event.message || "The WebSocket was lost or could not be opened";
    this.#lose(new Error(String(message)));
  }

  #refuse(status: number, reason: string): void {
    this.#drop(new WebSocketFault(status, `The WebSocket was closed: ${reason}`));
    this.#end(status, reason);
  }

  /** No more data arrives; unread messages can still be read. */
  #lose(error: Error): void {
    this.#lost ??= error;
    this.#wake();
  }

  #drop(error: Error): void {
    this.#first = this.#last = undefined;
    this.#held = 0;
    this.#lose(error);
  }

  #end(status?: number, reason?: string): void {
    this.#ended = true;
    // In Deno 2.9 a socket that never opened, because its client had left, has no further event.
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#onGone();
    if (this.#socket.readyState > WebSocket.OPEN || this.#tryClose(status, reason)) return;
    if (status !== undefined) this.#tryClose(status + PRIVATE, reason);
  }

  /** Closes the socket. Returns whether it succeeded: the status may be invalid here, or the socket unusable. */
  #tryClose(status?: number, reason?: string): boolean {
    try {
      this.#socket.close(status, reason);
      return true;
    } catch {
      return false;
    }
  }

  /** Waits a little for buffered data to be sent. */
  async #room(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wakeWriter = resolve;
      timer = setTimeout(resolve, LOOK_AGAIN);
    });
    clearTimeout(timer);
  }

  #wake(): void {
    const reader = this.#wakeReader, writer = this.#wakeWriter;
    this.#wakeReader = this.#wakeWriter = undefined;
    reader?.();
    writer?.();
  }
}

/** The error of a socket that cannot send. */
function unusable(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const advice = message.includes("different request")
    ? "; a Worker needs a client for each request, or a Durable Object that holds one"
    : "";
  return new Error(message + advice, { cause: error });
}

/**
 * Dials a WebSocket of the platform.
 *
 * @param maxHeld Maximum of unread bytes
 * @throws {Error} If no connection can be made, the runtime has no WebSockets, or the signal aborts
 */
export async function dialWebSocket(
  { transport, hostname, port, path }: HttpAddress,
  maxHeld: number,
  signal: AbortSignal,
): Promise<Conn> {
  const host = `${urlHost(hostname)}:${port}`;
  const url = `${transport}://${host}${path}`;
  const Socket = webSocketClass();
  const conn = new PlatformWebSocketConn(new Socket(url), `${transport}@${host}`, maxHeld);
  const stop = () => conn.close();
  signal.addEventListener("abort", stop);
  try {
    await conn.opened();
    return conn;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
