// The calls that the other side makes: looked up, started, answered once. Owned by a session, whose read loop brings
// them. A call stays in the table until its handler has returned, even when its caller has long been answered.

import { ambient } from "../call/ambient.ts";
import type { Lookup, Method } from "../call/handler.ts";
import { isRpcError, RpcError } from "../call/error.ts";
import { shownName } from "../call/identity.ts";
import { shownMethod } from "../call/method_name.ts";
import { applicationMetadata, type Metadata, toMetadata } from "../call/metadata.ts";
import type { ServerCallObserver } from "../call/call_observer.ts";
import { deadlineExceeded } from "../call/outcome.ts";
import { isStreamable, type Streamable } from "../call/streamable.ts";
import { isThenable } from "../call/thenable.ts";
import type { Codec } from "../codec/codec.ts";
import { beginEnd, beginReply, writeCredit } from "../codec/frame.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import { malformed } from "../codec/header_reader.ts";
import { writeError } from "./error_frame.ts";
import type { FloodLimiter } from "./flood_limiter.ts";
import { IncomingCall } from "./incoming_call.ts";
import type { Agreement } from "./handshake.ts";
import { MAX_EAGER_BYTES, RecvStream } from "./recv_stream.ts";
import type { SessionLimits } from "./limits.ts";
import { type FrameWriter, textOf } from "./frame_writer.ts";
import { CoDel } from "./codel.ts";
import type { PeerSession } from "./session_peer.ts";
import type { PeerCallSlots } from "./call_slots.ts";
import type { LimitCounters } from "./limit_counters.ts";
import { SendStream } from "./send_stream.ts";

/** What the callee's half of a session is made of. */
export interface CalleeOptions {
  /** Who answers; absent = nobody. */
  readonly lookup?: Lookup;
  /**
   * `maxInFlight`: the other side's calls at once; `maxQueueTime`: how long they may wait, in ms; `maxUnsentBytes`:
   * streams wait while more than half of it does.
   */
  readonly limits: Pick<SessionLimits, "maxInFlight" | "maxQueueTime" | "maxUnsentBytes">;
  /** Counts with all sessions of this server or client. */
  readonly counters: LimitCounters;
  /** Places for handlers, which all connections of a server share; absent = as many as there are calls. */
  readonly slots?: PeerCallSlots;
  /** `handleTimeout`: ms for one call; 0 = no limit. */
  readonly agreement: Pick<Agreement, "handleTimeout">;
  /** Makes what a handler threw an error for its caller; undefined = it is nobody's business. */
  readonly mapError?: (error: unknown) => RpcError | undefined;
  /** Told of handlers' failures. */
  readonly log?: (message: string, error?: unknown) => void;
}

/** Whoever a callee works for. */
export interface CalleeOwner extends PeerSession {
  /** Asks for `expire` at a deadline. */
  wakeBy(at: number): void;
  /** A call has been answered, or its handler has returned. */
  onSettled(): void;
}

/** The callee's half of a session. */
export class Callee {
  readonly #frameWriter: FrameWriter;
  readonly #codec: Codec;
  readonly #options: CalleeOptions;
  readonly #owner: CalleeOwner;
  /** Made for the first call that is not answered at once: there are connections on which none ever comes. */
  #running: Map<number, IncomingCall> | undefined;
  #owed = 0;
  #lastSeq = 0;
  readonly #gate: CoDel;
  readonly #floodLimiter: FloodLimiter;
  /** Why no credit comes any more, once that is so. */
  #dry: RpcError | undefined;
  /** Why no call is answered any more, once that is so. */
  #ended: RpcError | undefined;
  /** Calls answered in this turn, of one method and one arrival: measured together when it ends. */
  #measured: Method | undefined;
  #measuredSince = 0;
  #measuredCount = 0;

  /** @param floodLimiter Told of calls that are refused, canceled, or answered */
  constructor(
    frameWriter: FrameWriter,
    codec: Codec,
    options: CalleeOptions,
    floodLimiter: FloodLimiter,
    owner: CalleeOwner,
  ) {
    this.#frameWriter = frameWriter;
    this.#codec = codec;
    this.#options = options;
    this.#floodLimiter = floodLimiter;
    this.#gate = new CoDel(options.limits.maxQueueTime);
    this.#owner = owner;
  }

