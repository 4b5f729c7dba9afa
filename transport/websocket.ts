// A WebSocket as a Conn: binary messages as a stream of bytes whose borders mean nothing. Written against the standard
// API alone, so that clients run in browsers; servers hand in what Deno.upgradeWebSocket gave them.

import { isArrayBuffer } from "../call/realm.ts";
import { type HttpAddress, urlHost } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import { webSocketClass } from "./runtime.ts";

/** The longest message sent. */
const MESSAGE_BYTES = 65_536;
/** While more than this waits to leave, writes wait. */
const HIGH_WATER = 1_048_576;
/** How often a write that waits looks again, in ms: nothing tells when `bufferedAmount` falls. */
const LOOK_AGAIN = 2;
/** What a message that waits to be read costs beside its bytes. */
const MESSAGE_COST = 128;

/** Why a WebSocket is closed from here, besides 1000. */
const Status = { Fault: 1_002, Text: 1_003, Flood: 1_008 } as const;
/** Added to a status where the API leaves only those from 3000 on to programs, as it does in browsers. */
const PRIVATE = 3_000;

/** A message that waits to be read. */
interface Message {
  bytes: Uint8Array<ArrayBuffer>;
  next: Message | undefined;
}

/** A WebSocket as a Conn. */
export class WebSocketConn implements Conn {
  readonly peer: string;
  readonly #socket: WebSocket;
  readonly #maxHeld: number;
  /** What has arrived and is not read yet, oldest first. */
  #first: Message | undefined;
  #last: Message | undefined;
  /** What it costs. */
  #held = 0;
  /** Why nothing is read or written any more. */
  #lost: Error | undefined;
  /** Whether it was closed from here. */
  #ended = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /**
   * @param maxHeld Bytes that may wait to be read: nothing tells the other side of a WebSocket to wait, so with more
   * it is closed
   */
  constructor(socket: WebSocket, peer: string, maxHeld: number) {
    this.peer = peer;
    this.#socket = socket;
    this.#maxHeld = maxHeld;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => this.#wake());
    socket.addEventListener("message", ({ data }) => this.#onMessage(data));
    socket.addEventListener("error", (event) => this.#onError(event));
    socket.addEventListener("close", ({ code }) => {
      this.#lose(new Error(`The WebSocket was closed with status ${code}`));
    });
  }

  /**
   * Waits until it is open.
   *
   * @throws {Error} If it does not come to that
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
    // The peer may have said why before it closed: as over a socket, it is reading that finds the end.
    if (this.#lost !== undefined && this.#first === undefined) throw this.#lost;
    if (socket.readyState !== WebSocket.OPEN) return from.length;
    const count = Math.min(from.length, MESSAGE_BYTES);
    // It takes a copy before it returns.
    socket.send(from.subarray(0, count));
    return count;
  }

  /** Closes behind what has been written: a WebSocket has no half to close. */
  closeWrite(fault = false): Promise<void> {
    this.#end(fault ? Status.Fault : undefined);
    return Promise.resolve();
  }

  close(): void {
    this.#drop(new Error("Connection closed"));
    this.#end();
  }

  #onMessage(data: unknown): void {
    if (this.#lost !== undefined) return;
    if (!isArrayBuffer(data)) return this.#refuse(Status.Text, "expected binary messages");
    if (data.byteLength === 0) return;
    this.#held += data.byteLength + MESSAGE_COST;
    if (this.#held > this.#maxHeld) return this.#refuse(Status.Flood, "too many bytes wait to be read");
    const message: Message = { bytes: new Uint8Array(data), next: undefined };
    if (this.#last === undefined) this.#first = message;
    else this.#last.next = message;
    this.#last = message;
    this.#wake();
  }

  /** It cannot be opened, or is lost. Browsers do not say why. */
  #onError(event: Event): void {
    const message = "message" in event && event.message || "The WebSocket was lost or could not be opened";
    this.#lose(new Error(String(message)));
  }

  #refuse(status: number, reason: string): void {
    this.#drop(new Error(`The WebSocket was closed: ${reason}`));
    this.#end(status, reason);
  }

  /** Nothing more comes; what has arrived can still be read. */
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
    const socket = this.#socket;
    this.#ended = true;
    if (socket.readyState > WebSocket.OPEN) return;
    if (status === undefined) return socket.close();
    try {
      socket.close(status, reason);
    } catch {
      socket.close(status + PRIVATE, reason);
    }
  }

  /** Waits a little for what is written to leave. */
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

/**
 * Dials a WebSocket.
 *
 * @param maxHeld Bytes that may wait to be read
 * @param options What else the constructor takes, where it takes more than browsers' do
 * @throws {Error} If there is none, the runtime has no WebSockets, or the signal aborts
 */
export async function dialWebSocket(
  { transport, hostname, port, path }: HttpAddress,
  maxHeld: number,
  signal: AbortSignal,
  options?: WebSocketOptions,
): Promise<Conn> {
  const host = `${urlHost(hostname)}:${port}`;
  const url = `${transport}://${host}${path}`;
  const Socket = webSocketClass();
  const socket = options === undefined ? new Socket(url) : new Socket(url, options);
  const conn = new WebSocketConn(socket, `${transport}@${host}`, maxHeld);
  const stop = () => conn.close();
  signal.addEventListener("abort", stop);
  try {
    await conn.opened();
    return conn;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
