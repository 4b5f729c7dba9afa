// The parts of one session, and what they report to each other: passes frames to the two halves, Caller and Callee, and
// checks everything that has a time limit. Internal to session.ts, which is what clients and servers use; it ends by
// lifecycle.ts.

import { RpcError } from "../call/error.ts";
import { Kind, writeShort } from "../codec/frame.ts";
import { FrameDecoder } from "../codec/frame_decoder.ts";
import { malformed } from "../codec/header_reader.ts";
import type { Conn } from "../transport/conn.ts";
import { Alarm, type Sleeper } from "./alarm_clock.ts";
import { type CalleeHalf, type CalleeOwner, RefusingCallee } from "./callee_half.ts";
import { Caller } from "./caller.ts";
import { ConnWriter, type ConnWriterOwner } from "./conn_writer.ts";
import type { EarlyState } from "./early_calls.ts";
import { FloodLimiter } from "./flood_limiter.ts";
import { FrameWriter, type FrameWriterOwner } from "./frame_writer.ts";
import { Heartbeat, type HeartbeatOwner } from "./heartbeat.ts";
import { Lifecycle } from "./lifecycle.ts";
import { MessageLog } from "./message_log.ts";
import { ReadLoop, type ReadLoopOwner } from "./read_loop.ts";
import { UnconfirmedBytes } from "./unconfirmed_bytes.ts";
import type { SessionCall } from "./session_call.ts";
import type { SessionOptions } from "./session_options.ts";
import { ConnectionWindows } from "./window_budget.ts";

/** If this process was stalled for longer than this, in ms, the peer is not blamed for its silence meanwhile. */
const STALL = 1_000;

/** How many Pings confirm `maxUnsentBytes`, if it matters what the peer has read. */
const WINDOW_STEPS = 8;