  /** The highest call taken up; 0 = none. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Calls whose handlers have not returned. */
  get running(): number {
    return this.#running?.size ?? 0;
  }

  /** These calls, oldest first. */
  get calls(): Iterable<IncomingCall> {
    return this.#running?.values() ?? [];
  }

  /** Calls that are still owed an answer. */
  get owed(): number {
    return this.#owed;
  }

  /**
   * Takes up a Call.
   *
   * @param arrived When its bytes came, on the frameWriter's clock
   * @throws {RpcError} If its number breaks the protocol, or there were too many too often
   */
  onCall(frame: FrameDecoder, arrived: number): void {
    const { seq, method } = frame;
    if (seq <= this.#lastSeq) throw malformed(`call ${seq} comes after call ${this.#lastSeq}`);
    const { lookup, agreement } = this.#options;
    const deadline = arrived + shortest(frame.timeout, agreement.handleTimeout);
    let call: IncomingCall, args: unknown;
    try {
      this.#admit(method, arrived, deadline);
      if (lookup === undefined) {
        throw new RpcError("unimplemented", "This side of the connection answers no calls");
      }
      const target = lookup(method, this.#owner);
      args = this.#takeArgs(frame);
      call = new IncomingCall(
        method,
        this.#owner,
        applicationMetadata(frame.metadata),
        deadline,
        seq,
        target,
        arrived,
      );
    } catch (error) {
      return this.#refuse(seq, toRpcError(error));
    }
    if (call.target.unknown) this.#floodLimiter.charge();
    this.#lastSeq = seq;
    if (frame.bodyStart === frame.bodyEnd) this.#attach(call, args as RecvStream);
    const { observer } = call.target;
    if (observer !== undefined) call.observer = observer.begin(call);
    // Before the handler runs: one that shuts its server down is still answered.
    this.#owed++;
    this.#start(call, args);
  }

  /**
   * Takes an Item of a stream of arguments.
   *
   * @throws {RpcError} If it comes without credit or behind its End
   */
  onItem(frame: FrameDecoder): void {
    const { seq, bytes, bodyStart, bodyEnd } = frame;
    const size = bodyEnd - bodyStart;
    const call = this.#expectStream(seq);
    const recvStream = call?.recvStream;
    if (call === undefined || recvStream?.spend(size) !== true) return;
    if (size > MAX_EAGER_BYTES && !recvStream.awaited) {
      return recvStream.pushUnread(this.#reading(call, bytes.slice(bodyStart, bodyEnd)), size);
    }
    let item: unknown;
    try {
      item = this.#decodeItem(call, bytes, bodyStart, bodyEnd);
    } catch {
      return; // the call has been given up
    }
    recvStream.push(item, size);
  }

  /**
   * Takes the End of a stream of arguments.
   *
   * @throws {RpcError} If it is the second
   */
  onEnd(seq: number): void {
    this.#expectStream(seq)?.recvStream?.end();
  }

  /**
   * Takes credit for a stream of answers.
   *
   * @throws {RpcError} If the sum is above 2^53-1
   */
  onCredit(frame: FrameDecoder): void {
    const call = this.#running?.get(frame.seq);
    // It may come before the handler has said that it streams.
    if (call === undefined || call.answered) this.#floodLimiter.charge();
    else this.#sendStream(call).credit(frame.items, frame.creditBytes);
  }

  /** Aborts a call that nobody waits for any more. */
  onCancel(seq: number): void {
    const call = this.#running?.get(seq);
    if (call !== undefined) {
      this.#abandon(call, new RpcError("canceled", `Call of ${call.method} was canceled by its caller`));
    }
    this.#floodLimiter.charge();
  }

  /** Answers the calls whose deadline has come, and returns the next deadline. */
  expire(now: number): number {
    let next = Infinity;
    for (const call of this.#running?.values() ?? []) {
      if (call.answered) continue;
      if (call.deadline > now) {
        next = Math.min(next, call.deadline);
        continue;
      }
      this.#giveUp(call, deadlineExceeded(call.method));
    }
    return next;
  }

  /**
   * Ends calls whose handlers have waited for the other side's credit or arguments, and for nothing else.
   *
   * @param limit For how long, in ms, as far as that was seen: it takes two looks
   */
  endStalled(now: number, limit: number): void {
    for (const call of this.#running?.values() ?? []) {
      if (call.answered || !call.stalled(now, limit)) continue;
      this.#options.counters.stallTimeout++;
      const message =
        `${call.method} has waited ${limit} ms for its caller, and few slots are left (stallTimeout)`;
      this.#giveUp(call, new RpcError("resource_exhausted", message));
    }
  }

  /** Nothing comes any more: neither arguments that have not ended, nor credit. */
  endOfInput(reason: RpcError): void {
    this.#dry = reason;
    for (const call of this.#running?.values() ?? []) {
      call.recvStream?.fail(reason, false);
      call.sendStream?.endCredit(reason);
    }
  }

  /** Aborts every call; none is answered any more. */
  endAll(reason: RpcError): void {
    this.#ended ??= reason;
    for (const call of [...this.#running?.values() ?? []]) this.#abandon(call, reason);
  }

  /** Tells methods how long the calls took that were answered in this turn, which is over. */
  measure(): void {
    const method = this.#measured;
    if (method === undefined) return;
    this.#measured = undefined;
    method.answered(undefined, performance.now() - this.#measuredSince, this.#measuredCount);
  }

  /**
   * Lets a call in for which there is room and time.
   *
   * @throws {RpcError} Why it is refused
   */
  #admit(method: string, arrived: number, deadline: number): void {
    const { limits, counters, slots } = this.#options;
    const now = this.#frameWriter.now();
    if (deadline <= now) {
      counters.expired++;
      throw deadlineExceeded(method);
    }
    if (this.running >= limits.maxInFlight) {
      counters.inFlight++;
      throw exhausted(`More than ${limits.maxInFlight} calls are in flight`);
    }
    if (slots !== undefined && !slots.admits(now)) {
      counters.inFlightTotal++;
      throw exhausted("Too many calls are in flight on all connections");
    }
    if (!this.#gate.admits(now - arrived, deadline - now, now)) {
      counters.queueTime++;
      const waited = Math.ceil(now - arrived);
      throw exhausted(`More is asked for than there is time for: the call has waited ${waited} ms`, waited);
    }
  }

  /** The arguments of a Call: its body, where null says that there is none, or a stream that is to follow. */
  #takeArgs(frame: FrameDecoder): unknown {
    if (frame.bodyStart === frame.bodyEnd) return new RecvStream();
    try {
      return this.#codec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd) ?? undefined;
    } catch (error) {
      throw new RpcError(
        "invalid_argument",
        `Cannot decode the arguments of ${frame.method}: ${textOf(error)}`,
      );
    }
  }

  #start(call: IncomingCall, args: unknown): void {
    let result: unknown;
    try {
      result = ambient.enabled || call.observer !== undefined
        ? startWithin(call, args)
        : call.target.start(args, call);
      if (isThenable(result)) {
        this.#keep(call);
        return this.#follow(call, result);
      }
      if (isStreamable(result)) {
        this.#keep(call);
        return void this.#stream(call, result);
      }
    } catch (error) {
      this.#fail(call, error);
      return this.#returned(call);
    }
    // Answered without a promise: most of what a call costs is then its bytes.
    this.#answer(call, result);
    this.#returned(call);
  }

  /** Keeps a call that is not answered at once. */
  #keep(call: IncomingCall): void {
    (this.#running ??= new Map()).set(call.seq, call);
    this.#options.slots?.take();
    this.#owner.wakeBy(call.deadline);
    // The handler itself may have closed the connection before it returned a promise.
    if (this.#ended !== undefined) this.#abandon(call, this.#ended);
  }

  #follow(call: IncomingCall, result: PromiseLike<unknown>): void {
    // A thenable of somebody else's may call back twice, or not be at its end.
    Promise.resolve(result).then((value) => {
      if (isStreamable(value)) return void this.#stream(call, value);
      this.#answer(call, value);
      this.#returned(call);
      return undefined;
    }, (error) => {
      this.#fail(call, error);
      this.#returned(call);
    });
  }

  /** Answers with the items of an iterable. */
  async #stream(call: IncomingCall, source: Streamable): Promise<void> {
    const flow = this.#sendStream(call);
    // It may have been given up while its handler was still thinking.
    if (call.answered) flow.stop();
    try {
      if (await within(call, () => flow.send(source))) this.#answer(call, undefined, true);
    } catch (error) {
      this.#fail(call, error);
    }
    this.#returned(call);
  }

  #sendStream(call: IncomingCall): SendStream {
    if (call.sendStream !== undefined) return call.sendStream;
    const most = this.#options.limits.maxUnsentBytes / 2;
    const sink = this.#frameWriter.streamSink(
      call.seq,
      most,
      (error) => this.#failUnsent(call, error, "an item"),
    );
    const flow = call.sendStream = new SendStream(sink);
    if (this.#dry !== undefined) flow.endCredit(this.#dry);
    return flow;
  }

  #attach(call: IncomingCall, recvStream: RecvStream): void {
    call.recvStream = recvStream;
    recvStream.attach({
      grant: (items, bytes) => {
        if (!call.answered) writeCredit(this.#frameWriter.beginFrame(), call.seq, items, bytes);
      },
      // Whoever sends runs out of credit; there is no frame that would tell it more.
      consumerLeft: () => {},
    });
  }

  /** Decodes an item later. Apart, since who makes a closure makes room for what it keeps as soon as it is called. */
  #reading(call: IncomingCall, bytes: Uint8Array): () => unknown {
    return () => this.#decodeItem(call, bytes, 0, bytes.length);
  }

