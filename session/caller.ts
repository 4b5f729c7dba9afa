// The calls that this side makes: what waits for room, what waits for an answer, and until when. Owned by a session,
// whose read loop brings the answers. Each call leaves the tables once, with a result or an error.

import { isRpcError, RpcError } from "../call/error.ts";
import { type Metadata, NOT_STARTED, ofApplication, shortened } from "../call/metadata.ts";
import { SignalFanOut } from "../call/signals.ts";
import type { Codec } from "../codec/codec.ts";
import { canceled, deadlineExceeded, endedWith } from "../call/outcome.ts";
import { beginCall, FRAME_HEAD_BYTES, Kind, writeCredit, writeShort } from "../codec/frame.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import { malformed } from "../codec/header_reader.ts";
import { type CallBodies, type CallBody, canChange, KeptBodies } from "./call_body.ts";
import { retryAfterOf } from "./error_frame.ts";
import type { FloodLimiter } from "./flood_limiter.ts";
import type { Agreement } from "./handshake.ts";
import { MAX_EAGER_BYTES, type RecvStream } from "./recv_stream.ts";
import type { SessionLimits } from "./limits.ts";
import { type FrameWriter, textOf, unencodable } from "./frame_writer.ts";
import { PendingTable } from "./pending_table.ts";
import { isAsyncIterable, type Streamable } from "../call/streamable.ts";
import { SendStream } from "./send_stream.ts";

/** One call over one session. */
export interface SessionCall {
  /** Its number on the wire; 0 until the session sends it. */
  seq: number;
  readonly method: string;
  readonly args: unknown;
  /** The encoded arguments, once they are kept: then these are sent. */
  body: CallBody | undefined;
  /** Whether it may be sent again, with the same arguments, so that their encoding is to be kept. */
  readonly repeatable: boolean;
  /** On the clock of `performance.now()`; Infinity = none. */
  readonly deadline: number;
  /** Ends it. */
  readonly signal: AbortSignal | undefined;
  readonly metadata: Metadata | undefined;
  /** The same without what the library has added, such as a trace: sent instead where that is too long. */
  readonly ownMetadata: Metadata | undefined;
  /** Takes the items, where a stream is what the caller wants. */
  readonly recvStream: RecvStream | undefined;
  /** Sends the arguments, where they are a stream; made when the call is sent. */
  sendStream: SendStream | undefined;
  /** Told the result, or that a stream has come to its end, unless it failed. */
  resolve(result: unknown, metadata?: Metadata): void;
  /** Told why it failed. */
  reject(error: RpcError): void;
  /**
   * Takes itself to another connection, if it can and there is a better one: because this one has no room, or because the
   * other side is silent.
   *
   * @param reason Why it would fail here, if it has been sent; undefined if it has not
   * @returns Whether it did, and is not to be settled here any more
   */
  leaves?(reason: RpcError | undefined): boolean;
}

/** What the caller's half of a session is made of. */
export interface CallerOptions {
  /** Whether this side dialled: its calls have odd numbers. */
  readonly dialled: boolean;
  /** `peerMaxInFlight`: how many calls the other side takes at once. */
  readonly agreement: Pick<Agreement, "peerMaxInFlight">;
  /** `maxUnsentBytes`: while more than half of it wait to leave, no further call is sent. */
  readonly limits: Pick<SessionLimits, "maxUnsentBytes">;
  /** Keeps the encoded arguments of calls that wait or may be sent again. */
  readonly bodies: CallBodies;
}

/** The caller's half of a session. */
export class Caller {
  readonly #frameWriter: FrameWriter;
  readonly #codec: Codec;
  readonly #floodLimiter: FloodLimiter;
  readonly #bodies: CallBodies;
  readonly #kept: KeptBodies;
  /** How many calls the other side takes at once. */
  readonly #maxInFlight: number;
  /** While more bytes than this wait to leave, no further call is sent. */
  readonly #maxUnsent: number;
  readonly #sent = new PendingTable<SessionCall>();
  /** Calls that wait for room, oldest first. */
  readonly #waiting = new Set<SessionCall>();
  readonly #signals = new SignalFanOut<SessionCall>((call) => this.#abort(call));
  readonly #room: (() => void) | undefined;
  #nextSeq: number;
  #closed = false;
  /** Whether a call looked for room in vain, so that `room` is to be called when there is some. */
  #wanted = false;
  /** Whether calls wait although there is room, since it is doubtful whether the other side is there. */
  held = false;
  /** Whether any call waits for a single answer; as of the last look for those whose deadline has come. */
  awaiting = false;

