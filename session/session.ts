// One connection after its handshake: calls both ways over one Conn. Owns the Conn, the only read loop, the only
// writer and the alarm; its two halves, Caller and Callee, own the calls. Everything ends in one place,
// `#terminate`. Made by the client's channels and by servers.

import type { Identity, Lookup, PeerCertificate } from "../call/handler.ts";
import { RpcError } from "../call/error.ts";
import { shownPeer } from "../call/identity.ts";
import { Kind, writeGoAway, writeShort } from "../codec/frame.ts";
import { FrameDecoder } from "../codec/frame_decoder.ts";
import { malformed } from "../codec/header_reader.ts";
import type { KeyCache } from "../codec/key_cache.ts";
import { Alarm, type AlarmClock, type Sleeper } from "./alarm_clock.ts";
import type { CallBodies } from "./call_body.ts";
import { Callee, type CalleeOwner } from "./callee.ts";
import { ClockSampler, eventLoop } from "./event_loop.ts";
import { FloodLimiter } from "./flood_limiter.ts";
import type { IncomingCall } from "./incoming_call.ts";
import { Caller, type SessionCall } from "./caller.ts";
import type { Conn } from "../transport/conn.ts";
import type { Agreement } from "./handshake.ts";
import type { SessionLimits } from "./limits.ts";
import { WebSocketFault } from "../transport/websocket_frames.ts";
import { discard, LINGER_BYTES, LINGER_MS } from "../transport/linger.ts";
import { SendWindow } from "./send_window.ts";
import { Heartbeat, type HeartbeatOwner } from "./heartbeat.ts";
import { FrameWriter, type FrameWriterOwner, textOf } from "./frame_writer.ts";
import type { SessionState, SessionStats } from "./session_stats.ts";
import type { PeerCallSlots } from "./call_slots.ts";
import type { LimitCounters } from "./limit_counters.ts";
import { ConnWriter, type ConnWriterOwner } from "./conn_writer.ts";

/** What a session is made of, besides its Conn. Times in ms. */
export interface SessionOptions {
  /** What the handshake settled. */
  readonly agreement: Agreement;
  /** Whether this side dialled: its calls have odd numbers. */
  readonly dialled: boolean;
  /** Bytes that were read behind the handshake. */
  readonly prefix: Uint8Array;
  /** What this side allows. */
  readonly limits: SessionLimits;
  /** What the sessions of one client or server count together. */
  readonly counters: LimitCounters;
  /** Places for handlers, which all connections of a server share; absent = as many as there are calls. */
  readonly slots?: PeerCallSlots;
  /** Wakes them, likewise. */
  readonly clock: AlarmClock;
  /** Keeps the encoded arguments of their calls, likewise. */
  readonly bodies: CallBodies;
  /** Names seen lately, shared likewise. */
  readonly names: KeyCache;
  /** Who answers the other side's calls; absent = nobody. */
  readonly lookup?: Lookup;
  /** Makes what a handler threw an error for its caller. */
  readonly mapError?: (error: unknown) => RpcError | undefined;
  /** Called when calls can be sent again, after {@linkcode Session.takesCalls} was asked and they could not. */
  readonly room?: () => void;
  /** Told when no more calls can be made here, while those under way may still finish. */
  readonly draining?: () => void;
  /** Told once when the session is over, and why. */
  readonly ended?: (reason: RpcError) => void;
  /** Told of what an operator may want to know. */
  readonly log?: (message: string, error?: unknown) => void;
}

/** Where a session stands. It only ever goes down this list. */
const State = {
  /** Calls both ways. */
  Open: 0,
  /** Makes no new calls here, and drains once those made are over; until then it takes those of the other side. */
  Leaving: 1,
  /** No new calls but calls back; those taken up are finished. */
  Draining: 2,
  /** Nothing is owed any more: what is written leaves, what comes is thrown away. */
  Closing: 3,
  /** Over. */
  Closed: 4,
} as const;

/** What these are called. */
const STATES: readonly SessionState[] = ["open", "leaving", "draining", "closing", "closed"];

/** A peer is not blamed for silence while this process was stalled for longer than this, in ms. */
const STALL = 1_000;

/** How many Pings confirm as many bytes as may be unsent, where it matters what the peer has read. */
const WINDOW_STEPS = 8;