  /**
   * Decodes an item of a stream of arguments.
   *
   * @throws {RpcError} If that cannot be done; the call has been given up then
   */
  #decodeItem(call: IncomingCall, bytes: Uint8Array, start: number, end: number): unknown {
    try {
      return start < end ? this.#codec.decode(bytes, start, end) : undefined;
    } catch (cause) {
      const message = `Cannot decode an item of the arguments of ${call.method}: ${textOf(cause)}`;
      const error = new RpcError("invalid_argument", message);
      this.#giveUp(call, error);
      throw error;
    }
  }

  /** The call that an Item or an End belongs to; undefined if it is over. */
  #expectStream(seq: number): IncomingCall | undefined {
    const call = this.#running?.get(seq);
    if (call === undefined || call.answered) return undefined;
    if (call.recvStream !== undefined) return call;
    this.#giveUp(
      call,
      new RpcError("invalid_argument", `${call.method} was called with one value, not a stream`),
    );
    return undefined;
  }

  /** Answers with an error while the handler is still at work. */
  #giveUp(call: IncomingCall, error: RpcError): void {
    this.#fail(call, error);
    abortWithin(call, error);
  }

  #returned(call: IncomingCall): void {
    if (this.#running?.delete(call.seq)) this.#options.slots?.release();
    if (call.recvStream?.closed === false) {
      call.recvStream.fail(new RpcError("canceled", `The call of ${call.method} is over`), true);
    }
    call.target.returned();
    this.#owner.onSettled();
  }

  /** Answers with a value, or with the end of the items that were sent. */
  #answer(call: IncomingCall, value: unknown, streamed = false): void {
    // A stream may have been canceled between its last item and here, too.
    if (call.answered) return;
    let metadata: Metadata | undefined;
    try {
      metadata = call.takeReplyMetadata();
    } catch (error) {
      return this.#fail(call, error);
    }
    const out = this.#frameWriter.beginFrame();
    const start = out.length;
    if (streamed) beginEnd(out, call.seq, metadata);
    else beginReply(out, call.seq, metadata);
    const error = this.#frameWriter.endFrame(out, start, value);
    if (error !== undefined) return this.#failUnsent(call, error, "the result");
    this.#succeed(call);
  }

  #succeed(call: IncomingCall): void {
    this.#settle(call);
    call.observer?.end();
    this.#floodLimiter.refund();
    if (this.#measured === call.target && this.#measuredSince === call.arrived) {
      this.#measuredCount++;
    } else {
      this.measure();
      this.#measured = call.target;
      this.#measuredSince = call.arrived;
      this.#measuredCount = 1;
    }
  }

  /** Answers a call whose result, or an item of it, cannot be sent: the handler does not learn of that, so the log does. */
  #failUnsent(call: IncomingCall, error: RpcError, what: string): void {
    this.#options.log?.(`Cannot send ${what} of ${call.method}: ${error.message}`, error);
    this.#fail(call, unsendable(error));
  }

  #fail(call: IncomingCall, reason: unknown): void {
    if (call.answered) return;
    this.#settle(call);
    const { target } = call;
    if (!target.unknown) this.#floodLimiter.refund();
    const error = this.#explain(reason);
    // What a handler throws may be private: only those who run the server see it.
    if (error.code === "internal" && error !== reason) {
      const name = shownName(call.identity);
      const caller = name === undefined ? "" : `, called by ${name}`;
      this.#options.log?.(`Handler of ${call.method} failed${caller}`, reason);
    }
    target.answered(error.code, performance.now() - call.arrived, 1);
    call.observer?.end(error);
    // Of a method that there is, an error that says so may have come from another server, by way of the handler.
    const notStarted = target.unknown === true && error.code === "unimplemented" && error.notStarted;
    const metadata = notStarted ? undefined : this.#metadataOf(call, error);
    const leftOut = writeError(this.#frameWriter, call.seq, error, metadata, notStarted);
    if (leftOut !== undefined) {
      this.#options.log?.(
        `An error of ${shownMethod(call.method)} cannot be sent with all that it carries`,
        leftOut,
      );
    }
  }

  /** What is sent beside an error: its own metadata, and what the handler has set. */
  #metadataOf(call: IncomingCall, { metadata }: RpcError): Metadata | undefined {
    try {
      const own = toMetadata(metadata);
      const reply = call.takeReplyMetadata();
      if (own === undefined || reply === undefined) return own ?? reply;
      return toMetadata(new Map([...own, ...reply]));
    } catch (error) {
      this.#options.log?.(`${call.method} set metadata that cannot be sent`, error);
      return undefined;
    }
  }

  /** What a caller is told of what a handler threw. */
  #explain(reason: unknown): RpcError {
    if (isRpcError(reason)) return reason;
    try {
      const mapped = this.#options.mapError?.(reason);
      if (isRpcError(mapped)) return mapped;
    } catch (error) {
      this.#options.log?.("mapError failed", error);
    }
    return toRpcError(reason);
  }

  #abandon(call: IncomingCall, reason: RpcError): void {
    if (!call.answered) {
      this.#settle(call);
      call.target.answered(reason.code, performance.now() - call.arrived, 1);
      call.observer?.end(reason);
    }
    abortWithin(call, reason);
    this.#owner.onSettled();
  }

  #settle(call: IncomingCall): void {
    call.answered = true;
    this.#owed--;
  }

  /**
   * Answers a call whose handler was not started.
   *
   * @throws {RpcError} If that happens too often: the call is then not taken up
   */
  #refuse(seq: number, error: RpcError): void {
    this.#floodLimiter.charge();
    this.#lastSeq = seq;
    // It has neither details nor metadata of the application, so that nothing of it is left out.
    writeError(this.#frameWriter, seq, error, undefined, true);
  }
}

