// One direction of a simulated connection: written, in-flight and received data. It behaves like a socket: partial writes,
// backpressure, an end after all data, a reset that overtakes data.

import type { Path, PathListener } from "./path.ts";
import { Queue } from "./queue.ts";

/** Data, an end or a reset in flight. */
interface Piece {
  /** When it arrives, on the clock of `performance.now()`. */
  readonly at: number;
  /** Bytes; an Error, which resets the connection; or undefined, which ends it. */
  readonly what: Uint8Array<ArrayBuffer> | Error | undefined;
}

/** The reading end of a flow. */
export interface FlowReader {
  /** Called when the other side has reset the connection. */
  onReset(error: Error): void;
  /** Called when data arrived after reading was stopped. */
  onUnwanted(): void;
}

/** One direction, with the writer at one end and the reader at the other. */
export class Flow implements PathListener {
  /** Set when the reading end is created. */
  reader: FlowReader | undefined;

  readonly #path: Path;
  readonly #name: string;
  /** Data in flight, in order. */
  readonly #pieces = new Queue<Piece>();
  /** Received data that was not read yet. */
  readonly #arrived = new Queue<Uint8Array<ArrayBuffer>>();
  /** Total bytes of both. */
  #buffered = 0;
  /** When the next data can be sent, and the earliest time that it can arrive. */
  #freeAt = 0;
  #lastAt = 0;
  #ended = false;
  #endArrived = false;
  /** Whether everything is lost from now on. */
  #lost = false;
  #readError: Error | undefined;
  #writeError: Error | undefined;
  #readable: PromiseWithResolvers<void> | undefined;
  #writable: PromiseWithResolvers<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param name The name of the connection, for the trace */
  constructor(path: Path, name: string) {
    this.#path = path;
    this.#name = `${name} ${path.from} → ${path.to}`;
    path.listeners.add(this);
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (this.#readError === undefined && this.#arrived.length === 0 && !this.#endArrived) {
      await (this.#readable ??= Promise.withResolvers<void>()).promise;
    }
    if (this.#readError !== undefined) throw this.#readError;
    const first = this.#arrived.first;
    if (first === undefined) return null;
    const count = Math.min(first.length, into.length);
    into.set(first.subarray(0, count));
    if (count === first.length) this.#arrived.shift();
    else this.#arrived.replace(first.subarray(count));
    this.#buffered -= count;
    this.#wakeWriter();
    return count;
  }

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    while (this.#writeError === undefined && this.#buffered >= this.#path.window) {
      await (this.#writable ??= Promise.withResolvers<void>()).promise;
    }
    if (this.#writeError !== undefined) throw this.#writeError;
    if (this.#ended) throw new Error("Cannot write: this side of the connection has ended");
    const count = Math.min(from.length, this.#path.window - this.#buffered, this.#path.drawChunk());
    this.#buffered += count;
    this.#send(from.slice(0, count));
    return count;
  }

  /** Ends the direction after all written data. */
  end(): void {
    if (this.#ended || this.#writeError !== undefined) return;
    this.#ended = true;
    this.#send(undefined);
  }

  /** Resets the connection; data in flight is lost. */
  reset(error: Error): void {
    if (this.#lost) return;
    this.#pieces.clear();
    this.#lastAt = this.#freeAt = 0;
    this.#stop();
    this.#send(error);
  }

  /** Fails reads: the reading end is closed or lost. */
  failRead(error: Error): void {
    if (this.#readError !== undefined) return;
    this.#readError = error;
    for (let first = this.#arrived.shift(); first !== undefined; first = this.#arrived.shift()) {
      this.#buffered -= first.length;
    }
    this.#wakeReader();
    this.#wakeWriter();
  }

  /** Fails writes: the writing end is closed or lost. Data that was written still arrives. */
  failWrite(error: Error): void {
    this.#writeError ??= error;
    this.#wakeWriter();
  }

  /** Silently drops everything from now on. */
  lose(): void {
    this.#lost = true;
    this.#stop();
  }

  /** Releases the flow: both ends are closed. */
  forget(): void {
    this.#path.listeners.delete(this);
    this.lose();
  }

  /** Whether received data was not read yet. */
  get unread(): boolean {
    return this.#arrived.length > 0;
  }

  onOpened(): void {
    this.#deliver();
  }

  #send(what: Piece["what"]): void {
    const path = this.#path;
    const now = performance.now();
    const bytes = what instanceof Uint8Array ? what.length : 0;
    this.#freeAt = Math.max(this.#freeAt, now) + bytes * 1_000 / path.bandwidth;
    const at = this.#lastAt = Math.max(this.#lastAt, this.#freeAt + path.drawDelay());
    this.#pieces.push({ at, what });
    const text = what instanceof Error ? "reset" : what === undefined ? "end" : `${bytes} bytes`;
    path.trace.add(`${this.#name}: ${text}${this.#fate(at - now)}`);
    if (this.#timer === undefined) this.#deliver();
  }

  /** The outcome of a send, for the trace. */
  #fate(delay: number): string {
    if (this.#lost) return ", lost";
    if (this.#path.stalled) return ", held";
    return delay > 0 ? `, in ${Math.ceil(delay)} ms` : "";
  }

  /** Delivers what is due, and schedules the next delivery. */
  #deliver(): void {
    this.#stop();
    while (this.#pieces.length > 0 && !this.#lost && !this.#path.stalled) {
      const { at, what } = this.#pieces.first!;
      const wait = Math.ceil(at - performance.now());
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#deliver(), wait);
        return;
      }
      this.#pieces.shift();
      this.#arrive(what);
    }
  }

  #arrive(what: Piece["what"]): void {
    if (what instanceof Error) {
      this.reader?.onReset(what);
    } else if (what === undefined) {
      this.#endArrived = true;
      this.#wakeReader();
    } else if (this.#readError !== undefined) {
      this.#buffered -= what.length;
      this.#wakeWriter();
      this.reader?.onUnwanted();
    } else {
      this.#arrived.push(what);
      this.#wakeReader();
    }
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wakeReader(): void {
    this.#readable?.resolve();
    this.#readable = undefined;
  }

  #wakeWriter(): void {
    this.#writable?.resolve();
    this.#writable = undefined;
  }
}
