// The caller's half of a session: the calls that this side makes, which wait for room, then for an answer, each no longer
// than until its deadline. Owned by a session, whose read loop passes the answers. Each call leaves the tables once, with
// a result or an error.

import type { RpcError } from "../call/error.ts";
import { canceled, deadlineExceeded, endedWith } from "../call/outcome.ts";
import { SignalFanOut } from "../call/signals.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import type { Codec } from "../codec/codec.ts";
import { Kind, writeShort } from "../codec/frame.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import { malformed } from "../codec/header_reader.ts";
import { type CallBodies, LARGE_BODY } from "./call_body.ts";
import { CallerStreams, undecodable, unexpectedStream } from "./caller_streams.ts";
import { CallWriter } from "./call_writer.ts";
import type { LargeFrame } from "./large_frames.ts";
import { readError } from "./error_frame.ts";
import type { FloodLimiter } from "./flood_limiter.ts";
import type { FrameWriter } from "./frame_writer.ts";
import type { Agreement } from "./handshake.ts";
import type { SessionLimits } from "./limits.ts";
import { PendingTable } from "./pending_table.ts";
import type { SessionCall } from "./session_call.ts";
import { UnsentCalls } from "./unsent_calls.ts";
import type { ConnectionWindows } from "./window_budget.ts";

/** What the caller's half of a session is made of. */
export interface CallerOptions {
  /** Whether this side dialled: then its calls have odd numbers. */
  readonly dialled: boolean;
  /** `peerMaxInFlight`: how many calls the peer accepts at once. */
  readonly agreement: Pick<Agreement, "peerMaxInFlight">;
  /** `maxUnsentBytes`: while more than half of that waits to be written, no further call is sent. */
  readonly limits: Pick<SessionLimits, "maxUnsentBytes">;
  /** Keeps the encoded arguments of calls that wait or may be sent again. */
  readonly bodies: CallBodies;
}

/** The caller's half of a session. */
export class Caller {
  readonly #frameWriter: FrameWriter;
  readonly #codec: Codec;
  readonly #floodLimiter: FloodLimiter;
  readonly #streams: CallerStreams;
  readonly #callWriter: CallWriter;
  /** How many calls the peer accepts at once. */
  readonly #maxInFlight: number;
  /** While more bytes than this wait to be written, no further call is sent. */
  readonly #maxUnsent: number;
  readonly #sent = new PendingTable<SessionCall>();
  readonly #unsent = new UnsentCalls();
  /** How many of those sent expect a stream. */
  #streaming = 0;
  readonly #signals = new SignalFanOut<SessionCall>((call) => this.#abort(call));
  readonly #onRoom: (() => void) | undefined;
  /** The turn of this side's large calls among other large frames. Their arguments are counted by `bodies`. */
  readonly #nextLarge: LargeFrame = { length: 0, take: () => this.#takeLarge() };
  #nextSeq: number;
  /** Whether the connection is gone, so that there is no point in sending Cancels. */
  #closed = false;
  /** Whether `takesCalls` has returned false, so that `onRoom` is to be called when there is room. */
  #roomWanted = false;
  /** Whether calls wait although there is room, because the peer may be gone. */
  held = false;