/** Runs what is part of answering a call where what that calls in turn finds it, and whoever watches it does. */
function within<R>(call: IncomingCall, run: () => R): R {
  // Apart, since whoever makes a closure makes room for what it keeps as soon as it is called.
  return call.observer === undefined ? ambient.run(call, run) : observed(call, call.observer, run);
}

function observed<R>(call: IncomingCall, observer: ServerCallObserver, run: () => R): R {
  return observer.run(() => ambient.run(call, run));
}

/**
 * Starts a handler within its call. The handler alone: what a session does from there on, such as writing the answer, is
 * no part of that, and would keep the call.
 */
function startWithin(call: IncomingCall, args: unknown): unknown {
  return within(call, () => call.target.start(args, call));
}

/** Tells a handler that nobody waits any more: what listens to its signal is part of its call, whatever led here. */
function abortWithin(call: IncomingCall, reason: RpcError): void {
  within(call, () => call.abort(reason));
}

/** The refusal of a call for which there is no room; `retryAfter` in ms. */
function exhausted(message: string, retryAfter?: number): RpcError {
  return new RpcError("resource_exhausted", message, { retryAfter });
}

/** What the caller is told of a result that cannot be sent. */
function unsendable(error: RpcError): RpcError {
  const code = error.code === "resource_exhausted" ? error.code : "internal";
  return new RpcError(code, `Cannot send the result: ${error.message}`);
}

/** What the caller is told of a failure. */
function toRpcError(error: unknown): RpcError {
  return isRpcError(error) ? error : new RpcError("internal", "The handler failed");
}

/** The shorter of two limits in ms of which 0 means none; Infinity if neither is one. */
function shortest(a: number, b: number): number {
  return Math.min(a === 0 ? Infinity : a, b === 0 ? Infinity : b);
}
