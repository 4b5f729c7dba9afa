// The only reader of a connection: passes each frame to its session, pauses while the peer does not read, lets other
// sessions have their turn, and limits how long a frame may take to arrive. Owned by a session.

import { RpcError } from "../call/error.ts";
import { Kind } from "../codec/frame.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import type { Conn } from "../transport/conn.ts";
import type { Alarm } from "./alarm_clock.ts";
import { ClockSampler, eventLoop } from "./event_loop.ts";
import type { FloodLimiter } from "./flood_limiter.ts";
import { type FrameWriter, textOf } from "./frame_writer.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { SessionLimits } from "./limits.ts";

/** The session that owns a read loop. */
export interface ReadLoopOwner {
  /**
   * A frame has arrived.
   *
   * @throws {RpcError} If it breaks the protocol
   */
  onFrame(frame: FrameDecoder): void;
  /** All frames that had arrived were handled. */
  onFramesRead(): void;
  /** The peer broke the protocol, or sent too much. */
  onViolation(error: RpcError, limit: "invalidFrames" | "maxUselessFrames"): void;
  /** The peer has ended its side. */
  onPeerEnd(): void;
  /** The connection is lost. */
  onReadFailed(error: unknown): void;
  /** Ends the session. Called when nothing more is read, for whatever reason. */
  finish(): Promise<void>;
}

/** What a read loop works with. */
export interface ReadLoopParts {
  readonly conn: Conn;
  readonly frames: FrameDecoder;
  readonly frameWriter: FrameWriter;
  readonly floodLimiter: FloodLimiter;
  readonly heartbeat: Heartbeat;
  readonly alarm: Alarm;
  readonly options: { readonly limits: SessionLimits };
}

/** Reads one connection. */
export class ReadLoop {
  readonly #parts: ReadLoopParts;
  readonly #frames: FrameDecoder;
  readonly #frameWriter: FrameWriter;
  /** While more bytes than this wait to be written, frames that would add answers are not read. */
  readonly #maxUnsent: number;
  readonly #owner: ReadLoopOwner;
  readonly #clockSampler = new ClockSampler();
  /** When the frames being handled arrived; 0 = not known yet. */
  #arrivedAt = 0;
  /** When the head of an unfinished frame arrived; 0 = there is no such frame. */
  #frameAt = 0;
  /** Resumes the loop, while it is paused. */
  #resume: (() => void) | undefined;
  #stopped = false;

  constructor(parts: ReadLoopParts, owner: ReadLoopOwner) {
    this.#parts = parts;
    this.#frames = parts.frames;
    this.#frameWriter = parts.frameWriter;
    this.#maxUnsent = parts.options.limits.maxUnsentBytes / 2;
    this.#owner = owner;
  }

  /** When the frame being handled arrived, on the clock of `performance.now()`. */
  get arrivedAt(): number {
    if (this.#arrivedAt === 0) this.#arrivedAt = this.#frameWriter.now();
    return this.#arrivedAt;
  }

  /** Whether nothing is being read at the moment, so that the peer's silence means nothing. */
  get paused(): boolean {
    return this.#resume !== undefined;
  }

  /** Whether a part of a frame has arrived. */
  get inFrame(): boolean {
    return this.#frames.partial > 0;
  }

  /** Reads until the peer ends its side or {@linkcode stop} is called, then has the session end. Never rejects. */
  async run(): Promise<void> {
    // The first handler must not start before the constructor of the session has returned.
    await null;
    const { conn, heartbeat } = this.#parts;
    const frames = this.#frames;
    try {
      for (;;) {
        for (let wait; (wait = this.#takeFrames()) !== undefined;) await wait;
        if (this.#stopped) break;
        const count = await conn.read(frames.space());
        if (count === null) {
          await eventLoop.yieldIfDue();
          this.#owner.onPeerEnd();
          break;
        }
        frames.filled(count);
        // May be slightly early: reading the clock here would cost each call as much as its decoding.
        heartbeat.receivedAt = this.#frameWriter.cachedNow;
        this.#arrivedAt = 0;
      }
    } catch (error) {
      this.#owner.onReadFailed(error);
    }
    await this.#owner.finish();
  }

  /** Resumes the loop if it is paused. */
  resume(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  /** Ends the loop: no further frame is handled. */
  stop(): void {
    this.#stopped = true;
    this.resume();
  }

  /** Resolves when {@linkcode stop} is called, once the loop has ended because the peer ended its side. */
  stopped(): Promise<void> {
    return this.#stopped ? Promise.resolve() : new Promise((resolve) => this.#resume = resolve);
  }

  /**
   * When a frame that has begun to arrive is overdue; Infinity if there is none.
   *
   * @param patience How many ms to add to its time limit
   */
  frameDue(patience: number): number {
    if (this.#frameAt === 0 || this.paused || this.#stopped) return Infinity;
    const { frameTimeout } = this.#parts.options.limits;
    return this.#frameAt + frameTimeout + (this.#frames.partial >> 16) * 1_000 + patience;
  }

  /** Handles the frames that have arrived. Returns what to wait for before going on, if it could not handle all of them. */
  #takeFrames(): Promise<void> | undefined {
    const frames = this.#frames;
    try {
      while (!this.#stopped && frames.next()) {
        this.#frameAt = 0;
        this.#owner.onFrame(frames);
        // Answers are always read: otherwise two peers could wait for each other to read, forever.
        const answering = frames.kind === Kind.Call || frames.kind === Kind.Ping;
        if (answering && this.#frameWriter.unsent > this.#maxUnsent) return this.#pause();
        const now = this.#clockSampler.sample();
        if (now !== undefined && this.#onTime(now)) return eventLoop.yielded();
      }
    } catch (error) {
      const violation = error instanceof RpcError ? error : new RpcError("internal", textOf(error));
      this.#owner.onViolation(
        violation,
        this.#parts.floodLimiter.exceeded ? "maxUselessFrames" : "invalidFrames",
      );
    }
    this.#owner.onFramesRead();
    if (frames.partial > 0 && this.#frameAt === 0) {
      this.#frameAt = this.#frameWriter.now();
      this.#parts.alarm.by(this.#frameAt + this.#parts.options.limits.frameTimeout);
    }
    return undefined;
  }

  /** The clock was read between two frames. Returns whether other sessions are to have their turn. */
  #onTime(now: number): boolean {
    this.#frameWriter.setNow(now);
    this.#parts.floodLimiter.leak(now);
    return eventLoop.shouldYield(now);
  }

  /** Waits until enough has been written: a peer that does not read is not read from. */
  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => this.#resume = resolve);
    this.#parts.heartbeat.receivedAt = performance.now();
  }
}