/** Calls both ways over one connection. */
export class Session implements Sleeper, ConnWriterOwner, FrameWriterOwner, CalleeOwner, HeartbeatOwner {
  /** Resolves when the connection is closed and nothing of it is left. Never rejects. */
  readonly closed: Promise<void>;

  readonly #conn: Conn;
  readonly #options: SessionOptions;
  readonly #limits: SessionLimits;
  readonly #frames: FrameDecoder;
  readonly #writer: ConnWriter;
  readonly #frameWriter: FrameWriter;
  /** Made for the first call of this side: servers hardly ever call. */
  #caller: Caller | undefined;
  readonly #callee: Callee;
  readonly #alarm: Alarm;
  readonly #floodLimiter: FloodLimiter;
  readonly #clockSampler = new ClockSampler();
  readonly #heart: Heartbeat;
  readonly #began: number;

  #state: number = State.Open;
  /** When the calls came that are being read; 0 = not asked yet. */
  #arrivedAt = 0;
  /** When the head of an unfinished frame arrived; 0 = there is none. */
  #frameAt = 0;
  /** Lets the read loop go on, which waits for the writer or for the end. */
  #resume: (() => void) | undefined;
  #peerEnded = false;
  /** GoAway has been sent: later calls of the other side get no answer. */
  #refusing = false;
  /** The other side takes no more calls, or cannot answer them. */
  #refused = false;
  #lingering: ReturnType<typeof setTimeout> | undefined;

  /** Takes a Conn over and begins to read it. */
  constructor(conn: Conn, options: SessionOptions) {
    const { agreement, limits } = options;
    const { codec, peerMaxFrameBytes } = agreement;
    this.#conn = conn;
    this.#options = options;
    this.#limits = limits;
    this.#frames = new FrameDecoder(limits.maxFrameBytes, options.names, options.prefix);
    this.#writer = new ConnWriter(conn, this);
    this.#frameWriter = new FrameWriter(this.#writer, codec, peerMaxFrameBytes, this);
    this.#floodLimiter = new FloodLimiter(limits.maxUselessFrames);
    this.#callee = new Callee(this.#frameWriter, codec, options, this.#floodLimiter, this);
    this.#alarm = new Alarm(this, options.clock);
    this.#heart = new Heartbeat(limits, this.#frameWriter, this, agreement.peerHeartbeatInterval);
    if (conn.buffersUnread) {
      this.#frameWriter.sendWindow = new SendWindow(this.#heart, limits.maxUnsentBytes / WINDOW_STEPS);
    }
    this.#began = this.#frameWriter.cachedNow;
    this.#alarm.by(this.#heart.due);
    eventLoop.enter();
    this.closed = this.#run();
  }

  /** Where the other side is. */
  get address(): string {
    return this.#conn.peer;
  }

  /** What the other side has shown of itself, where it was asked. */
  get certificate(): PeerCertificate | undefined {
    return this.#conn.certificate;
  }

  /** Who the other side is, if `authenticate` has said. */
  get identity(): Identity | undefined {
    return this.#options.agreement.identity;
  }

  /** Whether new calls can be made. */
  get open(): boolean {
    return this.#state === State.Open;
  }

  /**
   * Whether a call would be sent at once: there is room for it, and nothing to doubt about the peer. If not,
   * `room` is called when it would be.
   */
  takesCalls(): boolean {
    return this.#state === State.Open && this.#calls().takesCalls();
  }

  /** Lets calls go that have not been sent and can be made elsewhere, while there is `room`. */
  offerWaiting(room: () => boolean): void {
    this.#caller?.offerWaiting(room);
  }

  /** Calls made here that are not settled yet. */
  get pending(): number {
    return this.#caller?.pending ?? 0;
  }

  /** The other side's calls whose handlers have not returned. */
  get running(): number {
    return this.#callee.running;
  }

  /** The calls of which `running` is the number, oldest first. */
  get calls(): Iterable<IncomingCall> {
    return this.#callee.calls;
  }

  /** Ends calls of the other side whose handlers have waited for it for `limit` ms. */
  endStalled(limit: number): void {
    this.#callee.endStalled(performance.now(), limit);
  }

  /** Bytes that have not left. */
  get unsent(): number {
    return this.#frameWriter.unsent;
  }

