// Batches what a session sends: frames are encoded straight into the writer's buffer, and leave together when the turn of
// the event loop is over. Owned by a session; its caller and callee write here. Also caches the session's time, since
// reading the clock costs as much as encoding a call: it is read once a turn.

import { isRpcError, RpcError } from "../call/error.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { type Codec, encodeValue } from "../codec/codec.ts";
import { beginItem, endFrame, FRAME_HEAD_BYTES, MAX_HEADER_BYTES } from "../codec/frame.ts";
import type { CallBody } from "./call_body.ts";
import type { SendStream, SendStreamOwner } from "./send_stream.ts";
import type { UnconfirmedBytes } from "./unconfirmed_bytes.ts";
import type { ConnWriter } from "./conn_writer.ts";
import type { LargeFrame } from "./large_frames.ts";
import type { MessageLog } from "./message_log.ts";

const SMALL = 64;
/** After this many microtasks without another frame, streams are assumed to be waiting for something. */
const IDLE_MICROTASKS = 8;
/** Streams pause while more bytes than this wait: a source that never waits would otherwise block the event loop. */
const MAX_BATCH = 524_288;
/** A batch of this many bytes is written without waiting for more. */
const FULL_BATCH = 65_536;
/** Longer frames, in bytes, do not delay small ones: 64 KiB of content, and a header. */
const LARGE_FRAME = 66_560;

/** The owner of a frame writer. */
export interface FrameWriterOwner {
  /** A turn of the event loop has begun. */
  onTurnBegun(now: number): void;
  /** A turn of the event loop is over, and its frames are being written. */
  onTurn(now: number): void;
}

/** Writes the frames of one connection. */
export class FrameWriter {
  /** Bounds what is sent ahead of a peer that buffers what it has not read. */
  unconfirmedBytes: UnconfirmedBytes | undefined;
  /** Logs messages of either side that are too much for its receiver. */
  readonly messageLog: MessageLog;

  readonly #writer: ConnWriter;
  readonly #codec: Codec;
  readonly #maxFrameBytes: number;
  readonly #owner: FrameWriterOwner;
  #now = performance.now();
  #encoding = false;
  /** How many streams are not waiting for credit or room. */
  #streams = 0;
  /** Microtasks since the buffer last grew, and its length then. */
  #idleMicrotasks = 0;
  #lengthSeen = 0;
  /** The length of the frame that was ended last. */
  #frameLength = 0;
  /** Streams that wait for room. */
  #stalled: Set<SendStream> | undefined;
  /** Frames begun by user code that ran while a body was being encoded, each in a buffer of its own. */
  #nested: ByteBuffer[] | undefined;

  /** @param maxFrameBytes The longest frame that the peer accepts */
  constructor(
    writer: ConnWriter,
    codec: Codec,
    maxFrameBytes: number,
    owner: FrameWriterOwner,
    messageLog: MessageLog,
  ) {
    this.#writer = writer;
    this.#codec = codec;
    this.#maxFrameBytes = maxFrameBytes;
    this.#owner = owner;
    this.messageLog = messageLog;
  }

  /** The length of the frame that was ended last, without its head. */
  get frameLength(): number {
    return this.#frameLength;
  }

  /** Bytes that wait to be written, or are being written. */
  get unsent(): number {
    return this.#writer.unsent;
  }

  /** The same without large frames that wait for their turn. */
  get unsentSmall(): number {
    return this.#writer.unsentSmall;
  }

