// Conns without a network: two ends in one process, with the same manners as sockets (short writes, back-pressure,
// half-close, loss). Tests run every session over these and over TCP.

import type { Conn } from "./conn.ts";

/** One direction: bytes that wait between the writer of one end and the reader of the other. */
class Pipe {
  readonly #waiting: Uint8Array<ArrayBuffer>[] = [];
  readonly #capacity: number;
  #held = 0;
  #ended = false;
  #error: Error | undefined;
  #readable: PromiseWithResolvers<void> | undefined;
  #writable: PromiseWithResolvers<void> | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (this.#error === undefined && this.#held === 0 && !this.#ended) {
      await (this.#readable ??= Promise.withResolvers<void>()).promise;
    }
    if (this.#error !== undefined) throw this.#error;
    if (this.#held === 0) return null;
    const first = this.#waiting[0]!;
    const count = Math.min(first.length, into.length);
    into.set(first.subarray(0, count));
    if (count === first.length) this.#waiting.shift();
    else this.#waiting[0] = first.subarray(count);
    this.#held -= count;
    this.#wake();
    return count;
  }

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    while (this.#error === undefined && this.#held >= this.#capacity) {
      await (this.#writable ??= Promise.withResolvers<void>()).promise;
    }
    if (this.#error !== undefined) throw this.#error;
    if (this.#ended) throw new Error("Cannot write: this side has ended");
    const count = Math.min(from.length, this.#capacity - this.#held);
    this.#waiting.push(from.slice(0, count));
    this.#held += count;
    this.#wake();
    return count;
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake();
  }

  get unread(): boolean {
    return this.#held > 0;
  }

  #wake(): void {
    const readable = this.#readable, writable = this.#writable;
    this.#readable = this.#writable = undefined;
    readable?.resolve();
    writable?.resolve();
  }
}

class MemoryConn implements Conn {
  readonly peer: string;
  readonly #in: Pipe;
  readonly #out: Pipe;
  #closed = false;

  constructor(peer: string, incoming: Pipe, outgoing: Pipe) {
    this.peer = peer;
    this.#in = incoming;
    this.#out = outgoing;
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    return this.#in.read(into);
  }

  write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#out.write(from);
  }

  closeWrite(): Promise<void> {
    this.#out.end();
    return Promise.resolve();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // As the kernel does: closing over unread input resets, and the peer loses what it had not read yet.
    if (this.#in.unread) this.#out.fail(new Error("Connection reset by peer"));
    else this.#out.end();
    this.#in.fail(new Error("Connection closed"));
  }
}

/**
 * Makes two ends of one connection.
 *
 * @param capacity Bytes that wait in one direction before its writer waits
 */
export function memoryPair(capacity = 65_536): [Conn, Conn] {
  const there = new Pipe(capacity);
  const back = new Pipe(capacity);
  return [new MemoryConn("memory@b", back, there), new MemoryConn("memory@a", there, back)];
}
