// The only writer of a connection. Frames appended to `out` in one turn of the event loop leave in one write; frames
// appended while a write is in progress leave in the next. Two buffers are swapped, without a copy. Large frames wait
// outside of them, each in a buffer of its own, so that small ones pass them.

import { type Deferred, deferred } from "../call/deferred.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import type { Conn } from "../transport/conn.ts";
import type { LineProbe } from "./bandwidth.ts";
import { type LargeFrame, LargeFrames } from "./large_frames.ts";

/** Capacity of the send buffer of an idle connection: that of a small answer. */
const SMALL = 64;
/** When a large frame has left `out`, a buffer longer than this is replaced, in bytes. */
const MAX_KEPT = 524_288;

/** The owner of a writer. */
export interface ConnWriterOwner {
  /** Pings the peer. */
  readonly heartbeat: LineProbe;
  /** Some bytes were written. */
  onProgress(): void;
  /** Writing failed; nothing more is written. */
  onWriteFailed(error: unknown): void;
}

/** Buffers frames and writes them: those in `out` in order, and one large frame after each write of `out`. */
export class ConnWriter {
  /** Frames that wait to be written. Replaced at each `flush`. */
  out: ByteBuffer = new ByteBuffer(SMALL);
  /** When the write in progress began or last made progress, on the session's clock. */
  progressAt = 0;
  /** Whether a turn has begun that ends with `flush`: what is appended until then waits for it. */
  inTurn = false;
  /** Bytes that have left since the connection began. */
  sent = 0;

  readonly #conn: Conn;
  readonly #owner: ConnWriterOwner;
  #spare: ByteBuffer | undefined;
  /** Large frames that wait; created for the first. */
  #large: LargeFrames | undefined;
  /** Whether the next write is that of a large frame, if one waits. */
  #largeNext = false;
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
    return this.out.length + this.#sending + (this.#large?.bytes ?? 0);
  }

  /** The same without large frames, which small ones pass. */
  get unsentSmall(): number {
    return this.out.length + this.#sending;
  }

  /** Whether a large frame has to wait, apart from what is in `out`. */
  get backlogged(): boolean {
    return this.#sending > 0 || this.#waitingLarge > 0;
  }

  /** Whether the round trip was measured. */
  get lineKnown(): boolean {
    return this.#owner.heartbeat.roundTrip.least < Infinity;
  }

  /** Moves what follows `start` in `out` to a buffer of its own. `out` keeps no large buffer, since each frame has its own. */
  split(start: number): ByteBuffer {
    const { out } = this;
    if (start === 0) {
      this.out = new ByteBuffer(0);
      return out;
    }
    const own = new ByteBuffer(0);
    own.append(out.bytes.subarray(start, out.length));
    out.length = start;
    if (out.bytes.length > MAX_KEPT) {
      this.out = new ByteBuffer(0);
      this.out.append(out.written());
    }
    return own;
  }

  /** Adds a large frame after those of other calls. */
  addLarge(frame: LargeFrame): void {
    this.#largeFrames().add(frame);
  }

  /** Sets whether large frames wait for answers to pings, which they do unless none are received. */
  awaitPings(answered: boolean): void {
    this.#largeFrames().awaitPings(answered);
  }

  /** Removes a large frame, if it still waits. */
  removeLarge(frame: LargeFrame): void {
    this.#large?.remove(frame);
  }

  /** Starts a write of what waits. If one is in progress, it is followed by another. */
  flush(now: number): void {
    if (this.#sending > 0 || this.out.length + this.#waitingLarge === 0 || this.#stopped) return;
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
    this.#large?.clear();
    this.#idle?.resolve();
  }

  /** Frees large buffers. Called when the connection has become idle. */
  trim(): void {
    if (this.unsent > 0) return;
    this.#spare = undefined;
    if (this.out.bytes.length > SMALL) this.out = new ByteBuffer(SMALL);
  }

  /** Writes what is next. Returns whether there was something. */
  #send(): boolean {
    const large = this.out.length === 0 || this.#largeNext ? this.#takeLarge() : undefined;
    const batch = large ?? this.#takeOut();
    if (batch.length === 0) return false;
    this.#largeNext = large === undefined && this.#waitingLarge > 0;
    this.#batch = batch;
    this.#sending = batch.length;
    this.#conn.write(batch.written()).then(this.#wrote, this.#failed);
    return true;
  }

  #takeOut(): ByteBuffer {
    const batch = this.out;
    if (batch.length === 0) return batch;
    // Empty until something is appended during the write: most connections never need a second buffer.
    this.out = this.#spare ?? new ByteBuffer(0);
    this.#spare = undefined;
    return batch;
  }

  #largeFrames(): LargeFrames {
    return this.#large ??= new LargeFrames(this.#owner.heartbeat, () => this.flush(performance.now()));
  }

  get #waitingLarge(): number {
    return this.#large?.size ?? 0;
  }

  #takeLarge(): ByteBuffer | undefined {
    const large = this.#large;
    for (let frame; (frame = large?.next()) !== undefined;) {
      const { length } = this.out;
      const own = frame.take() ?? (this.out.length > length ? this.#takeOut() : undefined);
      if (own === undefined) continue;
      large?.left(own.length);
      return own;
    }
    return undefined;
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
      if (this.out.length + this.#waitingLarge > 0) this.progressAt = performance.now();
      // A write may end within a turn, after each item of a stream: a write of its own for each would cost more than the item.
      const held = this.inTurn && this.out.length > 0;
      if (!held && !this.#send() && this.#waitingLarge === 0) {
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
