// What this side sends, turn by turn of the event loop: frames are encoded straight into the writer's buffer and leave
// together when the turn is over. Owned by a session; its caller and callee write here. Also the session's clock, since
// asking for the time costs as much as encoding a call: it is asked for once a turn.

import { isRpcError, RpcError } from "../call/error.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { type Codec, encodeValue } from "../codec/codec.ts";
import { beginItem, endFrame, FRAME_HEAD_BYTES, MAX_HEADER_BYTES } from "../codec/frame.ts";
import type { CallBody } from "./call_body.ts";
import type { SendStream, SendStreamOwner } from "./send_stream.ts";
import type { SendWindow } from "./send_window.ts";
import type { ConnWriter } from "./conn_writer.ts";

const SMALL = 64;
/** After so many microtasks without another frame, streams are taken to be waiting for something. */
const IDLE_HOPS = 8;
/** While this many bytes wait, streams do. */
const STRETCH = 524_288;
/** A batch of this many bytes is written without waiting for more. */
const FULL_BATCH = 65_536;

/** Whoever an frameWriter works for. */
export interface FrameWriterOwner {
  /** A turn of the event loop has begun. */
  onTurnBegun(now: number): void;
  /** A turn of the event loop is over, and writing has begun. */
  onTurn(now: number): void;
}

/** The frames of one connection on their way out. */
export class FrameWriter {
  /** Bounds what is sent ahead of a peer that buffers what it has not read. */
  sendWindow: SendWindow | undefined;

  readonly #writer: ConnWriter;
  readonly #codec: Codec;
  readonly #maxFrameBytes: number;
  readonly #owner: FrameWriterOwner;
  #now = performance.now();
  #inTurn = false;
  #encoding = false;
  /** Streams that are not waiting for credit or room. */
  #streams = 0;
  /** Microtasks since the buffer last grew, and how long it was then. */
  #hops = 0;
  #seen = 0;
  /** The length of the frame sealed last. */
  #frameLength = 0;
  /** Streams that wait until the connection takes more. */
  #stalled: Set<SendStream> | undefined;
  /** Frames that user code has caused while a body was being encoded, each in a buffer of its own. */
  #nested: ByteBuffer[] | undefined;

  /**
   * @param maxFrameBytes The longest frame that the other side takes
   */
  constructor(writer: ConnWriter, codec: Codec, maxFrameBytes: number, owner: FrameWriterOwner) {
    this.#writer = writer;
    this.#codec = codec;
    this.#maxFrameBytes = maxFrameBytes;
    this.#owner = owner;
  }

  /** The length of the frame that was sealed last, without its head. */
  get frameLength(): number {
    return this.#frameLength;
  }

  /** Bytes that have not left. */
  get unsent(): number {
    return this.#writer.unsent;
  }

  /** Bytes that have not left, and those that have but that the peer may not have read, if that has to be bounded. */
  get unread(): number {
    const { sendWindow } = this;
    return sendWindow === undefined ? this.#writer.unsent : sendWindow.unconfirmed(this.#total);
  }