  /**
   * @param floodLimiter Charged for answers to calls that have ended, refunded for the others
   * @param windows What the windows of streamed answers may grow from
   * @param onRoom Called when there is room, after {@linkcode takesCalls} has returned false
   */
  constructor(
    frameWriter: FrameWriter,
    codec: Codec,
    options: CallerOptions,
    floodLimiter: FloodLimiter,
    windows: ConnectionWindows,
    onRoom: (() => void) | undefined,
  ) {
    this.#onRoom = onRoom;
    this.#frameWriter = frameWriter;
    this.#codec = codec;
    this.#floodLimiter = floodLimiter;
    this.#callWriter = new CallWriter(frameWriter, codec, options.bodies);
    this.#maxInFlight = options.agreement.peerMaxInFlight;
    this.#maxUnsent = options.limits.maxUnsentBytes / 2;
    this.#nextSeq = options.dialled ? 1 : 2;
    this.#streams = new CallerStreams({
      frameWriter,
      codec,
      maxUnsent: this.#maxUnsent,
      windows,
      abandon: (call, error) => this.#abandon(call, error),
    });
  }

  /** Calls that are not settled. */
  get pending(): number {
    return this.#sent.size + this.#unsent.size;
  }

  /** Whether any call waits for more than the items of a stream. */
  get awaiting(): boolean {
    return this.pending > this.#streaming;
  }

  /** Takes over calls that were sent before there was a session. */
  adopt(calls: readonly SessionCall[], nextSeq: number): void {
    this.#nextSeq = nextSeq;
    for (const call of calls) {
      const { signal, recvStream } = call;
      this.#sent.add(call);
      if (recvStream !== undefined) this.#streaming++;
      if (recvStream !== undefined) this.#streams.receive(call, recvStream, () => false);
      if (signal !== undefined) this.#signals.add(signal, call);
    }
  }

  /** Sends a call, or queues it until there is room. */
  call(call: SessionCall): void {
    const { signal, recvStream } = call;
    if (signal?.aborted) return this.#abort(call);
    const waits = this.#unsent.waiting.size > 0 || !this.#hasRoom();
    if (waits && this.#full() && call.leaves?.(undefined) === true) return;
    if (recvStream !== undefined) {
      this.#streams.receive(call, recvStream, () => this.#unsent.has(call));
    }
    if (!(waits ? this.#wait(call) : this.#send(call))) return;
    if (signal === undefined) return;
    // A getter in the arguments may have aborted the signal.
    if (signal.aborted) this.#abort(call);
    else this.#signals.add(signal, call);
  }

  /**
   * Settles the call that a Reply belongs to.
   *
   * @throws {RpcError} If it follows Items
   */
  onReply(frame: FrameDecoder): void {
    const call = this.#find(frame.seq);
    if (call === undefined) return;
    if (call.recvStream?.started) throw malformed("a Reply follows Items of the same call");
    this.#floodLimiter.refund();
    if (frame.bodyEnd - frame.bodyStart > LARGE_BODY) this.#callWriter.addLarge(call.method);
    this.#forget(call);
    if (frame.bodyStart === frame.bodyEnd) return call.resolve(undefined, frame.metadata);
    let result: unknown;
    try {
      result = this.#codec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd);
    } catch (cause) {
      return call.reject(undecodable(this.#frameWriter, "the result", call, cause));
    }
    call.resolve(result, frame.metadata);
  }

  /** Settles the call that an Error belongs to. */
  onError(frame: FrameDecoder): void {
    const call = this.#find(frame.seq);
    if (call === undefined) return;
    this.#forget(call);
    call.reject(readError(frame, this.#codec));
  }

  /** Handles an Item of an answer. */
  onItem(frame: FrameDecoder): void {
    const call = this.#find(frame.seq);
    if (call === undefined) return;
    if (call.recvStream === undefined) return this.#abandon(call, unexpectedStream(call));
    call.recvStream.receive(frame.bytes, frame.bodyStart, frame.bodyEnd);
  }

  /** Settles the call that the End of an answer belongs to. */
  onEnd(frame: FrameDecoder): void {
    const call = this.#find(frame.seq);
    if (call === undefined) return;
    this.#forget(call);
    if (call.recvStream === undefined) return call.reject(unexpectedStream(call));
    call.recvStream.end(frame.metadata);
    call.resolve(undefined);
  }

  /** Handles credit for a stream of arguments. */
  onCredit(frame: FrameDecoder): void {
    this.#sent.get(frame.seq)?.sendStream?.credit(frame.items, frame.creditBytes);
  }

  /** Saves the arguments that are kept: what has been written so far may be overwritten from now on. */
  saveArgs(): void {
    this.#callWriter.saveArgs();
  }

  /**
   * Sends calls that wait, as far as there is room. Not called as soon as a call ends: when one signal ends many calls,
   * none of them is to be sent because another has made room.
   */
  fill(): void {
    const { waiting } = this.#unsent;
    this.#unsent.trim();
    if (waiting.size === 0) return this.#offerRoom();
    if (!this.#hasRoom()) return;
    // Not the frame writer's time: asking for that would begin another turn, at the end of which this is called again.
    const now = performance.now();
    for (const call of waiting) {
      if (!this.#hasRoom()) return;
      if (call.deadline <= now) continue;
      waiting.delete(call);
      this.#send(call);
    }
    this.#offerRoom();
  }

  /** Whether a call would be sent at once. If not, `onRoom` is called as soon as it would be. */
  takesCalls(): boolean {
    if (!this.#full()) return true;
    this.#roomWanted = true;
    return false;
  }

  /** Moves calls that were not sent to other connections, as far as they can move and `room` returns true. */
  offerWaiting(room: () => boolean): void {
    for (const call of this.#unsent.values()) {
      if (!room()) return;
      const { signal } = call;
      // Not after the move, which gives the call a number of the other connection.
      if (signal !== undefined) this.#signals.remove(signal, call);
      if (call.leaves?.(undefined) === true) this.#unsent.delete(call);
      else if (signal?.aborted) this.#abort(call);
      else if (signal !== undefined) this.#signals.add(signal, call);
    }
  }

  /**
   * Moves all calls that can move to other connections. Streams stay: they are not sent twice.
   *
   * @param reason Why the calls would fail here
   */
  moveAway(reason: RpcError): void {
    this.offerWaiting(() => true);
    for (const call of this.#sent.values()) {
      if (call.recvStream !== undefined || call.sendStream !== undefined) continue;
      if (call.leaves?.(endedWith(reason, false)) !== true) continue;
      writeShort(this.#frameWriter.beginFrame(), Kind.Cancel, call.seq);
      this.#forget(call);
    }
  }

  /** Ends the calls whose deadline has passed, and returns when to look again. */
  expire(now: number): number {
    // The waiting calls first: their errors give the numbers that have kept them waiting.
    for (const call of this.#unsent.takeDue(now)) {
      // The end of one may have ended others.
      if (this.#unsent.has(call)) this.#abandon(call, deadlineExceeded(call, true, this.#whyUnsent(call)));
    }
    for (const call of this.#sent.takeDue(now)) this.#abandon(call, deadlineExceeded(call, false));
    return Math.min(this.#unsent.due, this.#sent.due);
  }

  /** Ends the calls that no handler was started for: those numbered above `lastSeq`, and those never sent. */
  endUnstarted(reason: RpcError, lastSeq: number): void {
    for (const call of [...this.#unsent.values(), ...this.#sent.values()]) {
      if (call.seq === 0 || call.seq > lastSeq) this.#settle(call, endedWith(reason, true));
    }
  }

  /** Ends every call with `reason`. The peer receives Cancels unless it is `gone`. */
  endAll(reason: RpcError, gone: boolean): void {
    this.#closed ||= gone;
    for (const call of [...this.#unsent.values(), ...this.#sent.values()]) {
      this.#abandon(call, endedWith(reason, call.seq === 0));
    }
  }

  #hasRoom(): boolean {
    const frameWriter = this.#frameWriter;
    return this.#sent.size < this.#maxInFlight && !this.held && !frameWriter.encoding &&
      frameWriter.unread <= this.#maxUnsent;
  }

  /** Whether a further call has to wait beyond the end of this turn. */
  #full(): boolean {
    return this.held || this.pending >= this.#maxInFlight || this.#frameWriter.unread > this.#maxUnsent;
  }

  /** Calls `onRoom` if there is room, and it was promised. */
  #offerRoom(): void {
    if (!this.#roomWanted || this.#full()) return;
    this.#roomWanted = false;
    this.#onRoom?.();
  }

  /** What a call was waiting for that was not sent in time. */
  #whyUnsent(call: SessionCall): string {
    if (this.held) return "the peer is silent";
    if (this.#unsent.large.has(call)) return "other large messages were being sent";
    const full = "the connection was full";
    const [inFlight, max, { unread }] = [this.#sent.size, this.#maxInFlight, this.#frameWriter];
    if (inFlight >= max) return `${full}: ${inFlight} of ${max} calls are in flight (the peer's maxInFlight)`;
    return unread > this.#maxUnsent ? `${full}: ${unread} bytes wait to be written (maxUnsentBytes)` : full;
  }

  /** Queues a call until there is room, with its arguments as they are now. Returns whether it is queued. */
  #wait(call: SessionCall): boolean {
    const error = this.#callWriter.keepArgs(call);
    if (error !== undefined) {
      call.reject(endedWith(error, true));
      return false;
    }
    this.#unsent.add(call, this.#unsent.waiting);
    return true;
  }

  /**
   * Sends a call.
   *
   * @param atOnce Whether it is sent even if it is large and others are before it
   * @returns Whether it is in flight then, or waits for its turn
   */
  #send(call: SessionCall, atOnce = false): boolean {
    if (call.recvStream?.closed) {
      // Its consumer has left.
      this.#settle(call, canceled(call.method, undefined, true));
      return false;
    }
    const seq = this.#nextSeq;
    const { args } = call;
    const streams = isAsyncIterable(args);
    const error = this.#callWriter.write(call, seq, streams, atOnce);
    if (error !== undefined) {
      this.#settle(call, endedWith(error, true));
      return false;
    }
    if (this.#callWriter.late) {
      this.#unsent.add(call, this.#unsent.large);
      if (this.#unsent.large.size === 1) this.#frameWriter.addLarge(this.#nextLarge);
      return true;
    }
    this.#nextSeq = seq + 2;
    call.seq = seq;
    this.#sent.add(call);
    if (call.recvStream !== undefined) this.#streaming++;
    if (!streams) return true;
    this.#streams.send(call, args);
    // It may have failed with its first item.
    return this.#sent.has(seq);
  }

  /** Sends the next large call: it is its turn. */
  #takeLarge(): undefined {
    const { waiting, large } = this.#unsent;
    const [call] = large;
    if (call === undefined) return;
    large.delete(call);
    if (this.#hasRoom()) this.#send(call, true);
    else waiting.add(call);
    if (large.size > 0) this.#frameWriter.addLarge(this.#nextLarge);
  }

  /**
   * The call that an answer belongs to; undefined if it has ended.
   *
   * @throws {RpcError} If no call had that number, or too many answers were useless recently
   */
  #find(seq: number): SessionCall | undefined {
    const call = this.#sent.get(seq);
    if (call === undefined && (seq >= this.#nextSeq || (seq & 1) !== (this.#nextSeq & 1))) {
      throw malformed(`call ${seq} was never made`);
    }
    if (call === undefined) this.#floodLimiter.charge();
    return call;
  }

  #abort(call: SessionCall): void {
    this.#abandon(call, canceled(call.method, call.signal?.reason, call.seq === 0));
  }

  /** Ends a call without an answer; the peer receives a Cancel. */
  #abandon(call: SessionCall, error: RpcError): void {
    if (call.seq > 0 && !this.#sent.has(call.seq)) return;
    if (call.seq > 0 && !this.#closed) writeShort(this.#frameWriter.beginFrame(), Kind.Cancel, call.seq);
    this.#settle(call, error);
  }

  #settle(call: SessionCall, error: RpcError): void {
    this.#unsent.delete(call);
    this.#forget(call);
    call.reject(error);
  }

  /** Removes a call from the table, with all that it holds. */
  #forget(call: SessionCall): void {
    if (this.#sent.delete(call.seq) && call.recvStream !== undefined) this.#streaming--;
    call.sendStream?.stop();
    call.recvStream?.release();
    if (call.signal !== undefined) this.#signals.remove(call.signal, call);
    // Waiting calls are sent at the end of a turn, so there must be one.
    if (this.#unsent.waiting.size > 0 || this.#roomWanted) this.#frameWriter.now();
  }
}
