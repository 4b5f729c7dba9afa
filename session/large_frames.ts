// Large frames that wait for their turn, so that small ones pass them, and when the next may leave. A frame that was
// written cannot be passed any more, also while it waits in the system's send buffer: on a long line no more is written than
// the line carries in two round trips. Owned by a connection's writer.

import type { ByteBuffer } from "../codec/bytes.ts";
import { DeliveryRate, type LineProbe } from "./bandwidth.ts";

/** A large frame that waits for its turn. Each call has one at most, so that calls take turns. */
export interface LargeFrame {
  /** Its bytes that count as unsent. */
  readonly length: number;
  /**
   * Called when it is its turn.
   *
   * @returns The frame; undefined if it was appended to the writer's buffer, or is not to be sent any more
   */
  take(): ByteBuffer | undefined;
}

/** The large frames of one connection. */
export class LargeFrames {
  readonly #line: LineProbe;
  /** Called when a frame may leave that could not before. */
  readonly #onReady: () => void;
  readonly #waiting = new Set<LargeFrame>();
  #bytes = 0;
  /** Bytes that were written, and are not known to have arrived. */
  #unconfirmed = 0;
  /** While more is unconfirmed, no further frame leaves. */
  #allowance = 0;
  /** Whether the peer answers pings. */
  #answered = true;
  readonly #rate = new DeliveryRate();

  constructor(line: LineProbe, onReady: () => void) {
    this.#line = line;
    this.#onReady = onReady;
  }

  /** The bytes of those that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of those that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Adds a frame after those of other calls. */
  add(frame: LargeFrame): void {
    this.#waiting.add(frame);
    this.#bytes += frame.length;
    // Before the frame leaves: a ping after it would wait for it.
    if (!this.#line.roundTrip.short && this.#answered) this.#line.measure();
  }

  /** Removes a frame, if it still waits. */
  remove(frame: LargeFrame): void {
    if (this.#waiting.delete(frame)) this.#bytes -= frame.length;
  }

  /** Removes all frames. */
  clear(): void {
    this.#waiting.clear();
    this.#bytes = 0;
  }

  /** The next frame, which is removed; undefined if none may leave. */
  next(): LargeFrame | undefined {
    if (this.#limited && this.#unconfirmed > this.#allowance) return undefined;
    const [frame] = this.#waiting;
    if (frame !== undefined) this.remove(frame);
    return frame;
  }

  /** Records that a frame leaves, of so many bytes. */
  left(bytes: number): void {
    if (!this.#limited) return;
    this.#unconfirmed += bytes;
    this.#line.mark(() => this.#arrived(bytes));
  }

  /** Whether what is not known to have arrived is limited: on a long line, while answers to pings are received. */
  get #limited(): boolean {
    return this.#answered && this.#line.roundTrip.long;
  }

  /** A frame has arrived. */
  #arrived(bytes: number): void {
    const { roundTrip } = this.#line;
    const now = this.#line.now();
    this.#unconfirmed -= bytes;
    this.#rate.taken(1, bytes, now, roundTrip.least);
    const rate = this.#rate.items * this.#rate.size;
    this.#allowance = rate === 0 ? 0 : roundTrip.factor(now) * rate * roundTrip.least;
    if (this.#waiting.size === 0) return;
    this.#line.measure();
    this.#onReady();
  }

  /** Sets whether answers to pings are received. If not, frames leave one after the other. */
  awaitPings(answered: boolean): void {
    this.#answered = answered;
    if (!answered) this.#onReady();
  }
}
