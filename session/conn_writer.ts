// The only writer of a connection. Frames appended to `out` in one turn of the event loop leave in one write; frames
// appended while a write is in progress leave in the next. Two buffers are swapped, without a copy.

import { type Deferred, deferred } from "../call/deferred.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import type { Conn } from "../transport/conn.ts";

const SMALL = 256;

/** The owner of a writer. */
export interface ConnWriterOwner {
  /** Some bytes were written. */
  onProgress(): void;
  /** Writing failed; nothing more is written. */
  onWriteFailed(error: unknown): void;
}

/** Buffers frames and writes them in order. */
export class ConnWriter {
  /** Frames that wait to be written. Replaced at each `flush`. */
  out: ByteBuffer = new ByteBuffer(SMALL);
  /** When the write in progress began or last made progress, on the session's clock. */
  progressAt = 0;
  /** Bytes that have left since the connection began. */
  sent = 0;

  readonly #conn: Conn;
  readonly #owner: ConnWriterOwner;
  #spare: ByteBuffer | undefined;
  /** The buffer that is being written. */
  #batch: ByteBuffer | undefined;
  /** Bytes of it that were not written yet. */
  #sending = 0;
  #idle: Deferred<void> | undefined;
  #stopped = false;

  constructor(conn: Conn, owner: ConnWriterOwner) {
    this.#conn = conn;
    this.#owner = owner;
  }

  /** Whether a write is in progress. */
  get busy(): boolean {
    return this.#sending > 0;
  }

  /** Bytes that wait to be written, or are being written. */
  get unsent(): number {
    return this.out.length + this.#sending;
  }

  /** Starts a write of what waits. If one is in progress, it is followed by another. */
  flush(now: number): void {
    if (this.#sending > 0 || this.out.length === 0 || this.#stopped) return;
    this.progressAt = now;
    this.#send();
  }

  /** Resolves when nothing waits to be written, or writing has failed. */
  flushed(): Promise<void> {
    if (this.#stopped || this.unsent === 0) return Promise.resolve();
    this.flush(performance.now());
    return (this.#idle ??= deferred<void>()).promise;
  }

  /** Discards what waits. A write in progress ends with its connection. */
  stop(): void {
    this.#stopped = true;
    this.out = new ByteBuffer(0);
    this.#idle?.resolve();
  }

  /** Frees large buffers. Called when the connection has become idle. */
  trim(): void {
    if (this.unsent > 0) return;
    this.#spare = undefined;
    if (this.out.bytes.length > SMALL) this.out = new ByteBuffer(SMALL);
  }

  #send(): void {
    const batch = this.out;
    // Empty until something is appended during the write: most connections never need a second buffer.
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
