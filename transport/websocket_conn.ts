// A WebSocket (RFC 6455) over another Conn, on either side: binary messages as a byte stream without message boundaries.
// Payload reaches the reader as it arrives, so the backpressure is that of the Conn below. In other runtimes than Deno,
// websocket.ts does the same with the platform's WebSocket.

import type { PeerCertificate } from "../call/handler.ts";
import type { Conn } from "./conn.ts";
import { lingerClose } from "./linger.ts";
import {
  closedWith,
  CloseStatus,
  headLength,
  mask,
  Opcode,
  readClose,
  WebSocketReader,
  writeHead,
} from "./websocket_frames.ts";

/** The longest message sent. */
const MESSAGE_BYTES = 65_536;
/** The size of the write buffer of a quiet connection. */
const SMALL = 1_024;
const EMPTY = new Uint8Array(0);

/** Options of a WebSocket. */
export interface WebSocketOptions {
  /** The address of the other side, such as `ws@127.0.0.1:50312`. */
  readonly peer: string;
  /** Whether this side is the client, which masks its frames. */
  readonly dialled: boolean;
  /** The longest message accepted, in bytes. */
  readonly maxMessageBytes: number;
  /** Bytes that were read after the HTTP head. */
  readonly prefix: Uint8Array<ArrayBuffer>;
}

/** A WebSocket as a Conn. */
export class WebSocketConn implements Conn {
  readonly peer: string;
  readonly certificate: PeerCertificate | undefined;
  readonly buffersUnread = true;

  readonly #conn: Conn;
  readonly #dialled: boolean;
  readonly #reader: WebSocketReader;
  #prefix: Uint8Array<ArrayBuffer>;
  #kept: Uint8Array<ArrayBuffer> = EMPTY;
  /** The frames being written, and where what has not left begins. */
  #out: Uint8Array<ArrayBuffer> = EMPTY;
  #outAt = 0;
  /** Where the payload of the data frame in it begins. */
  #payloadAt = 0;
  /** Whether data is being written. */
  #writing = false;
  /** The payload of the latest Ping that has not been answered. */
  #ping: Uint8Array<ArrayBuffer> | undefined;
  /** A control frame that is being written. */
  #controlling: Promise<void> | undefined;
  /** Whether a Close frame has been sent. */
  #ended = false;
  /** Why reading and writing fail. */
  #lost: Error | undefined;
  /** What a Close frame says in answer to the peer's, or to what it did wrong. */
  #answer: number = CloseStatus.Normal;