  /**
   * @param floodLimiter Told of answers, and of those that nobody waits for
   * @param room Called when there is room, after {@linkcode takesCalls} said that there was none
   */
  constructor(
    frameWriter: FrameWriter,
    codec: Codec,
    options: CallerOptions,
    floodLimiter: FloodLimiter,
    room: (() => void) | undefined,
  ) {
    this.#room = room;
    this.#frameWriter = frameWriter;
    this.#codec = codec;
    this.#floodLimiter = floodLimiter;
    this.#bodies = options.bodies;
    this.#kept = new KeptBodies(options.bodies);
    this.#maxInFlight = options.agreement.peerMaxInFlight;
    this.#maxUnsent = options.limits.maxUnsentBytes / 2;
    this.#nextSeq = options.dialled ? 1 : 2;
  }

  /** Calls that are not settled. */
  get pending(): number {
    return this.#sent.size + this.#waiting.size;
  }

  /** Sends a call, or lets it wait until there is room for it. */
  call(call: SessionCall): void {
    const { signal, recvStream } = call;
    if (signal?.aborted) return this.#abort(call);
    const waits = this.#waiting.size > 0 || !this.#hasRoom();
    if (waits && this.#full() && call.leaves?.(undefined) === true) return;
    if (recvStream !== undefined) this.#attach(call, recvStream);
    if (waits) {
      if (!this.#wait(call)) return;
    } else if (!this.#send(call)) {
      return;
    }
    if (signal === undefined) return;
    // A getter in the arguments may have aborted it.
    if (signal.aborted) this.#abort(call);
    else this.#signals.add(signal, call);
  }

  /**
   * Settles the call that a Reply belongs to.
   *
   * @throws {RpcError} If it comes behind Items
   */
  onReply(frame: FrameDecoder): void {
    const call = this.#find(frame.seq);
    if (call === undefined) return;
    if (call.recvStream?.started) throw malformed("a reply comes behind items");
    this.#floodLimiter.refund();
    this.#forget(call);
    if (frame.bodyStart === frame.bodyEnd) return call.resolve(undefined, frame.metadata);
    let result: unknown;
    try {
      result = this.#codec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd);
    } catch (error) {
      const message = `Cannot decode the result of ${call.method}: ${textOf(error)}`;
      return call.reject(new RpcError("data_loss", message, { cause: error }));
    }
    call.resolve(result, frame.metadata);
  }

  /** Settles the call that an Error belongs to. */
  onError(frame: FrameDecoder): void {
    const call = this.#find(frame.seq);
    if (call === undefined) return;
    this.#forget(call);
    let details: unknown;
    try {
      if (frame.bodyStart < frame.bodyEnd) {
        details = this.#codec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd);
      }
    } catch {
      // The error itself is worth more than its details.
    }
    const notStarted = frame.metadata?.has(NOT_STARTED) ?? false;
    const retryAfter = retryAfterOf(frame.metadata);
    const metadata = ofApplication(frame.metadata);
    const about = { details, remote: true, notStarted, retryAfter, metadata };
    call.reject(new RpcError(frame.code, frame.message, about));
  }

  /** Takes an Item of an answer. */
  onItem(frame: FrameDecoder): void {
    const { seq, bytes, bodyStart, bodyEnd } = frame;
    const call = this.#find(seq);
    if (call === undefined) return;
    const { recvStream, method } = call;
    if (recvStream === undefined) {
      return this.#abandon(
        call,
        new RpcError("unimplemented", `${method} answers with a stream: use stream()`),
      );
    }
    const size = bodyEnd - bodyStart;
    if (!recvStream.spend(size)) return;
    if (size > MAX_EAGER_BYTES && !recvStream.awaited) {
      return recvStream.pushUnread(this.#reading(call, bytes.slice(bodyStart, bodyEnd)), size);
    }
    let item: unknown;
    try {
      item = this.#decodeItem(call, bytes, bodyStart, bodyEnd);
    } catch {
      return; // the call has been abandoned
    }
    recvStream.push(item, size);
  }

  /** Takes the End of an answer. */
  onEnd(frame: FrameDecoder): void {
    const call = this.#find(frame.seq);
    if (call === undefined) return;
    this.#forget(call);
    if (call.recvStream === undefined) {
      call.reject(new RpcError("unimplemented", `${call.method} answers with a stream: use stream()`));
    } else {
      call.recvStream.end(frame.metadata);
      call.resolve(undefined);
    }
  }

  /** Takes credit for a stream of arguments. */
  onCredit(frame: FrameDecoder): void {
    this.#sent.get(frame.seq)?.sendStream?.credit(frame.items, frame.creditBytes);
  }

  /** What has been written so far may be overwritten from now on: saves the arguments that are kept. */
  saveArgs(): void {
    this.#kept.save();
  }

  /**
   * Sends calls that wait, as far as there is room. Not as soon as a call ends: of many that end at once, such as by
   * one signal, none is to be sent for the room that another has left.
   */
  fill(): void {
    if (this.#waiting.size === 0) return this.#offerRoom();
    if (!this.#hasRoom()) return;
    // Not the turn's time: asking for that would begin another turn, at whose end this would be asked again.
    const now = performance.now();
    for (const call of this.#waiting) {
      if (!this.#hasRoom()) return;
      if (call.deadline <= now) continue;
      this.#waiting.delete(call);
      this.#send(call);
    }
    this.#offerRoom();
  }

  /** Whether a call would be sent at once. If not, `room` is called when it would be. */
  takesCalls(): boolean {
    if (!this.#full()) return true;
    this.#wanted = true;
    return false;
  }

  /** Lets calls go that have not been sent and can be made over another connection, while there is `room`. */
  offerWaiting(room: () => boolean): void {
    for (const call of this.#waiting) {
      if (!room()) return;
      const { signal } = call;
      // Once it has left, it has a number of the other connection.
      if (signal !== undefined) this.#signals.remove(signal, call);
      if (call.leaves?.(undefined) === true) this.#waiting.delete(call);
      else if (signal?.aborted) this.#abort(call);
      else if (signal !== undefined) this.#signals.add(signal, call);
    }
  }

  /**
   * Lets all calls go that can be made over another connection. Streams stay: they are not sent twice.
   *
   * @param reason Why they would fail here
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

  /** Ends the calls whose deadline has come, and returns the next deadline. */
  expire(now: number): number {
    let next = Infinity;
    this.awaiting = false;
    for (const calls of [this.#sent.values(), this.#waiting]) {
      for (const call of calls) {
        if (call.deadline <= now) {
          this.#abandon(call, deadlineExceeded(call.method, call.seq === 0, this.#whyUnsent(call)));
          continue;
        }
        if (call.deadline < next) next = call.deadline;
        if (call.recvStream === undefined) this.awaiting = true;
      }
    }
    return next;
  }

  /** Ends the calls numbered above `lastSeq` and those never sent, which no handler has seen. */
  endUnstarted(reason: RpcError, lastSeq: number): void {
    for (const call of [...this.#waiting, ...this.#sent.values()]) {
      if (call.seq === 0 || call.seq > lastSeq) this.#settle(call, endedWith(reason, true));
    }
  }

  /** Ends every call with `reason`. The other side is told to stop unless it is gone. */
  endAll(reason: RpcError, gone: boolean): void {
    this.#closed ||= gone;
    for (const call of [...this.#waiting, ...this.#sent.values()]) {
      this.#abandon(call, endedWith(reason, call.seq === 0));
    }
  }

  #hasRoom(): boolean {
    const frameWriter = this.#frameWriter;
    return this.#sent.size < this.#maxInFlight && !this.held && !frameWriter.encoding &&
      frameWriter.unread <= this.#maxUnsent;
  }

  /** Whether a further call has to wait for longer than until this turn is over. */
  #full(): boolean {
    return this.held || this.pending >= this.#maxInFlight || this.#frameWriter.unread > this.#maxUnsent;
  }

  /** Calls `room` once there is some, if a call looked for it in vain. */
  #offerRoom(): void {
    if (!this.#wanted || this.#full()) return;
    this.#wanted = false;
    this.#room?.();
  }

  /** What a call has been waiting for that was not sent in time. */
  #whyUnsent(call: SessionCall): string | undefined {
    if (call.seq > 0) return undefined;
    if (this.held) return "the other side of the connection is silent";
    const inFlight = this.#sent.size;
    if (inFlight >= this.#maxInFlight) {
      return `the connection was full: ${inFlight} of ${this.#maxInFlight} calls are in flight (maxInFlight of the other side)`;
    }
    return `the connection was full: ${this.#frameWriter.unread} bytes wait to be written (maxUnsentBytes)`;
  }

  /** Lets a call wait for room, with its arguments as they are now. Returns whether it does. */
  #wait(call: SessionCall): boolean {
    if (call.body === undefined && canChange(call.args)) {
      try {
        if (this.#bodies.full) throw this.#bodies.refusal(call.method);
        call.body = this.#bodies.encode(call.args, this.#codec);
      } catch (error) {
        call.reject(endedWith(unencodable(error), true));
        return false;
      }
    }
    this.#waiting.add(call);
    return true;
  }

  #send(call: SessionCall): boolean {
    const frameWriter = this.#frameWriter;
    if (call.recvStream?.closed) {
      // Nobody wants it any more.
      this.#settle(call, canceled(call.method, undefined, true));
      return false;
    }
    // Less than 1 ms left is sent as 1: 0 would mean no limit.
    const left = Math.floor(call.deadline - frameWriter.now());
    const timeout = call.deadline === Infinity ? 0 : Math.min(Math.max(1, left), Number.MAX_SAFE_INTEGER);
    const seq = this.#nextSeq;
    const { args, body } = call;
    const streams = isAsyncIterable(args);
    const out = frameWriter.beginFrame();
    const start = out.length;
    beginCall(out, seq, call.method, timeout, call.metadata);
    let bodyStart = out.length;
    // A call without a body says that its arguments follow as items.
    const value = streams ? undefined : args === undefined ? null : args;
    let error = frameWriter.endFrame(out, start, value, body);
    if (error?.code === "resource_exhausted" && call.metadata !== call.ownMetadata) {
      for (const metadata of shortened(call.metadata, call.ownMetadata)) {
        beginCall(out, seq, call.method, timeout, metadata);
        bodyStart = out.length;
        error = frameWriter.endFrame(out, start, value, body);
        if (error?.code !== "resource_exhausted") break;
      }
    }
    if (error !== undefined) {
      this.#settle(call, endedWith(error, true));
      return false;
    }
    if (call.repeatable && body === undefined && !streams && typeof args === "object" && args !== null) {
      call.body = this.#kept.keep(out, bodyStart, start + FRAME_HEAD_BYTES + frameWriter.frameLength);
    }
    this.#nextSeq = seq + 2;
    call.seq = seq;
    this.#sent.add(call);
    if (!streams) return true;
    this.#sendItems(call, args);
    // It may have failed with its first item.
    return this.#sent.has(seq);
  }

  #attach(call: SessionCall, recvStream: RecvStream): void {
    recvStream.attach({
      grant: (items, bytes) => writeCredit(this.#frameWriter.beginFrame(), call.seq, items, bytes),
      consumerLeft: () => {
        if (call.seq === 0 && !this.#waiting.has(call)) return;
        this.#abandon(call, new RpcError("canceled", `The stream of ${call.method} was left`));
      },
    });
  }

  async #sendItems(call: SessionCall, source: Streamable): Promise<void> {
    const sink = this.#frameWriter.streamSink(
      call.seq,
      this.#maxUnsent,
      (error) => this.#abandon(call, error),
    );
    const flow = call.sendStream = new SendStream(sink);
    try {
      if (await flow.send(source)) writeShort(this.#frameWriter.beginFrame(), Kind.End, call.seq);
    } catch (error) {
      const message = `The arguments of ${call.method} failed: ${textOf(error)}`;
      this.#abandon(call, isRpcError(error) ? error : new RpcError("canceled", message, { cause: error }));
    }
  }

  /** The call that an answer belongs to; undefined if it is over. A number that was never used is no matter of timing. */
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

  /** Decodes an item later. Apart, since who makes a closure makes room for what it keeps as soon as it is called. */
  #reading(call: SessionCall, bytes: Uint8Array): () => unknown {
    return () => this.#decodeItem(call, bytes, 0, bytes.length);
  }

  /**
   * Decodes an item of an answer.
   *
   * @throws {RpcError} If that cannot be done; the call has been abandoned then
   */
  #decodeItem(call: SessionCall, bytes: Uint8Array, start: number, end: number): unknown {
    try {
      return start < end ? this.#codec.decode(bytes, start, end) : undefined;
    } catch (cause) {
      const error = new RpcError("data_loss", `Cannot decode an item of ${call.method}: ${textOf(cause)}`, {
        cause,
      });
      this.#abandon(call, error);
      throw error;
    }
  }

  /** Ends a call without an answer, and tells the other side that nobody waits any more. */
  #abandon(call: SessionCall, error: RpcError): void {
    if (call.seq > 0 && !this.#sent.has(call.seq)) return;
    if (call.seq > 0 && !this.#closed) writeShort(this.#frameWriter.beginFrame(), Kind.Cancel, call.seq);
    this.#settle(call, error);
  }

  #settle(call: SessionCall, error: RpcError): void {
    this.#waiting.delete(call);
    this.#forget(call);
    call.reject(error);
  }

  /** Takes a call out of the table, and all that it holds. */
  #forget(call: SessionCall): void {
    this.#sent.delete(call.seq);
    call.sendStream?.stop();
    if (call.signal !== undefined) this.#signals.remove(call.signal, call);
    // Whoever waits gets the room when the turn is over, so there must be one.
    if (this.#waiting.size > 0 || this.#wanted) this.#frameWriter.now();
  }
}