  /**
   * What bounds new calls: bytes not yet written, plus those written that the peer may not have read, if that is bounded.
   * Large frames that wait for their turn do not count: what is sent meanwhile passes them.
   */
  get unread(): number {
    const { unconfirmedBytes } = this;
    return unconfirmedBytes === undefined ? this.unsentSmall : unconfirmedBytes.unconfirmed(this.#total);
  }

  /** Pings the peer if it was sent much that it has not confirmed. */
  confirm(): void {
    this.unconfirmedBytes?.onSent(this.#total);
  }

  /** Whether a turn has begun: then `onTurn` follows. */
  get inTurn(): boolean {
    return this.#writer.inTurn;
  }

  /** Whether a body is being encoded: user code that this runs, such as a getter, must not send a call. */
  get encoding(): boolean {
    return this.#encoding;
  }

  /** Resumes streams that wait for room. */
  resume(): void {
    const stalled = this.#stalled;
    this.#stalled = undefined;
    for (const stream of stalled ?? []) stream.resume();
  }

  /** The latest time known, which may be that of an earlier turn. Does not read the clock. */
  get cachedNow(): number {
    return this.#now;
  }

  /** The time in this turn, on the clock of `performance.now()`. Begins a turn if there is none. */
  now(): number {
    if (!this.#writer.inTurn) this.#begin();
    return this.#now;
  }

  /** Updates the time, when the clock was read elsewhere. */
  setNow(now: number): void {
    this.#now = now;
  }

  /** Begins a frame: returns the buffer to append it to, which is written when the turn is over. */
  beginFrame(): ByteBuffer {
    if (!this.#writer.inTurn) this.#begin();
    if (!this.#encoding) return this.#writer.out;
    const nested = new ByteBuffer(SMALL);
    (this.#nested ??= []).push(nested);
    return nested;
  }

  /**
   * Ends the frame that begins at `start`, encoding `value` as its body unless it is undefined.
   *
   * @param method The method that the value is an argument or a result of
   * @param encoded The body, if it is encoded already
   * @returns Why it cannot be sent, in which case it is removed from the buffer
   */
  endFrame(
    out: ByteBuffer,
    start: number,
    value: unknown,
    method?: string,
    encoded?: CallBody,
  ): RpcError | undefined {
    const outermost = !this.#encoding;
    try {
      if (out.length - start > MAX_HEADER_BYTES + FRAME_HEAD_BYTES) {
        throw new RpcError("resource_exhausted", `The header is over ${MAX_HEADER_BYTES} bytes`);
      }
      this.#encoding = true;
      let warning: string | undefined;
      if (encoded !== undefined) out.append(encoded.bytes());
      else if (value !== undefined) warning = encodeValue(this.#codec, value, out);
      const length = this.#frameLength = endFrame(out, start);
      if (length <= this.#maxFrameBytes) {
        if (warning !== undefined && method !== undefined) this.messageLog.sentTooMuch(method, warning);
        return undefined;
      }
      throw new RpcError(
        "resource_exhausted",
        `A message of ${length} bytes exceeds the peer's maxFrameBytes (${this.#maxFrameBytes})`,
      );
    } catch (error) {
      out.length = start;
      return unencodable(error);
    } finally {
      if (outermost) {
        this.#encoding = false;
        if (this.#nested !== undefined) this.#appendNested(out);
      }
    }
  }

  /**
   * Whether the frame that was ended last is large, and has to wait for its turn: since others are before it, or for the
   * ping before the first, which shows whether the line is long.
   */
  isLate(out: ByteBuffer, start: number): boolean {
    return this.#frameLength > LARGE_FRAME && out === this.#writer.out &&
      (start > 0 || this.#writer.backlogged || !this.#writer.lineKnown);
  }

  /** Adds a large frame after those of other calls. */
  addLarge(frame: LargeFrame): void {
    this.now();
    this.#writer.addLarge(frame);
  }

  /** Removes a large frame, if it still waits. */
  removeLarge(frame: LargeFrame): void {
    this.#writer.removeLarge(frame);
  }

  /**
   * Moves the frame that begins at `start` of the send buffer to a buffer of its own, where it waits for its turn.
   *
   * @param onTurn Called when it leaves
   */
  postpone(start: number, onTurn?: () => void): LargeFrame {
    const own = this.#writer.split(start);
    const take = () => {
      onTurn?.();
      return own;
    };
    const frame = { length: own.length, take };
    this.addLarge(frame);
    return frame;
  }

  /**
   * The owner of a stream that sends items of call `seq` of a method.
   *
   * @param most While more bytes than this wait to be written, there is no room for items
   * @param unsendable Ends the call, when an item cannot be sent
   */
  streamSink(
    seq: number,
    method: string,
    most: number,
    unsendable: (error: RpcError) => void,
  ): SendStreamOwner {
    let late: LargeFrame | undefined;
    let waiting: SendStream | undefined;
    const onTurn = () => {
      late = undefined;
      waiting?.resume();
    };
    return {
      hasRoom: (stream) => {
        if (late === undefined) return this.#hasRoom(stream, most);
        waiting = stream;
        return false;
      },
      streaming: (change) => {
        this.#streams += change;
      },
      writeItem: (value) => {
        const out = this.beginFrame();
        const start = out.length;
        beginItem(out, seq);
        const header = out.length - start - FRAME_HEAD_BYTES;
        const error = this.endFrame(out, start, value, method);
        if (error !== undefined) {
          unsendable(error);
          return undefined;
        }
        const length = this.#frameLength - header;
        if (this.isLate(out, start)) late = this.postpone(start, onTurn);
        return length;
      },
      stopped: () => {
        if (late !== undefined) this.removeLarge(late);
      },
    };
  }

  /**
   * Whether a stream may send more: not while more than `most` bytes wait to be written or read, nor more than one batch
   * may hold. If not, `stream` is resumed when it may.
   */
  #hasRoom(stream: SendStream, most: number): boolean {
    if (this.unsentSmall <= MAX_BATCH && this.unsent <= most && this.unread <= most) return true;
    (this.#stalled ??= new Set()).add(stream);
    return false;
  }

  /** What a ping that is sent now confirms: large frames that wait for their turn leave after it. */
  get #total(): number {
    return this.#writer.sent + this.#writer.unsentSmall;
  }

  #appendNested(out: ByteBuffer): void {
    for (const frame of this.#nested ?? []) out.append(frame.written());
    this.#nested = undefined;
  }

  /**
   * Whether to extend a turn because streams may have more items: the next item of an async generator takes a few
   * microtasks, and a write for each item would cost more than everything else.
   */
  #postpone(): boolean {
    const { length } = this.#writer.out;
    if (length > this.#lengthSeen) this.#idleMicrotasks = 0;
    else if (++this.#idleMicrotasks > IDLE_MICROTASKS) return false;
    this.#lengthSeen = length;
    return length < FULL_BATCH;
  }

  #begin(): void {
    this.#now = performance.now();
    this.#writer.inTurn = true;
    this.#idleMicrotasks = this.#lengthSeen = 0;
    queueMicrotask(this.#end);
    this.#owner.onTurnBegun(this.#now);
  }

  readonly #end = (): void => {
    if (this.#streams > 0 && this.#postpone()) return queueMicrotask(this.#end);
    this.#writer.inTurn = false;
    this.#writer.flush(this.#now);
    this.#owner.onTurn(this.#now);
  };
}

/** The error of a call whose arguments or result cannot be encoded or sent. */
export function unencodable(error: unknown): RpcError {
  return isRpcError(error) ? error : new RpcError("invalid_argument", textOf(error), { cause: error });
}

/** The message of whatever was thrown. */
export function textOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "an error that cannot be shown";
  }
}
