// The raw socket: the limit for any protocol over TCP. Frames with a length and a number; no codec, deadlines
// or errors. Requests that arrive together are answered in one write. This client has no promise per call;
// socket_promise.ts adds the interface that usual clients have.

import type { PeerClient } from "../peer.ts";
import type { Load } from "../workloads.ts";
import { byteItems } from "./items.mjs";

// A frame: length of the payload (u32), number of the call (u32), kind (u32), payload.
const HEAD = 12;
const Kind = { Sum: 1, Echo: 2, Stream: 3, Item: 4, End: 5, Received: 6 } as const;
const BUFFER = 65_536;

/** A buffer with its view. */
interface Space {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
}

function space(size: number): Space {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** Called for each frame in order of arrival; the buffer is valid until it returns. */
type TakeFrame = (kind: number, seq: number, from: Space, at: number, length: number) => void;

/** One connection. Frames are buffered and sent in one write after the previous write has completed. */
export class Wire {
  /** The buffer of outgoing frames; `frame()` reserves space in it. */
  out = space(BUFFER);
  readonly #conn: Deno.TcpConn;
  #spare = space(BUFFER);
  #length = 0;
  #writing = false;
  #drained: (() => void) | undefined;

  constructor(conn: Deno.TcpConn) {
    conn.setNoDelay(true);
    this.#conn = conn;
  }

  /** Number of buffered bytes. */
  get buffered(): number {
    return this.#length;
  }

  /** Starts a frame. Returns the offset of its payload in `out`. */
  frame(kind: number, seq: number, length: number): number {
    const at = this.#length;
    const needed = at + HEAD + length;
    if (needed > this.out.bytes.length) {
      const larger = space(Math.max(needed, this.out.bytes.length * 2));
      larger.bytes.set(this.out.bytes.subarray(0, at));
      this.out = larger;
    }
    const { view } = this.out;
    view.setUint32(at, length);
    view.setUint32(at + 4, seq);
    view.setUint32(at + 8, kind);
    this.#length = needed;
    return at + HEAD;
  }

  flush(): void {
    if (!this.#writing && this.#length > 0) this.#write();
  }

  /** Sends everything buffered, and resolves when it has been sent. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained = resolve;
      this.flush();
    });
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#length > 0) {
      const full = this.out;
      const length = this.#length;
      this.out = this.#spare;
      this.#spare = full;
      this.#length = 0;
      for (let sent = 0; sent < length;) sent += await this.#conn.write(full.bytes.subarray(sent, length));
    }
    this.#writing = false;
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  /** Reads until the other side ends the connection. */
  async read(take: TakeFrame): Promise<void> {
    let into = space(BUFFER);
    let begin = 0, end = 0;
    for (;;) {
      const count = await this.#conn.read(end === 0 ? into.bytes : into.bytes.subarray(end));
      if (count === null) return this.#conn.close();
      end += count;
      let needed = HEAD;
      while (end - begin >= HEAD) {
        const length = into.view.getUint32(begin);
        needed = HEAD + length;
        if (end - begin < needed) break;
        take(into.view.getUint32(begin + 8), into.view.getUint32(begin + 4), into, begin + HEAD, length);
        begin += needed;
        needed = HEAD;
      }
      this.flush();
      if (begin === end) {
        begin = end = 0;
      } else if (begin + Math.max(needed, BUFFER >> 1) > into.bytes.length) {
        const target = needed > into.bytes.length ? space(needed * 2) : into;
        target.bytes.set(into.bytes.subarray(begin, end));
        into = target;
        end -= begin;
        begin = 0;
      }
    }
  }
}

function answer(wire: Wire): TakeFrame {
  let received = 0;
  return (kind, seq, { bytes, view }, at, length) => {
    if (kind === Kind.Sum) {
      const to = wire.frame(kind, seq, 8);
      wire.out.view.setFloat64(to, view.getFloat64(at) + view.getFloat64(at + 8));
    } else if (kind === Kind.Echo) {
      const to = wire.frame(kind, seq, length);
      wire.out.bytes.set(bytes.subarray(at, at + length), to);
    } else if (kind === Kind.Item) {
      received++;
    } else if (kind === Kind.Received) {
      const to = wire.frame(kind, seq, 8);
      wire.out.view.setFloat64(to, received);
    } else {
      sendStream(wire, seq, view.getUint32(at), view.getUint32(at + 4));
    }
  };
}

async function sendStream(wire: Wire, seq: number, count: number, size: number): Promise<void> {
  const items = byteItems(size);
  for (let i = 0; i < count; i++) {
    const at = wire.frame(Kind.Item, seq, size);
    wire.out.bytes.set(items[i % items.length]!, at);
    if (wire.buffered > BUFFER - 2 * size) await wire.drained();
  }
  wire.frame(Kind.End, seq, 0);
  wire.flush();
}

export function serve({ host }: Load): Promise<number> {
  const listener = Deno.listen({ hostname: host, port: 0, tcpBacklog: 4_096 });
  (async () => {
    for await (const conn of listener) {
      const wire = new Wire(conn);
      wire.read(answer(wire));
    }
  })();
  return Promise.resolve(listener.addr.port);
}

/** Opens a connection; received frames are passed to `take`. */
export async function open(port: number, { host }: Load, take: TakeFrame): Promise<Wire> {
  const wire = new Wire(await Deno.connect({ hostname: host, port }));
  wire.read(take);
  return wire;
}

/** Writes the frame of a sum. */
export function writeSum(wire: Wire, seq: number, a: number, b: number): void {
  const at = wire.frame(Kind.Sum, seq, 16);
  wire.out.view.setFloat64(at, a);
  wire.out.view.setFloat64(at + 8, b);
}

/** Writes the frame of an echo. */
export function writeEcho(wire: Wire, seq: number, bytes: Uint8Array): void {
  const at = wire.frame(Kind.Echo, seq, bytes.length);
  wire.out.bytes.set(bytes, at);
}

/** A client whose responses all go to one function, which synchronously starts the next call. */
export async function connect(port: number, load: Load): Promise<PeerClient> {
  let take: TakeFrame = () => {};
  const wire = await open(port, load, (...frame) => take(...frame));
  const echo = (bytes: Uint8Array<ArrayBuffer>) =>
    new Promise<Uint8Array>((resolve) => {
      take = (_kind, _seq, from, at, length) => resolve(from.bytes.slice(at, at + length));
      writeEcho(wire, 0, bytes);
      wire.flush();
    });
  return {
    echo,
    sum: (a, b) =>
      new Promise<number>((resolve) => {
        take = (_kind, _seq, { view }, at) => resolve(view.getFloat64(at));
        writeSum(wire, 0, a, b);
        wire.flush();
      }),
    stream: (count, size, takeItem) =>
      new Promise<void>((resolve) => {
        take = (kind, _seq, { bytes }, at, length) => {
          if (kind === Kind.End) resolve();
          else takeItem(bytes[at]!, length);
        };
        const at = wire.frame(Kind.Stream, 0, 8);
        wire.out.view.setUint32(at, count);
        wire.out.view.setUint32(at + 4, size);
        wire.flush();
      }),
    upload: (size) => sendStream(wire, 0, Infinity, size),
    received: () =>
      new Promise<number>((resolve) => {
        take = (_kind, _seq, { view }, at) => resolve(view.getFloat64(at));
        wire.frame(Kind.Received, 0, 0);
        wire.flush();
      }),
    drive: (load, next) =>
      new Promise<void>((resolve) => {
        const calls = load.kind === "echo" ? drivenEchoes(wire, load) : drivenSums(wire, load);
        let remaining = load.outstanding;
        take = (_kind, slot, from, at, length) => {
          calls.check(slot, from, at, length);
          if (next(slot)) calls.send(slot);
          else if (--remaining === 0) resolve();
        };
        for (let slot = 0; slot < load.outstanding; slot++) calls.send(slot);
        wire.flush();
      }),
  };
}

interface Driven {
  send(slot: number): void;
  check(slot: number, from: Space, at: number, length: number): void;
}

function drivenSums(wire: Wire, { outstanding }: Load): Driven {
  const addends = Array.from({ length: outstanding }, (_, slot) => slot);
  return {
    send: (slot) => writeSum(wire, slot, addends[slot]!, 7),
    check(slot, { view }, at) {
      if (view.getFloat64(at) !== addends[slot]! + 7) throw new Error("Wrong response: a sum is wrong");
      addends[slot]! += outstanding;
    },
  };
}

function drivenEchoes(wire: Wire, { outstanding, bytes }: Load): Driven {
  const bodies = Array.from({ length: outstanding }, () => space(bytes));
  let sent = 0;
  return {
    send(slot) {
      const { bytes, view } = bodies[slot]!;
      view.setUint32(0, ++sent);
      view.setUint32(bytes.length - 4, sent);
      writeEcho(wire, slot, bytes);
    },
    check(slot, { view }, at, length) {
      const stamp = bodies[slot]!.view.getUint32(0);
      const right = length === bytes && view.getUint32(at) === stamp &&
        view.getUint32(at + length - 4) === stamp;
      if (!right) throw new Error("Wrong response: an echo differs from the request");
    },
  };
}
