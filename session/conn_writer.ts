// The only writer of a connection. What is appended to `out` within one turn of the event loop leaves in one write;
// what is appended while a write is under way leaves in the next. Two buffers that swap, no copy between.

import { type Deferred, deferred } from "../call/deferred.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import type { Conn } from "../transport/conn.ts";

const SMALL = 256;

/** Whoever a writer works for. */
export interface ConnWriterOwner {
  /** Some bytes have left. */
  onProgress(): void;
  /** Writing failed; nothing is written any more. */
  onWriteFailed(error: unknown): void;
}

/** Gathers frames and writes them in order. */
export class ConnWriter {
  /** Frames that wait. Replaced at each `flush`. */
  out: ByteBuffer = new ByteBuffer(SMALL);
  /** When the write under way began or last got on, on the session's clock. */
  progressAt = 0;
  /** Bytes that have left since the connection began. */
  sent = 0;

  readonly #conn: Conn;
  readonly #owner: ConnWriterOwner;
  #spare: ByteBuffer | undefined;
  /** What the write under way is of. */
  #batch: ByteBuffer | undefined;
  /** Bytes of it that have not left. */
  #sending = 0;
  #idle: Deferred<void> | undefined;
  #stopped = false;

  constructor(conn: Conn, owner: ConnWriterOwner) {
    this.#conn = conn;
    this.#owner = owner;
  }

  /** Whether a write is under way. */
  get busy(): boolean {
    return this.#sending > 0;
  }

  /** Bytes that wait or are under way. */
  get unsent(): number {
    return this.out.length + this.#sending;
  }

  /** Starts writing what waits, unless a write is under way, which will go on with it. */
  flush(now: number): void {
    if (this.#sending > 0 || this.out.length === 0 || this.#stopped) return;
    this.progressAt = now;
    this.#send();
  }

  /** Resolves when everything appended so far, and until then, has left or writing has failed. */
  flushed(): Promise<void> {
    if (this.#stopped || this.unsent === 0) return Promise.resolve();
    this.flush(performance.now());
    return (this.#idle ??= deferred<void>()).promise;
  }

  /** Forgets what waits. A write under way ends with its connection. */
  stop(): void {
    this.#stopped = true;
    this.out = new ByteBuffer(0);
    this.#idle?.resolve();
  }

  /** Gives large buffers back: called when the connection has fallen quiet. */
  trim(): void {
    if (this.unsent > 0) return;
    this.#spare = undefined;
    if (this.out.bytes.length > SMALL) this.out = new ByteBuffer(SMALL);
  }

  #send(): void {
    const batch = this.out;
    // Empty, until something is appended while the write is under way: most connections never need a second one.
    this.out = this.#spare ?? new ByteBuffer(0);
    this.#spare = undefined;
    this.#batch = batch;
    this.#sending = batch.length;
    this.#conn.write(batch.written()).then(this.#wrote, this.#failed);
  }

  readonly #wrote = (count: number): void => {
    if (this.#stopped) return;
    const batch = this.#batch!;
    this.#sending -= count;
    this.sent += count;
    if (this.#sending > 0) {
      this.progressAt = performance.now();
      const rest = batch.bytes.subarray(batch.length - this.#sending, batch.length);
      this.#conn.write(rest).then(this.#wrote, this.#failed);
    } else {
      batch.length = 0;
      this.#batch = undefined;
      if (this.out.bytes.length === 0) this.out = batch;
      else this.#spare = batch;
      if (this.out.length > 0) {
        this.progressAt = performance.now();
        this.#send();
      } else {
        this.#idle?.resolve();
        this.#idle = undefined;
      }
    }
    this.#owner.onProgress();
  };

  readonly #failed = (error: unknown): void => {
    this.#sending = 0;
    if (!this.#stopped) this.#owner.onWriteFailed(error);
  };
}