  /** Pings the peer if it has been sent much that it has not confirmed. */
  confirm(): void {
    this.sendWindow?.onSent(this.#total);
  }

  /** Whether a turn is under way, in which frames may be appended. */
  get inTurn(): boolean {
    return this.#inTurn;
  }

  /** Whether a body is being encoded: user code that this runs, such as a getter, must not begin another frame. */
  get encoding(): boolean {
    return this.#encoding;
  }

  /** Lets streams go on that wait for room. */
  resume(): void {
    const stalled = this.#stalled;
    this.#stalled = undefined;
    for (const flow of stalled ?? []) flow.resume();
  }

  /** The latest time known, which may be that of an earlier turn. Costs nothing. */
  get cachedNow(): number {
    return this.#now;
  }

  /** The time in this turn, on the clock of `performance.now()`. */
  now(): number {
    if (!this.#inTurn) this.#begin();
    return this.#now;
  }

  /** Somebody has asked for the time. */
  setNow(now: number): void {
    this.#now = now;
  }

  /** The buffer to append frames to, which leave when the turn is over. */
  beginFrame(): ByteBuffer {
    if (!this.#inTurn) this.#begin();
    if (!this.#encoding) return this.#writer.out;
    const aside = new ByteBuffer(SMALL);
    (this.#nested ??= []).push(aside);
    return aside;
  }

  /**
   * Closes the frame whose header begins at `start`, encoding `value` as its body unless it is undefined.
   *
   * @param encoded The body, if it is encoded already
   * @returns Why it cannot be sent, in which case nothing of it is left in the buffer
   */
  endFrame(out: ByteBuffer, start: number, value: unknown, encoded?: CallBody): RpcError | undefined {
    const outermost = !this.#encoding;
    try {
      if (out.length - start > MAX_HEADER_BYTES + FRAME_HEAD_BYTES) {
        throw new RpcError("resource_exhausted", `The header is over ${MAX_HEADER_BYTES} bytes`);
      }
      this.#encoding = true;
      if (encoded !== undefined) out.append(encoded.bytes());
      else if (value !== undefined) encodeValue(this.#codec, value, out);
      const length = this.#frameLength = endFrame(out, start);
      if (length <= this.#maxFrameBytes) return undefined;
      throw new RpcError(
        "resource_exhausted",
        `A message of ${length} bytes is more than the ${this.#maxFrameBytes} that the other side takes`,
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
   * What a stream of call `seq` writes to.
   *
   * @param most While more bytes than this wait to be written, it has no room
   * @param unsendable Told why an item cannot be sent: the call is to end over it
   */
  streamSink(seq: number, most: number, unsendable: (error: RpcError) => void): SendStreamOwner {
    return {
      hasRoom: (flow) => this.#hasRoom(flow, most),
      streaming: (change) => {
        this.#streams += change;
      },
      writeItem: (value) => {
        const out = this.beginFrame();
        const start = out.length;
        beginItem(out, seq);
        const header = out.length - start - FRAME_HEAD_BYTES;
        const error = this.endFrame(out, start, value);
        if (error === undefined) return this.#frameLength - header;
        unsendable(error);
        return undefined;
      },
    };
  }

  /**
   * Whether a stream may send more: not while more than `most` bytes wait, nor more than is written at a stretch, since
   * a source that never waits would keep the event loop to itself. If not, `flow` is called back.
   */
  #hasRoom(flow: SendStream, most: number): boolean {
    if (this.unsent <= Math.min(most, STRETCH) && this.unread <= most) return true;
    (this.#stalled ??= new Set()).add(flow);
    return false;
  }

  get #total(): number {
    return this.#writer.sent + this.#writer.unsent;
  }

  #appendNested(out: ByteBuffer): void {
    for (const frame of this.#nested ?? []) out.append(frame.written());
    this.#nested = undefined;
  }

  /**
   * Whether a turn goes on because streams may have more: an async generator's next item takes a few microtasks, and a
   * write for each would cost more than all the rest.
   */
  #postpone(): boolean {
    const { length } = this.#writer.out;
    if (length > this.#seen) this.#hops = 0;
    else if (++this.#hops > IDLE_HOPS) return this.#restart();
    this.#seen = length;
    return length < FULL_BATCH || this.#restart();
  }

  #restart(): false {
    this.#hops = this.#seen = 0;
    return false;
  }

  #begin(): void {
    this.#now = performance.now();
    this.#inTurn = true;
    queueMicrotask(this.#end);
    this.#owner.onTurnBegun(this.#now);
  }

  readonly #end = (): void => {
    if (this.#streams > 0 && this.#postpone()) return queueMicrotask(this.#end);
    this.#inTurn = false;
    this.#writer.flush(this.#now);
    this.#owner.onTurn(this.#now);
  };
}

/** The error of a call whose arguments or result cannot be encoded or sent. */
export function unencodable(error: unknown): RpcError {
  return isRpcError(error) ? error : new RpcError("invalid_argument", textOf(error), { cause: error });
}

/** What an error says, whatever was thrown. */
export function textOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "an error that cannot be shown";
  }
}