  /** Takes over a Conn after the HTTP handshake. */
  constructor(conn: Conn, { peer, dialled, maxMessageBytes, prefix }: WebSocketOptions) {
    this.peer = peer;
    this.certificate = conn.certificate;
    this.#conn = conn;
    this.#dialled = dialled;
    this.#prefix = prefix;
    this.#reader = new WebSocketReader(!dialled, maxMessageBytes, (opcode, payload) => {
      if (opcode === Opcode.Close) this.#onClose(payload);
      else if (opcode === Opcode.Ping) this.#ping = payload;
    });
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    for (;;) {
      if (this.#lost !== undefined) return await this.#finish(this.#lost);
      const count = await this.#fill(into);
      if (count === null) this.#lost ??= closedWith(CloseStatus.Abnormal);
      else {
        const length = this.#take(into, count);
        if (this.#ping !== undefined) this.#pong();
        if (length > 0) return length;
      }
    }
  }

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    while (this.#controlling !== undefined) await this.#controlling;
    if (this.#ended || this.#lost !== undefined) {
      throw this.#lost ?? new Error("Cannot write: this side has ended");
    }
    if (this.#outAt === this.#out.length) this.#frame(from.subarray(0, MESSAGE_BYTES));
    this.#writing = true;
    try {
      for (;;) {
        const before = Math.max(this.#outAt, this.#payloadAt);
        this.#outAt += await this.#conn.write(this.#out.subarray(this.#outAt));
        if (this.#outAt > before) return this.#outAt - before;
      }
    } finally {
      this.#writing = false;
      if (this.#outAt === this.#out.length) {
        this.#out = EMPTY;
        this.#outAt = 0;
        if (this.#ping !== undefined) this.#pong();
      }
    }
  }

  /** Sends a Close frame after what has been written: a WebSocket has no half to close. */
  closeWrite(fault = false): Promise<void> {
    return this.#sendClose(fault ? CloseStatus.ProtocolError : CloseStatus.Normal);
  }

  close(): void {
    this.#lost ??= new Error("Connection closed");
    this.#conn.close();
  }

  async #fill(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const prefix = this.#prefix;
    if (prefix.length === 0) return await this.#conn.read(into);
    const count = Math.min(prefix.length, into.length);
    into.set(prefix.subarray(0, count));
    this.#prefix = count === prefix.length ? EMPTY : prefix.subarray(count);
    return count;
  }

  #take(bytes: Uint8Array<ArrayBuffer>, count: number): number {
    const length = this.#reader.take(bytes, count);
    const { fault } = this.#reader;
    if (fault !== undefined) {
      this.#lost = fault;
      this.#answer = fault.status;
    }
    return length;
  }

  /**
   * Nothing more is read: answers the peer's Close frame, or tells the peer what it did wrong.
   *
   * @returns null if this side has ended before, and then the peer
   * @throws {Error} Why it has ended, in all other cases
   */
  async #finish(lost: Error): Promise<null> {
    const ended = this.#ended;
    const { fault } = this.#reader;
    await this.#sendClose(this.#answer, fault?.message).catch(() => {});
    // Closing over unread input would reset the connection, and the peer would not learn why.
    if (fault !== undefined) await lingerClose(this.#conn);
    else if (ended) return null;
    throw lost;
  }

  #onClose(payload: Uint8Array): void {
    const { status, reason } = readClose(payload);
    if (status !== CloseStatus.None) this.#answer = status;
    this.#lost = closedWith(status, reason);
  }

  /** Makes a frame of what is to be written, after the answer to a Ping. */
  #frame(payload: Uint8Array<ArrayBuffer>): void {
    const ping = this.#takePing();
    const pongLength = ping === undefined ? 0 : headLength(ping.length, this.#dialled) + ping.length;
    const length = pongLength + headLength(payload.length, this.#dialled) + payload.length;
    // Whole words are masked faster where they are aligned.
    const pad = -(length - payload.length) & 3;
    const buffer = this.#room(length + pad);
    if (ping !== undefined) this.#append(buffer, pad, Opcode.Pong, ping);
    this.#payloadAt = this.#append(buffer, pad + pongLength, Opcode.Binary, payload);
    this.#out = buffer.subarray(0, pad + length);
    this.#outAt = pad;
  }

  /** The buffer that is kept, or one that fits better: a large one goes with the next short message. */
  #room(length: number): Uint8Array<ArrayBuffer> {
    const size = Math.max(SMALL, 2 ** Math.ceil(Math.log2(length)));
    const { length: kept } = this.#kept;
    if (kept < size || kept > size && size === SMALL) this.#kept = new Uint8Array(size);
    return this.#kept;
  }

  /** Writes a frame into a buffer. Returns where its payload begins. */
  #append(
    buffer: Uint8Array<ArrayBuffer>,
    at: number,
    opcode: number,
    payload: Uint8Array<ArrayBuffer>,
  ): number {
    const key = this.#dialled ? crypto.getRandomValues(new Uint8Array(4)) : undefined;
    const begin = writeHead(buffer, at, opcode, payload.length, key);
    buffer.set(payload, begin);
    if (key !== undefined) mask(buffer, begin, begin + payload.length, key, 0, 0);
    return begin;
  }

  #takePing(): Uint8Array<ArrayBuffer> | undefined {
    const ping = this.#ping;
    this.#ping = undefined;
    return ping;
  }

  /** Answers the latest Ping, now or after what is being written. */
  #pong(): void {
    if (this.#writing || this.#controlling !== undefined || this.#outAt < this.#out.length) return;
    const ping = this.#takePing()!;
    if (!this.#ended) this.#control(Opcode.Pong, ping).catch(() => {});
  }

  async #sendClose(status: number, reason = ""): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    while (this.#controlling !== undefined) await this.#controlling;
    if (this.#writing || this.#outAt < this.#out.length) throw new Error("A message is being written");
    const text = new TextEncoder().encode(reason);
    const payload = new Uint8Array(2 + text.length);
    payload.set([status >> 8, status & 255]);
    payload.set(text, 2);
    await this.#control(Opcode.Close, payload);
  }

  /** Writes a control frame. */
  #control(opcode: number, payload: Uint8Array<ArrayBuffer>): Promise<void> {
    const frame = new Uint8Array(headLength(payload.length, this.#dialled) + payload.length);
    this.#append(frame, 0, opcode, payload);
    const written = (async () => {
      for (let at = 0; at < frame.length;) at += await this.#conn.write(frame.subarray(at));
    })();
    this.#controlling = written.catch(() => {}).then(() => {
      this.#controlling = undefined;
      if (this.#ping !== undefined) this.#pong();
    });
    return written;
  }
}
