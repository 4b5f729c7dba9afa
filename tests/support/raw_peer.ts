// A peer by hand, for tests of what really is on the wire: sends any bytes, cuts frames and reads headers with a
// decoder of its own that shares nothing with the library's. Works over every Conn and over TCP.

import net from "node:net";
import { Buffer } from "node:buffer";
import type { Conn } from "../../transport/conn.ts";
import { soon } from "./waiting.ts";

/** The option line of a client that is content with every default. */
export const OPTION = '{"magicNumber":3927900}\n';
/** The answer of a server that agrees to it, with the protocol's defaults. */
export const ANSWER =
  '{"magicNumber":3927900,"version":1,"codecType":"application/cbor","handleTimeout":0,"maxFrameBytes":4194304,' +
  '"maxInFlight":1024,"heartbeatInterval":30000}\n';

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });

/** What small items of CBOR read as. */
export type Item = undefined | null | boolean | number | string | Uint8Array | Item[] | Map<Item, Item>;

/** A frame as it came: the header's elements and the bytes after them. */
export interface Frame {
  readonly kind: number;
  readonly seq: number;
  readonly header: Item[];
  readonly body: Uint8Array;
}

/** The bytes that `parts` are together; text as UTF-8, numbers as single bytes. */
export function bytes(...parts: (Uint8Array | string | number)[]): Uint8Array<ArrayBuffer> {
  const all = parts.map((part) =>
    typeof part === "number" ? [part] : typeof part === "string" ? utf8.encode(part) : part
  );
  const whole = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of all) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The head of a CBOR item: its major type and its number, in the shortest form. */
function head(major: number, n: number): Uint8Array {
  const size = n < 24 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000 ? 4 : 8;
  const out = new Uint8Array(1 + size);
  out[0] = major << 5 | (size === 0 ? n : 23 + Math.log2(size * 2));
  for (let i = size; i > 0; i--, n = Math.floor(n / 256)) out[i] = n % 256;
  return out;
}

/** A CBOR item. */
export function cbor(item: Item): Uint8Array<ArrayBuffer> {
  if (item === undefined) return bytes(0xf7);
  if (item === null) return bytes(0xf6);
  if (typeof item === "boolean") return bytes(item ? 0xf5 : 0xf4);
  if (typeof item === "number") return bytes(item < 0 ? head(1, -1 - item) : head(0, item));
  if (typeof item === "string") return bytes(head(3, utf8.encode(item).length), item);
  if (item instanceof Uint8Array) return bytes(head(2, item.length), item);
  if (item instanceof Map) {
    return bytes(head(5, item.size), ...[...item].flat(1).map((each) => cbor(each as Item)));
  }
  return bytes(head(4, item.length), ...item.map(cbor));
}

/** The CBOR item that begins at `data[at]`, and where it ends. Nothing but what headers and small bodies need. */
export function uncbor(data: Uint8Array, at = 0): [Item, number] {
  const first = data[at++];
  if (first === undefined) throw new Error("The item ends too early");
  const major = first >> 5;
  const info = first & 31;
  let n = info;
  if (info > 23) {
    if (info > 27) throw new Error(`No item begins with ${first}`);
    n = 0;
    for (const end = at + (1 << info - 24); at < end; at++) n = n * 256 + data[at]!;
  }
  if (major === 0) return [n, at];
  if (major === 1) return [-1 - n, at];
  if (major === 2 || major === 3) {
    if (at + n > data.length) throw new Error("The item ends too early");
    const part = data.slice(at, at + n);
    return [major === 2 ? part : strict.decode(part), at + n];
  }
  if (major === 4 || major === 5) {
    const items: Item[] = [];
    for (let left = n * (major - 3); left > 0; left--) {
      const [item, end] = uncbor(data, at);
      items.push(item);
      at = end;
    }
    if (major === 4) return [items, at];
    return [new Map(items.flatMap((key, i) => i % 2 === 0 ? [[key, items[i + 1]]] : [])), at];
  }
  if (info >= 20 && info < 24) return [[false, true, null, undefined][info - 20], at];
  if (info === 27) return [new DataView(data.buffer, data.byteOffset + at - 8).getFloat64(0), at];
  throw new Error(`Not an item that this decoder reads: ${first}`);
}

/** The value that a frame's body is. */
export function bodyOf(frame: Frame): Item {
  if (frame.body.length === 0) return undefined;
  const [item, end] = uncbor(frame.body);
  if (end !== frame.body.length) throw new Error("Bytes follow the body");
  return item;
}

/** A frame around a header and a body. */
export function frame(header: Item[], body: Uint8Array = new Uint8Array(0)): Uint8Array<ArrayBuffer> {
  return framed(bytes(cbor(header), body));
}

/** A frame around anything. */
export function framed(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const n = content.length;
  return bytes(0x5a, n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255, content);
}

