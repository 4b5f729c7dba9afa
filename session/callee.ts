// The callee's half of a session: frames of the calls that the peer makes, and of their answers. Owned by a session, whose
// read loop passes the frames; the calls are answered by a CallRunner.

import { RpcError } from "../call/error.ts";
import type { Identity, Lookup, PeerCertificate } from "../call/handler.ts";
import { applicationMetadata, type Metadata } from "../call/metadata.ts";
import type { Codec } from "../codec/codec.ts";
import { beginEnd, beginReply, writeCredit } from "../codec/frame.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import {
  type CalleeHalf,
  type CalleeOwner,
  type CalleeParts,
  checkOrder,
  type CreateCallee,
} from "./callee_half.ts";
import { CallRunner, type RunnerOwner, toRpcError } from "./call_runner.ts";
import { writeError } from "./error_frame.ts";
import type { FloodLimiter } from "./flood_limiter.ts";
import { type FrameWriter, textOf } from "./frame_writer.ts";
import { IncomingCall, type Requester } from "./incoming_call.ts";
import { itemDecoder } from "./item_buffer.ts";
import { RecvStream } from "./recv_stream.ts";
import { SendStream } from "./send_stream.ts";
import type { SessionCall } from "./session_call.ts";

/** The callee's half of a session: what its peer's calls are answered by, and answered to. */
class Callee implements CalleeHalf, Requester, RunnerOwner {
  /** Answers the calls. */
  readonly runner: CallRunner;
  readonly countsByTurn = true;
  readonly #parts: CalleeParts;
  readonly #frameWriter: FrameWriter;
  readonly #floodLimiter: FloodLimiter;
  readonly #codec: Codec;
  readonly #owner: CalleeOwner;
  readonly #lookup: Lookup;
  #lastSeq = 0;
  /** Why no more credit arrives, once the peer has ended its side. */
  #noCreditReason: RpcError | undefined;

  /** @param lookup Finds the methods */
  constructor(parts: CalleeParts, codec: Codec, owner: CalleeOwner, lookup: Lookup) {
    this.#parts = parts;
    this.#frameWriter = parts.frameWriter;
    this.#floodLimiter = parts.floodLimiter;
    this.#codec = codec;
    this.#owner = owner;
    this.#lookup = lookup;
    this.runner = new CallRunner(parts.options, this);
  }