/** The parts of one session; each reports to it. */
export class SessionCore
  implements Sleeper, ConnWriterOwner, FrameWriterOwner, CalleeOwner, HeartbeatOwner, ReadLoopOwner {
  readonly conn: Conn;
  readonly options: SessionOptions;
  readonly frames: FrameDecoder;
  readonly reader: ReadLoop;
  readonly writer: ConnWriter;
  readonly frameWriter: FrameWriter;
  /** The half for calls of this side. Created for the first one: servers rarely make any. */
  caller: Caller | undefined;
  /** The half for calls of the peer. */
  readonly callee: CalleeHalf;
  readonly alarm: Alarm;
  readonly floodLimiter: FloodLimiter;
  readonly heartbeat: Heartbeat;
  #windows: ConnectionWindows | undefined;
  readonly lifecycle: Lifecycle;

  constructor(conn: Conn, options: SessionOptions) {
    const { agreement, limits } = options;
    const { codec, peerMaxFrameBytes } = agreement;
    this.conn = conn;
    this.options = options;
    this.frames = new FrameDecoder(limits.maxFrameBytes, options.names, options.prefix);
    this.writer = new ConnWriter(conn, this);
    const messageLog = new MessageLog(options.log, conn, agreement.identity);
    this.frameWriter = new FrameWriter(this.writer, codec, peerMaxFrameBytes, this, messageLog);
    this.floodLimiter = new FloodLimiter(limits.maxUselessFrames);
    this.alarm = new Alarm(this, options.clock);
    this.heartbeat = new Heartbeat(limits, this.frameWriter, this, agreement.peerHeartbeatInterval);
    const { handshakeTime } = options;
    if (handshakeTime !== undefined) this.heartbeat.roundTrip.took(handshakeTime, this.frameWriter.cachedNow);
    this.callee = options.createCallee?.(this, codec, this) ?? new RefusingCallee(this);
    if (conn.buffersUnread) {
      this.frameWriter.unconfirmedBytes = new UnconfirmedBytes(
        this.heartbeat,
        limits.maxUnsentBytes / WINDOW_STEPS,
      );
    }
    this.reader = new ReadLoop(this, this);
    this.lifecycle = new Lifecycle(this);
    this.#checkLifetime(this.frameWriter.cachedNow);
    this.alarm.by(this.heartbeat.due);
  }

  /** What the windows of received streams may grow from. Created for the first stream, as most connections have none. */
  get windows(): ConnectionWindows {
    const { windows, limits } = this.options;
    return this.#windows ??= new ConnectionWindows(windows, limits.maxWindowBytes, this.heartbeat);
  }

  /** Calls a method of the peer. */
  call(call: SessionCall, accepted: boolean): void {
    if (!accepted) {
      const message = `Cannot call ${call.method}: the connection is shutting down`;
      return call.reject(new RpcError("unavailable", message, { notStarted: true }));
    }
    // The time first: a turn that begins checks whether the peer may be gone.
    const now = this.frameWriter.now();
    if (!this.heartbeat.watching) this.alarm.by(this.heartbeat.watch(now));
    this.alarm.by(call.deadline);
    this.callerHalf().call(call);
  }

  /** Takes over the calls that were made during the handshake. */
  adopt({ calls, nextSeq, unwritten }: EarlyState): void {
    if (nextSeq === 1 && calls.length === 0) return;
    const now = this.frameWriter.now();
    if (!this.heartbeat.watching) this.alarm.by(this.heartbeat.watch(now));
    if (unwritten.length > 0) this.frameWriter.beginFrame().append(unwritten);
    const caller = this.callerHalf();
    caller.adopt(calls.filter(({ seq }) => seq > 0), nextSeq);
    for (const call of calls) {
      this.alarm.by(call.deadline);
      if (call.seq === 0) caller.call(call);
    }
  }

  /** The half for calls of this side, created if need be. */
  callerHalf(): Caller {
    if (this.caller !== undefined) return this.caller;
    const { agreement, room } = this.options;
    const caller = this.caller = new Caller(
      this.frameWriter,
      agreement.codec,
      this.options,
      this.floodLimiter,
      this.windows,
      room,
    );
    caller.held = this.heartbeat.doubtful;
    return caller;
  }

  onFrame(frame: FrameDecoder): void {
    switch (frame.kind) {
      case Kind.Reply:
        return this.callerHalf().onReply(frame);
      case Kind.Call:
        if (this.#owns(frame.seq)) throw malformed(`call ${frame.seq} has a number of the other side`);
        if (!this.lifecycle.refusing) this.callee.onCall(frame, this.reader.arrivedAt);
        return;
      case Kind.Error:
        return this.callerHalf().onError(frame);
      case Kind.Cancel:
        return this.callee.onCancel(frame.seq);
      case Kind.Ping:
        this.floodLimiter.charge();
        writeShort(this.frameWriter.beginFrame(), Kind.Pong, frame.seq);
        this.heartbeat.onPing(this.frameWriter.now());
        return this.#holdCalls();
      case Kind.Pong:
        this.heartbeat.onPong(this.frameWriter.now(), frame.seq);
        this.#onConfirmed(frame.seq);
        return this.#holdCalls();
      case Kind.GoAway:
        return this.lifecycle.onGoAway(frame);
      case Kind.Item:
        if (this.#owns(frame.seq)) this.callerHalf().onItem(frame);
        else if (this.#expectCalled(frame.seq)) this.callee.onItem(frame);
        return;
      case Kind.End:
        if (this.#owns(frame.seq)) this.callerHalf().onEnd(frame);
        else if (this.#expectCalled(frame.seq)) this.callee.onEnd(frame.seq);
        return;
      case Kind.Credit:
        if (this.#owns(frame.seq)) this.caller?.onCredit(frame);
        else this.callee.onCredit(frame);
        return;
      default:
        frame.kind satisfies never;
    }
  }

  /** A Pong has arrived, which may mean that more can be sent. */
  #onConfirmed(ping: number): void {
    const { unconfirmedBytes } = this.frameWriter;
    if (unconfirmedBytes === undefined) return;
    unconfirmedBytes.onPong(ping);
    this.onProgress();
  }

  onFramesRead(): void {
    this.lifecycle.closeIfIdle();
  }

  onReading(reading: boolean): void {
    this.writer.awaitPings(reading);
  }

  onViolation(error: RpcError, limit: "invalidFrames" | "maxUselessFrames"): void {
    this.lifecycle.violated(error, limit);
  }

  onPeerEnd(): void {
    this.lifecycle.onPeerEnd();
  }

  onReadFailed(error: unknown): void {
    this.lifecycle.onReadFailed(error);
  }

  finish(): Promise<void> {
    return this.lifecycle.finish();
  }

  onWriteFailed(error: unknown): void {
    this.lifecycle.lose(error);
  }

  onQuiet(): void {
    this.writer.trim();
    this.frames.trim();
    this.callee.runner?.inFlight.trim();
  }

  onSilent(silence: number): void {
    this.lifecycle.cutOff(`the other side has been silent for ${silence} ms`, "heartbeatTimeout");
  }

  onSettled(): void {
    this.lifecycle.closeIfIdle();
  }

  /** A call back is part of an answer, so this side may make it while it drains. */
  callBack(call: SessionCall): void {
    this.call(call, this.lifecycle.sends);
  }

  /** Whether `seq` is a number of this side's calls. */
  #owns(seq: number): boolean {
    return (seq & 1) === (this.options.dialled ? 1 : 0);
  }

  /**
   * Whether an Item or End of the peer's is to be handled.
   *
   * @throws {RpcError} If it belongs to a call that was never made
   */
  #expectCalled(seq: number): boolean {
    if (seq <= this.callee.lastSeq) return true;
    // It may belong to a call that was dropped because it followed a GoAway.
    if (this.lifecycle.refusing) return false;
    throw malformed(`call ${seq} was never made`);
  }

  /** A turn of the event loop has begun. */
  onTurnBegun(now: number): void {
    this.caller?.saveArgs();
    if (!this.lifecycle.open || this.reader.paused) return;
    const due = this.heartbeat.doubt(now);
    if (due === undefined) return;
    this.alarm.by(due);
    this.#holdCalls();
  }

  /** A turn of the event loop is over, and its frames are being written. */
  onTurn(now: number): void {
    this.callee.runner?.countAnswers();
    if (this.lifecycle.sends) this.caller?.fill();
    // A call whose stream was left may have ended with this turn.
    this.lifecycle.closeIfIdle();
    if (this.writer.busy) this.alarm.by(now + this.options.limits.writeTimeout);
    if (!this.lifecycle.ending) this.frameWriter.confirm();
  }

  /** Some bytes were written. */
  onProgress(): void {
    // Their buffer may be overwritten; outside of a turn, not before the next one begins.
    if (this.frameWriter.inTurn) this.caller?.saveArgs();
    if (!this.lifecycle.peerEnded) this.reader.onProgress();
    // A large frame may have left outside of a turn.
    if (!this.lifecycle.ending) this.frameWriter.confirm();
    if (this.lifecycle.sends) this.caller?.fill();
    if (this.frameWriter.unsent <= this.options.limits.maxUnsentBytes / 2) this.frameWriter.resume();
  }

  /** Checks everything that has a time limit, and sets the alarm for the next check. */
  onAlarm(now: number, late: number): void {
    // What is read from now on arrived after this.
    this.frameWriter.setNow(now);
    // If this process was stalled, what the peer sent meanwhile is still unread: its time limits are extended by as much.
    const patience = late > STALL ? late : 0;
    const pending = this.caller?.pending ?? 0;
    const deadlines = Math.min(
      this.caller?.expire(now) ?? Infinity,
      this.callee.runner?.expire(now) ?? Infinity,
    );
    const expired = (this.caller?.pending ?? 0) < pending;
    const beat = this.#checkPeer(now, patience > 0, expired);
    this.alarm.by(Math.min(deadlines, this.#checkWrite(now), this.#checkFrame(now, patience), beat));
    this.#holdCalls();
    if (this.heartbeat.doubtful) this.#moveCalls(now);
    this.#checkLifetime(now);
    this.lifecycle.closeIfIdle();
  }

  /** Gives up on a peer that does not read. Returns when to check again. */
  #checkWrite(now: number): number {
    const { writeTimeout } = this.options.limits;
    if (!this.writer.busy) return Infinity;
    const due = this.writer.progressAt + writeTimeout;
    if (now < due) return due;
    this.lifecycle.cutOff(`nothing could be written for ${writeTimeout} ms`, "writeTimeout");
    return Infinity;
  }

  /** Gives up on a peer that does not finish a frame. Returns when to check again. */
  #checkFrame(now: number, patience: number): number {
    const due = this.reader.frameDue(patience);
    if (now < due) return due;
    const { frameTimeout } = this.options.limits;
    const message = `Cannot decode frame: its end did not arrive within ${frameTimeout} ms (frameTimeout)`;
    const late = new RpcError("deadline_exceeded", message);
    this.lifecycle.violated(late, "frameTimeout");
    return Infinity;
  }

  /** Checks that the peer is there, as far as anything is expected of it. Returns when to check again. */
  #checkPeer(now: number, stalled: boolean, expired: boolean): number {
    if (this.lifecycle.ending) return Infinity;
    if (this.lifecycle.peerEnded) return this.heartbeat.probe(now);
    if (this.reader.paused) return now + this.heartbeat.interval;
    return this.heartbeat.check(now, stalled, expired || (this.caller?.awaiting ?? false));
  }

  /** Ends a connection that is too old, or has been idle for too long, and sets the alarm for the next check. */
  #checkLifetime(now: number): void {
    const { lifetime } = this.options;
    if (lifetime === undefined || !this.lifecycle.open) return;
    const busy = (this.callee.runner?.inFlight.size ?? 0) > 0 || (this.caller?.pending ?? 0) > 0;
    const due = lifetime.check(now, this.callee.lastSeq, busy);
    if (due === -Infinity) this.lifecycle.drain();
    else this.alarm.by(due);
  }

  /** Holds calls back while it is doubtful whether the peer is there, and sends them when it is not. */
  #holdCalls(): void {
    const caller = this.caller;
    if (caller === undefined || caller.held === this.heartbeat.doubtful) return;
    caller.held = this.heartbeat.doubtful;
    caller.fill();
  }

  /** Moves calls away from a peer that has been silent for too long. */
  #moveCalls(now: number): void {
    const silence = Math.round(now - this.heartbeat.receivedAt);
    this.caller?.moveAway(new RpcError("unavailable", `${this.conn.peer} has been silent for ${silence} ms`));
  }
}