/** One end of a connection, driven by a test. */
export class RawPeer implements Disposable {
  readonly conn: Conn;
  /** What has arrived and is not taken yet. */
  #held = new Uint8Array(0);
  #ended = false;

  constructor(conn: Conn) {
    this.conn = conn;
  }

  /** Connects over TCP. */
  static async dial(port: number): Promise<RawPeer> {
    return RawPeer.of(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** Takes over a socket. */
  static of(socket: Deno.TcpConn): RawPeer {
    socket.setNoDelay(true);
    return RawPeer.over(socket);
  }

  /** Takes over a socket of any kind. */
  static over(socket: Deno.Conn): RawPeer {
    let closed = false;
    return new RawPeer({
      peer: "raw",
      read: (into) => socket.read(into),
      write: (from) => socket.write(from),
      closeWrite: () => socket.closeWrite(),
      close: () => {
        if (!closed) socket.close();
        closed = true;
      },
    });
  }

  /** Sends all of `parts` in one write, or in as few as the connection takes. */
  async send(...parts: (Uint8Array | string)[]): Promise<void> {
    let rest = bytes(...parts);
    while (rest.length > 0) rest = rest.subarray(await soon(this.conn.write(rest), "room to write"));
  }

  /** Sends `whole` in pieces that end at `cuts`, each in a write of its own and a turn of its own. */
  async sendCut(whole: Uint8Array, cuts: Iterable<number>): Promise<void> {
    let from = 0;
    for (const to of [...cuts, whole.length]) {
      await this.send(whole.slice(from, to));
      from = to;
    }
  }

  /** The next line without its LF; null at the end. */
  async line(): Promise<string | null> {
    for (;;) {
      const at = this.#held.indexOf(10);
      if (at >= 0) return strict.decode(this.take(at + 1).subarray(0, at));
      if (!await this.#more()) {
        if (this.#held.length > 0) throw new Error(`The end came inside a line: ${this.#held}`);
        return null;
      }
    }
  }

  /** The next frame; null at the end. */
  async frame(): Promise<Frame | null> {
    while (this.#held.length < 5) {
      if (await this.#more()) continue;
      if (this.#held.length > 0) throw new Error(`The end came inside a frame's head: ${this.#held}`);
      return null;
    }
    const [mark, a, b, c, d] = this.#held as unknown as [number, number, number, number, number];
    if (mark !== 0x5a) throw new Error(`A frame begins with ${this.#held.subarray(0, 16)}`);
    const length = (a << 24 | b << 16 | c << 8 | d) >>> 0;
    while (this.#held.length < 5 + length) {
      if (!await this.#more()) throw new Error("The end came inside a frame");
    }
    const content = this.take(5 + length).subarray(5);
    const [header, end] = uncbor(content);
    if (!Array.isArray(header)) throw new Error("A header is no array");
    return { kind: header[0] as number, seq: header[1] as number, header, body: content.subarray(end) };
  }

  /** The next `count` frames. */
  async frames(count: number): Promise<Frame[]> {
    const frames: Frame[] = [];
    while (frames.length < count) {
      const next = await this.frame();
      if (next === null) throw new Error(`The end came after ${frames.length} frames of ${count}`);
      frames.push(next);
    }
    return frames;
  }

  /** All frames up to the end. */
  async rest(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let next; (next = await this.frame()) !== null;) frames.push(next);
    return frames;
  }

  /** Everything up to the end as text, one character a byte. */
  async text(): Promise<string> {
    while (await this.#more());
    return new TextDecoder("latin1").decode(this.take(this.#held.length));
  }

  /** Waits for the peer's end, throwing away what comes; a reset counts too. */
  async gone(): Promise<void> {
    try {
      while (await this.#more()) this.#held = new Uint8Array(0);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith("Waited")) throw error;
    }
  }

  /** Takes `count` bytes of what has arrived. */
  take(count: number): Uint8Array<ArrayBuffer> {
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return taken;
  }

  /** How many bytes have arrived and are not taken. */
  get held(): number {
    return this.#held.length;
  }

  /** Ends this side: no more is sent. */
  end(): Promise<void> {
    return this.conn.closeWrite();
  }

  close(): void {
    this.conn.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #more(): Promise<boolean> {
    if (this.#ended) return false;
    const chunk = new Uint8Array(262_144);
    const count = await soon(this.conn.read(chunk), "bytes");
    if (count === null) this.#ended = true;
    else this.#held = bytes(this.#held, chunk.subarray(0, count));
    return !this.#ended;
  }
}

/** Connects, sends `data`, and resets the connection as soon as it has left. */
export async function dialAndReset(port: number, data: Uint8Array): Promise<void> {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
  if (data.length > 0) await new Promise<void>((resolve) => socket.write(Buffer.from(data), () => resolve()));
  socket.resetAndDestroy();
  await soon(closed, "the reset");
}