  /** The highest number of a call received; 0 = none. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /**
   * Handles a Call.
   *
   * @param arrived When its bytes arrived, on the frame writer's clock
   * @throws {RpcError} If its number breaks the protocol, or too many calls were refused recently
   */
  onCall(frame: FrameDecoder, arrived: number): void {
    const { seq, method } = frame;
    checkOrder(seq, this.#lastSeq);
    const deadline = arrived + shortest(frame.timeout, this.#parts.options.agreement.handleTimeout);
    let call: IncomingCall, args: unknown;
    try {
      this.runner.admit(method, arrived, deadline);
      const target = this.#lookup(method, this);
      args = this.#takeArgs(frame);
      const metadata = applicationMetadata(frame.metadata);
      call = new IncomingCall(method, this, metadata, deadline, seq, target, arrived);
    } catch (error) {
      return this.#refuse(seq, toRpcError(error));
    }
    if (call.target.unknown) this.#floodLimiter.charge();
    this.#lastSeq = seq;
    if (frame.bodyStart === frame.bodyEnd) this.#attach(call, args as RecvStream);
    this.runner.run(call, args);
  }

  /**
   * Handles an Item of a stream of arguments.
   *
   * @throws {RpcError} If it arrives without credit or after its End
   */
  onItem(frame: FrameDecoder): void {
    this.#expectStream(frame.seq)?.recvStream?.receive(frame.bytes, frame.bodyStart, frame.bodyEnd);
  }

  /**
   * Handles the End of a stream of arguments.
   *
   * @throws {RpcError} If it is the second
   */
  onEnd(seq: number): void {
    this.#expectStream(seq)?.recvStream?.end();
  }

  /**
   * Handles credit for a stream of answers.
   *
   * @throws {RpcError} If the sum is above 2^53-1, or too much credit was useless recently
   */
  onCredit(frame: FrameDecoder): void {
    const call = this.runner.inFlight.get(frame.seq);
    if (call === undefined || call.answered) return this.#floodLimiter.charge();
    // Credit may arrive before the handler has returned an iterable.
    const stream = call.sendStream ??= this.openStream(call);
    stream.credit(frame.items, frame.creditBytes);
  }

  /**
   * Handles a Cancel.
   *
   * @throws {RpcError} If there were too many recently
   */
  onCancel(seq: number): void {
    const call = this.runner.inFlight.get(seq);
    if (call !== undefined) {
      const reason = new RpcError("canceled", `Call of ${call.method} was canceled by its caller`);
      this.runner.abandon(call, reason);
    }
    this.#floodLimiter.charge();
  }

  /** The peer has ended its side: no more arguments arrive, and no credit. */
  endOfInput(reason: RpcError): void {
    this.#noCreditReason = reason;
    for (const call of this.runner.inFlight.values()) {
      call.recvStream?.fail(reason, false);
      call.sendStream?.endCredit(reason);
    }
  }

  // What calls see of their requester.

  get address(): string {
    return this.#parts.conn.peer;
  }

  get certificate(): PeerCertificate | undefined {
    return this.#parts.conn.certificate;
  }

  get identity(): Identity | undefined {
    return this.#parts.options.agreement.identity;
  }

  now(): number {
    return this.#frameWriter.now();
  }

  callBack(call: SessionCall): void {
    this.#owner.callBack(call);
  }

  // Called by the runner.

  answer(
    { seq, method }: IncomingCall,
    value: unknown,
    metadata: Metadata | undefined,
  ): RpcError | undefined {
    const out = this.#frameWriter.beginFrame();
    const start = out.length;
    beginReply(out, seq, metadata);
    const error = this.#frameWriter.endFrame(out, start, value, method);
    if (error !== undefined) return error;
    if (this.#frameWriter.isLate(out, start)) this.#frameWriter.postpone(start);
    this.#floodLimiter.refund();
    return undefined;
  }

  end({ seq }: IncomingCall, metadata: Metadata | undefined): RpcError | undefined {
    const out = this.#frameWriter.beginFrame();
    const start = out.length;
    beginEnd(out, seq, metadata);
    const error = this.#frameWriter.endFrame(out, start, undefined);
    if (error === undefined) this.#floodLimiter.refund();
    return error;
  }

  fail(
    { seq, target }: IncomingCall,
    error: RpcError,
    metadata: Metadata | undefined,
    notStarted: boolean,
  ): RpcError | undefined {
    if (!target.unknown) this.#floodLimiter.refund();
    return writeError(this.#frameWriter, seq, error, metadata, notStarted);
  }

  openStream(call: IncomingCall): SendStream {
    const most = this.#parts.options.limits.maxUnsentBytes / 2;
    const sink = this.#frameWriter.streamSink(
      call.seq,
      call.method,
      most,
      (error) => this.runner.failUnsent(call, error, "an item"),
    );
    const stream = new SendStream(sink);
    if (this.#noCreditReason !== undefined) stream.endCredit(this.#noCreditReason);
    return stream;
  }

  onUnanswered(call: IncomingCall): void {
    this.#parts.alarm.by(call.deadline);
  }

  onSettled(): void {
    this.#owner.onSettled();
  }

  /** The arguments of a Call: its body, in which null means no arguments, or a stream whose items follow. */
  #takeArgs(frame: FrameDecoder): unknown {
    if (frame.bodyStart === frame.bodyEnd) return new RecvStream();
    try {
      return this.#codec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd) ?? undefined;
    } catch (cause) {
      this.#frameWriter.messageLog.rejected(frame.method, cause);
      const message = `Cannot decode the arguments of ${frame.method}: ${textOf(cause)}`;
      throw new RpcError("invalid_argument", message);
    }
  }

  #attach(call: IncomingCall, recvStream: RecvStream): void {
    call.recvStream = recvStream;
    recvStream.attach({
      grant: (items, bytes) => {
        if (!call.answered) writeCredit(this.#frameWriter.beginFrame(), call.seq, items, bytes);
      },
      decode: itemDecoder(this.#codec, (cause) => this.#failUndecodable(call, cause)),
      // No frame says that arguments are not wanted: the sender runs out of credit.
      consumerLeft: () => {},
    }, this.#parts.windows);
  }

  /** Answers a call of which an item cannot be decoded. */
  #failUndecodable(call: IncomingCall, cause: unknown): RpcError {
    this.#frameWriter.messageLog.rejected(call.method, cause);
    const message = `Cannot decode an item of the arguments of ${call.method}: ${textOf(cause)}`;
    const error = new RpcError("invalid_argument", message);
    this.runner.giveUp(call, error);
    return error;
  }

  /** The call that an Item or an End belongs to; undefined if it has ended. */
  #expectStream(seq: number): IncomingCall | undefined {
    const call = this.runner.inFlight.get(seq);
    if (call === undefined || call.answered) return undefined;
    if (call.recvStream !== undefined) return call;
    const message = `${call.method} was called with one value, not a stream`;
    this.runner.giveUp(call, new RpcError("invalid_argument", message));
    return undefined;
  }

  /**
   * Answers a call whose handler was not started.
   *
   * @throws {RpcError} If too many calls were refused recently: then the call is not answered
   */
  #refuse(seq: number, error: RpcError): void {
    this.#floodLimiter.charge();
    this.#lastSeq = seq;
    // The error carries nothing of the application's, so nothing is left out.
    writeError(this.#frameWriter, seq, error, undefined, true);
  }
}

/** Creates callees for the methods that `lookup` finds. */
export function calleeWith(lookup: Lookup): CreateCallee {
  return (parts, codec, owner) => new Callee(parts, codec, owner, lookup);
}

/** The shorter of two limits in ms, where 0 means no limit; Infinity if neither is set. */
function shortest(a: number, b: number): number {
  return Math.min(a === 0 ? Infinity : a, b === 0 ? Infinity : b);
}