  /** How it stands. */
  stats(): SessionStats {
    const { lastSeq } = this.#callee;
    const now = performance.now();
    return {
      address: this.address,
      state: STATES[this.#state]!,
      codec: this.#options.agreement.codec.name,
      age: now - this.#began,
      silence: now - this.#heart.receivedAt,
      calls: Math.ceil(lastSeq / 2),
      inFlight: this.running,
      callsBack: this.pending,
      unsentBytes: this.unsent,
    };
  }

  /** The time in this turn of the event loop, in ms: what deadlines are counted from. */
  now(): number {
    return this.#frameWriter.now();
  }

  /** Calls a method of the other side. A call that finds no room waits for it. */
  call(call: SessionCall): void {
    if (this.#state !== State.Open) return refuse(call);
    this.#wakeFor(call);
    this.#calls().call(call);
  }

  /** @ignore For handlers: a call back is part of an answer, so a drain of this side does not keep it from being made. */
  callBack(call: SessionCall): void {
    if (!this.#sends) return refuse(call);
    this.#wakeFor(call);
    this.#calls().call(call);
  }

  /**
   * Makes no more calls, lets those that were made finish, then drains. Not at once: a handler that answers one of them
   * may have to call back first.
   */
  retire(): void {
    if (this.#state !== State.Open) return;
    this.#state = State.Leaving;
    const reason = new RpcError("unavailable", "The connection is being drained");
    this.#caller?.endUnstarted(reason, Infinity);
    this.#options.draining?.();
    this.#closeIfIdle();
  }

  /** Lets the calls taken up so far finish, takes no more, then closes. */
  drain(): void {
    if (this.#state >= State.Draining) return;
    this.#state = State.Draining;
    this.#refusing = true;
    writeGoAway(
      this.#frameWriter.beginFrame(),
      this.#callee.lastSeq,
      "unavailable",
      "The connection is being drained",
    );
    this.#options.draining?.();
    this.#closeIfIdle();
  }

  /** Closes now: calls both ways end with `reason`, and what is already written still leaves. */
  close(reason: RpcError): void {
    if (this.#state >= State.Closing) return;
    this.#caller?.endAll(reason, false);
    this.#callee.endAll(reason);
    this.#linger();
  }

  /** @ignore For the callee. */
  wakeBy(at: number): void {
    this.#alarm.by(at);
  }

  /** @ignore For the callee. */
  onSettled(): void {
    this.#closeIfIdle();
  }

  /** @ignore For the frameWriter. */
  onTurnBegun(now: number): void {
    this.#caller?.saveArgs();
    // While it is not read from, its silence says nothing.
    if (this.#state !== State.Open || this.#resume !== undefined) return;
    const look = this.#heart.doubt(now);
    if (look === undefined) return;
    this.#alarm.by(look);
    this.#hold();
  }

  /** @ignore For the frameWriter. */
  onTurn(now: number): void {
    this.#callee.measure();
    if (this.#sends) this.#caller?.fill();
    // A call that was left has ended with this turn.
    if (this.#state !== State.Open) this.#closeIfIdle();
    if (this.#writer.busy) this.#alarm.by(now + this.#limits.writeTimeout);
    if (this.#state < State.Closing) this.#frameWriter.confirm();
  }

  /** @ignore For the writer. */
  onProgress(): void {
    // What has left may be overwritten: outside of a turn not before the next one begins.
    if (this.#frameWriter.inTurn) this.#caller?.saveArgs();
    if (this.#frameWriter.unsent > this.#limits.maxUnsentBytes / 2) return;
    if (this.#sends) this.#caller?.fill();
    this.#frameWriter.resume();
    if (!this.#peerEnded) this.#goOn();
  }

  /** @ignore For the writer. */
  onWriteFailed(error: unknown): void {
    this.#noteFault(error);
    this.#terminate(this.#lost(error));
  }

  /** @ignore For the alarm: looks at everything that has a time, and asks to be woken for the next. */
  onAlarm(now: number, late: number): void {
    // What is read from now on came after this.
    this.#frameWriter.setNow(now);
    // After a stall of this process, what the peer sent meanwhile is still unread: it gets as long again.
    const patience = late > STALL ? late : 0;
    const { pending } = this;
    const deadlines = Math.min(this.#caller?.expire(now) ?? Infinity, this.#callee.expire(now));
    const expired = this.pending < pending;
    const beat = this.#beat(now, patience > 0, expired);
    this.#alarm.by(Math.min(deadlines, this.#checkWrite(now), this.#checkFrame(now, patience), beat));
    this.#hold();
    if (this.#heart.doubtful) this.#moveCalls(now);
    this.#closeIfIdle();
  }

  /** Whether calls of this side can still be sent, be they only calls back. */
  get #sends(): boolean {
    return this.#state < State.Closing && !this.#refused;
  }

  /** The half for calls of this side. */
  #calls(): Caller {
    if (this.#caller !== undefined) return this.#caller;
    const { agreement, room } = this.#options;
    const caller = this.#caller = new Caller(
      this.#frameWriter,
      agreement.codec,
      this.#options,
      this.#floodLimiter,
      room,
    );
    caller.held = this.#heart.doubtful;
    return caller;
  }

  /** Whether `seq` is a number of this side's. */
  #owns(seq: number): boolean {
    return (seq & 1) === (this.#options.dialled ? 1 : 0);
  }

  /** Reads until the peer ends its side or nothing more is to be read, then sees to the end. */
  async #run(): Promise<void> {
    const frames = this.#frames;
    // Whoever made this session is to hold it before its first call is started.
    await null;
    try {
      for (;;) {
        for (let wait; (wait = this.#takeFrames()) !== undefined;) await wait;
        if (this.#state >= State.Closing) break;
        const count = await this.#conn.read(frames.space());
        if (count === null) {
          await eventLoop.yieldIfDue();
          this.#onEnd();
          break;
        }
        frames.filled(count);
        // A little early at worst: to ask for the time here would cost each call as much as its decoding.
        this.#heart.receivedAt = this.#frameWriter.cachedNow;
        this.#arrivedAt = 0;
      }
    } catch (error) {
      this.#noteFault(error);
      this.#terminate(this.#parted(error));
    }
    // The peer has said its last: what it is owed is finished before this side ends too.
    if (this.#state === State.Draining) await new Promise<void>((resolve) => this.#resume = resolve);
    if (this.#state === State.Closing && !this.#peerEnded) await discard(this.#conn, LINGER_BYTES);
    if (this.#state === State.Closing) await this.#writer.flushed();
    this.#terminate(this.#lost("it was closed"));
  }

  /** Takes the frames that have arrived. Returns what it is to wait for before it goes on, if not all could be taken. */
  #takeFrames(): Promise<void> | undefined {
    const frames = this.#frames;
    try {
      while (this.#state < State.Closing && frames.next()) {
        this.#frameAt = 0;
        this.#onFrame();
        // Answers are read in any case: two sides that wait for each other to read would wait for ever.
        const answering = frames.kind === Kind.Call || frames.kind === Kind.Ping;
        if (answering && this.#frameWriter.unsent > this.#limits.maxUnsentBytes / 2) return this.#pause();
        const now = this.#clockSampler.sample();
        if (now !== undefined && this.#onTime(now)) return eventLoop.yielded();
      }
    } catch (error) {
      const limit = this.#floodLimiter.exceeded ? "uselessFrames" : "frames";
      this.#violated(error instanceof RpcError ? error : new RpcError("internal", textOf(error)), limit);
    }
    if (this.#state !== State.Open) this.#closeIfIdle();
    if (frames.partial > 0 && this.#frameAt === 0) {
      this.#frameAt = this.#frameWriter.now();
      this.#alarm.by(this.#frameAt + this.#limits.frameTimeout);
    }
    return undefined;
  }

  /** The clock was looked at between two frames. Returns whether others are to have their turn. */
  #onTime(now: number): boolean {
    this.#frameWriter.setNow(now);
    this.#floodLimiter.leak(now);
    return eventLoop.shouldYield(now);
  }

  #onFrame(): void {
    const frame = this.#frames;
    switch (frame.kind) {
      case Kind.Reply:
        return this.#calls().onReply(frame);
      case Kind.Call:
        if (this.#owns(frame.seq)) throw malformed(`call ${frame.seq} has a number of the other side`);
        if (this.#arrivedAt === 0) this.#arrivedAt = this.#frameWriter.now();
        if (!this.#refusing) this.#callee.onCall(frame, this.#arrivedAt);
        return;
      case Kind.Error:
        return this.#calls().onError(frame);
      case Kind.Cancel:
        return this.#callee.onCancel(frame.seq);
      case Kind.Ping:
        this.#floodLimiter.charge();
        writeShort(this.#frameWriter.beginFrame(), Kind.Pong, frame.seq);
        this.#heart.onPing(this.#frameWriter.now());
        return this.#hold();
      case Kind.Pong:
        this.#heart.onPong(this.#frameWriter.now(), frame.seq);
        this.#onConfirmed(frame.seq);
        return this.#hold();
      case Kind.GoAway:
        return this.#onGoAway();
      case Kind.Item:
        if (this.#owns(frame.seq)) this.#calls().onItem(frame);
        else if (this.#expectCalled(frame.seq)) this.#callee.onItem(frame);
        return;
      case Kind.End:
        if (this.#owns(frame.seq)) this.#calls().onEnd(frame);
        else if (this.#expectCalled(frame.seq)) this.#callee.onEnd(frame.seq);
        return;
      case Kind.Credit:
        if (this.#owns(frame.seq)) this.#caller?.onCredit(frame);
        else this.#callee.onCredit(frame);
    }
  }

  /** A Pong has come, which may mean that more can be sent. */
  #onConfirmed(ping: number): void {
    const { sendWindow } = this.#frameWriter;
    if (sendWindow === undefined) return;
    sendWindow.onPong(ping);
    this.#frameWriter.confirm();
    this.onProgress();
  }

  /** Accepts what follows a Call, and nothing for a call that was never made. */
  #expectCalled(seq: number): boolean {
    if (seq <= this.#callee.lastSeq) return true;
    // It may follow one that was dropped behind a GoAway.
    if (this.#refusing) return false;
    throw malformed(`call ${seq} was never made`);
  }

  /** Waits until the writer has caught up: a peer that does not read is not read from. */
  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => this.#resume = resolve);
    this.#heart.receivedAt = performance.now();
  }

  #goOn(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  /** Gives up on a peer that does not read. */
  #checkWrite(now: number): number {
    const { writeTimeout } = this.#limits;
    if (!this.#writer.busy) return Infinity;
    const due = this.#writer.progressAt + writeTimeout;
    if (now < due) return due;
    this.#cutOff(`nothing could be written for ${writeTimeout} ms`, "writeTimeout");
    return Infinity;
  }

  /** Gives up on a frame that does not end. */
  #checkFrame(now: number, patience: number): number {
    if (this.#frameAt === 0 || this.#resume !== undefined || this.#state >= State.Closing) return Infinity;
    const { frameTimeout } = this.#limits;
    const due = this.#frameAt + frameTimeout + (this.#frames.partial >> 16) * 1_000 + patience;
    if (now < due) return due;
    const late = new RpcError("deadline_exceeded", "Cannot decode frame: its end did not come in time");
    this.#violated(late, "frameTimeout");
    return Infinity;
  }

  /** Looks after the peer, as far as anything of it is waited for. */
  #beat(now: number, stalled: boolean, expired: boolean): number {
    if (this.#state >= State.Closing) return Infinity;
    if (this.#peerEnded) return this.#heart.probe(now);
    // While it is not read from, its silence says nothing.
    if (this.#resume !== undefined) return now + this.#heart.interval;
    return this.#heart.check(now, stalled, expired || (this.#caller?.awaiting ?? false));
  }

  /** Sees to it that a call ends in time, and that a peer is asked soon that does not answer it. */
  #wakeFor({ deadline }: SessionCall): void {
    // A turn that begins looks whether the peer may have gone meanwhile.
    const now = this.#frameWriter.now();
    if (!this.#heart.watching) this.#alarm.by(this.#heart.watch(now));
    this.#alarm.by(deadline);
  }

  /** Keeps calls back while it is doubtful whether the peer is there. */
  #hold(): void {
    const caller = this.#caller;
    if (caller === undefined || caller.held === this.#heart.doubtful) return;
    caller.held = this.#heart.doubtful;
    caller.fill();
  }

  /** The peer has been silent for too long: calls that can be made elsewhere go there. */
  #moveCalls(now: number): void {
    const silence = Math.round(now - this.#heart.receivedAt);
    this.#caller?.moveAway(new RpcError("unavailable", `${this.address} has been silent for ${silence} ms`));
  }

  /** @ignore For the heartbeat. */
  onQuiet(): void {
    this.#writer.trim();
    this.#frames.trim();
  }

  /** @ignore For the heartbeat. */
  onSilent(silence: number): void {
    this.#cutOff(`the other side has been silent for ${silence} ms`, "heartbeatTimeout");
  }

  /** Gives up on a peer that cannot be told any more. */
  #cutOff(why: string, limit: "writeTimeout" | "heartbeatTimeout"): void {
    this.#options.counters[limit]++;
    this.#options.log?.(`Cut off ${shownPeer(this.address, this.identity)}: ${why}`);
    this.#terminate(this.#lost(why));
  }

  /** The peer has ended its side: it sends no more, and may still read. */
  #onEnd(): void {
    this.#peerEnded = this.#refused = true;
    if (this.#state >= State.Closing) return;
    if (this.#frames.partial > 0) return this.#terminate(this.#lost("it ended inside a frame"));
    const reason = this.#parted("the other side has ended it");
    this.#state = State.Draining;
    this.#caller?.endAll(reason, false);
    this.#callee.endOfInput(reason);
    this.#options.draining?.();
    this.#alarm.by(performance.now() + this.#heart.probeInterval);
    this.#closeIfIdle();
  }

  /** The reason of a connection that is gone. */
  #lost(cause: unknown): RpcError {
    return new RpcError("unavailable", `The connection to ${this.address} was lost: ${textOf(cause)}`, {
      cause,
    });
  }

  /** Why nothing comes any more: a peer that said that it goes was not lost. */
  #parted(cause: unknown): RpcError {
    if (this.#state !== State.Draining || this.#refusing) return this.#lost(cause);
    return new RpcError("unavailable", "The other side shut down before it answered", { cause });
  }

  #onGoAway(): void {
    const { seq: lastSeq, code, message } = this.#frames;
    this.#refused = true;
    if (this.#state < State.Draining) this.#state = State.Draining;
    const reason = new RpcError("unavailable", message, { remote: true });
    this.#caller?.endUnstarted(reason, lastSeq);
    if (code !== "unavailable") {
      this.#options.log?.(
        `${shownPeer(this.address, this.identity)} closes the connection: ${code}: ${message}`,
      );
      this.#caller?.endAll(reason, true);
    }
    this.#options.draining?.();
    this.#closeIfIdle();
  }

  /** The peer did what the protocol does not allow: it is told, and the connection ends. */
  #violated(error: RpcError, limit: "frames" | "frameTimeout" | "uselessFrames"): void {
    if (this.#state >= State.Closing) return;
    this.#options.counters[limit]++;
    this.#options.log?.(`Closing the connection of ${shownPeer(this.address, this.identity)}`, error);
    const reason = new RpcError("unavailable", `The connection was closed: ${error.message}`, {
      cause: error,
    });
    writeGoAway(this.#frameWriter.beginFrame(), this.#callee.lastSeq, error.code, error.message);
    this.#caller?.endAll(reason, true);
    this.#callee.endAll(reason);
    this.#linger(true);
  }

  /** Counts and logs that either side has ended the connection over a rule of the transport or a limit. */
  #noteFault(error: unknown): void {
    if (!(error instanceof WebSocketFault) || this.#state === State.Closed) return;
    this.#options.counters.frames++;
    this.#options.log?.(`The connection of ${shownPeer(this.address, this.identity)} was closed`, error);
  }

  #closeIfIdle(): void {
    if (this.pending > 0) return;
    if (this.#state === State.Leaving) this.drain();
    else if (this.#state === State.Draining && this.#callee.owed === 0) this.#linger();
  }

  /**
   * Lets what is written leave, ends this side, and has the read loop wait for the peer's end: closing over unread
   * input would reset the connection and destroy answers on their way.
   *
   * @param fault Whether the peer broke the protocol
   */
  #linger(fault = false): void {
    if (this.#state >= State.Closing) return;
    this.#state = State.Closing;
    this.#writer.flushed().then(async () => {
      if (this.#state !== State.Closing) return;
      this.#lingering = setTimeout(
        () => this.#terminate(this.#lost("the other side did not end it")),
        LINGER_MS,
      );
      await this.#conn.closeWrite(fault);
    }).catch(() => this.#terminate(this.#lost("it could not be ended")));
    this.#goOn();
  }

  /** The one end of everything. */
  #terminate(reason: RpcError): void {
    if (this.#state === State.Closed) return;
    this.#state = State.Closed;
    eventLoop.leave();
    this.#alarm.stop();
    clearTimeout(this.#lingering);
    this.#caller?.endAll(reason, true);
    this.#callee.endAll(reason);
    this.#writer.stop();
    this.#conn.close();
    this.#options.slots?.close();
    this.#goOn();
    this.#options.ended?.(reason);
  }
}

function refuse(call: SessionCall): void {
  call.reject(new RpcError("unavailable", "The connection takes no more calls", { notStarted: true }));
}
