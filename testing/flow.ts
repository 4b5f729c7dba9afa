// One direction of one simulated connection: what is written, what of it is under way, what has arrived. It behaves as
// a socket does: writes that take a part, back-pressure, an end in its order, a reset that overtakes.

import type { Path, Traveller } from "./path.ts";
import { Queue } from "./queue.ts";

/** Something under way. */
interface Piece {
  /** When it arrives, on the clock of `performance.now()`. */
  readonly at: number;
  /** Bytes; an Error that resets the connection; or undefined, which is the end. */
  readonly what: Uint8Array<ArrayBuffer> | Error | undefined;
}

/** Whoever reads a flow. */
export interface FlowReader {
  /** The other side has reset the connection. */
  onReset(error: Error): void;
  /** Something arrived that nobody reads any more. */
  onUnwanted(): void;
}

/** One direction: the writer at one end, the reader at the other. */
export class Flow implements Traveller {
  /** Set by the reader's end as soon as there is one. */
  reader: FlowReader | undefined;

  readonly #path: Path;
  readonly #name: string;
  /** What is under way, in order. */
  readonly #pieces = new Queue<Piece>();
  /** What has arrived and is not read. */
  readonly #arrived = new Queue<Uint8Array<ArrayBuffer>>();
  /** Bytes of both. */
  #held = 0;
  /** When what is sent next may set out, and the earliest that it may arrive. */
  #freeAt = 0;
  #lastAt = 0;
  #ended = false;
  #endArrived = false;
  /** Whether nothing gets through for good. */
  #lost = false;
  #readError: Error | undefined;
  #writeError: Error | undefined;
  #readable: PromiseWithResolvers<void> | undefined;
  #writable: PromiseWithResolvers<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param name Of the connection, for the trace */
  constructor(path: Path, name: string) {
    this.#path = path;
    this.#name = `${name} ${path.from} → ${path.to}`;
    path.travellers.add(this);
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
    this.#held -= count;
    this.#wakeWriter();
    return count;
  }

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    while (this.#writeError === undefined && this.#held >= this.#path.window) {
      await (this.#writable ??= Promise.withResolvers<void>()).promise;
    }
    if (this.#writeError !== undefined) throw this.#writeError;
    if (this.#ended) throw new Error("Cannot write: this side has ended");
    const count = Math.min(from.length, this.#path.window - this.#held, this.#path.drawChunk());
    this.#held += count;
    this.#send(from.slice(0, count));
    return count;
  }

  /** Ends the writer's side, behind what it has written. */
  end(): void {
    if (this.#ended || this.#writeError !== undefined) return;
    this.#ended = true;
    this.#send(undefined);
  }

  /** Resets the connection: what is under way is lost. */
  reset(error: Error): void {
    if (this.#lost) return;
    this.#pieces.clear();
    this.#lastAt = this.#freeAt = 0;
    this.#stop();
    this.#send(error);
  }

  /** The reader's end is no more. */
  failRead(error: Error): void {
    if (this.#readError !== undefined) return;
    this.#readError = error;
    for (let first = this.#arrived.shift(); first !== undefined; first = this.#arrived.shift()) {
      this.#held -= first.length;
    }
    this.#wakeReader();
    this.#wakeWriter();
  }

  /** The writer's end is no more; what it has written still arrives. */
  failWrite(error: Error): void {
    this.#writeError ??= error;
    this.#wakeWriter();
  }

  /** Lets nothing through from now on, and tells nobody. */
  lose(): void {
    this.#lost = true;
    this.#stop();
  }

  /** Nobody is left at either end. */
  forget(): void {
    this.#path.travellers.delete(this);
    this.lose();
  }

  /** Whether something has arrived that is not read. */
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

  /** What becomes of something that sets out now, for the trace. */
  #fate(delay: number): string {
    if (this.#lost) return ", lost";
    if (this.#path.stalled) return ", held";
    return delay > 0 ? `, in ${Math.ceil(delay)} ms` : "";
  }

  /** Hands over what is due, and comes back for the next. */
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
      this.#held -= what.length;
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
