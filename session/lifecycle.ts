// How a session ends: its states, the ways from one to the next, and the one end of everything. Owned by a session.

import { RpcError } from "../call/error.ts";
import { shownPeer } from "../call/identity.ts";
import { writeGoAway } from "../codec/frame.ts";
import type { FrameDecoder } from "../codec/frame_decoder.ts";
import type { Conn } from "../transport/conn.ts";
import { discard, LINGER_BYTES, LINGER_MS } from "../transport/linger.ts";
import { WebSocketFault } from "../transport/websocket_frames.ts";
import type { Alarm } from "./alarm_clock.ts";
import type { CalleeHalf } from "./callee_half.ts";
import type { Caller } from "./caller.ts";
import type { ConnWriter } from "./conn_writer.ts";
import { eventLoop } from "./event_loop.ts";
import { type FrameWriter, textOf } from "./frame_writer.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { LimitStats } from "./limit_counters.ts";
import type { ReadLoop } from "./read_loop.ts";
import type { SessionOptions } from "./session_options.ts";
import type { SessionState } from "./session_stats.ts";

/** The states of a session. It only ever moves down this list. */
export const State = {
  /** Calls in both directions. */
  Open: 0,
  /** Makes no new calls, and drains once those made have ended; until then it accepts calls of the peer. */
  Leaving: 1,
  /** No new calls but calls back; calls that were accepted finish. */
  Draining: 2,
  /** No call is unanswered: what is written leaves, what arrives is discarded. */
  Closing: 3,
  /** Over. */
  Closed: 4,
} as const;

/** A state of a session. */
export type State = typeof State[keyof typeof State];

const NAMES: Readonly<Record<State, SessionState>> = ["open", "leaving", "draining", "closing", "closed"];

/** What a lifecycle ends. */
export interface LifecycleParts {
  readonly conn: Conn;
  readonly reader: ReadLoop;
  readonly writer: ConnWriter;
  readonly frameWriter: FrameWriter;
  readonly alarm: Alarm;
  readonly heartbeat: Heartbeat;
  readonly callee: CalleeHalf;
  /** The half for calls of this side, if it has made any. */
  readonly caller: Caller | undefined;
  readonly options: SessionOptions;
}

/** The states of one session, and what moves it from one to the next. */
export class Lifecycle {
  readonly #parts: LifecycleParts;
  #state: State = State.Open;
  #peerEnded = false;
  /** Whether a GoAway was sent: later calls of the peer get no answer. */
  #refusing = false;
  /** Whether the peer accepts no more calls, or cannot answer them. */
  #refused = false;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
    eventLoop.enter();
  }

  /** The name of its state. */
  get name(): SessionState {
    return NAMES[this.#state];
  }

  /** Whether this side may make new calls. */
  get open(): boolean {
    return this.#state === State.Open;
  }

  /** Whether calls of this side can still be sent, if only calls back. */
  get sends(): boolean {
    return this.#state < State.Closing && !this.#refused;
  }

  /** Whether the connection is closing or closed. */
  get ending(): boolean {
    return this.#state >= State.Closing;
  }

  /** Whether new calls of the peer are dropped, because they follow a GoAway. */
  get refusing(): boolean {
    return this.#refusing;
  }

  /** Whether the peer has ended its side. */
  get peerEnded(): boolean {
    return this.#peerEnded;
  }

  /** Ends the session when nothing more is read. */
  async finish(): Promise<void> {
    const { conn, reader, writer } = this.#parts;
    // The peer sends nothing more: its calls are answered before this side ends.
    if (this.#state === State.Draining) await reader.stopped();
    if (this.#state === State.Closing && !this.#peerEnded) await discard(conn, LINGER_BYTES);
    if (this.#state === State.Closing) await writer.flushed();
    this.lose("it was closed");
  }

  /** Makes no more calls, lets those made finish, then drains. */
  retire(): void {
    if (this.#state !== State.Open) return;
    // Not drained at once: a handler of the peer that answers one of the calls may have to call back first.
    this.#state = State.Leaving;
    this.#parts.caller?.endUnstarted(drained(), Infinity);
    this.#parts.options.draining?.();
    this.closeIfIdle();
  }

  /** Lets the calls accepted so far finish, accepts no more, then closes. */
  drain(): void {
    if (this.#state >= State.Draining) return;
    this.#state = State.Draining;
    this.#refusing = true;
    const reason = drained();
    this.#sayGoAway(reason);
    this.#parts.options.draining?.();
    this.#parts.callee.runner?.drain(reason);
    this.closeIfIdle();
  }

  /** Closes now: calls in both directions end with `reason`, and what is already written still leaves. */
  close(reason: RpcError): void {
    if (this.ending) return;
    this.#parts.caller?.endAll(reason, false);
    this.#parts.callee.runner?.endAll(reason);
    this.#linger();
  }

  /** Moves on if the last call has ended that kept the session from doing so. */
  closeIfIdle(): void {
    if (this.#state === State.Open || (this.#parts.caller?.pending ?? 0) > 0) return;
    if (this.#state === State.Leaving) this.drain();
    else if (this.#state === State.Draining && (this.#parts.callee.runner?.inFlight.unanswered ?? 0) === 0) {
      this.#linger();
    }
  }

  /** The peer has ended its side: it sends no more, and may still read. */
  onPeerEnd(): void {
    this.#peerEnded = this.#refused = true;
    this.#parts.writer.awaitPings(false);
    if (this.ending) return;
    if (this.#parts.reader.inFrame) return this.lose("it ended inside a frame");
    const reason = this.#parted("the other side has ended it");
    this.#state = State.Draining;
    this.#parts.caller?.endAll(reason, false);
    this.#parts.callee.endOfInput(reason);
    this.#parts.options.draining?.();
    // From then on the peer is probed: one that is gone resets the connection.
    this.#parts.alarm.by(performance.now() + this.#parts.heartbeat.probeInterval);
    this.closeIfIdle();
  }

  /** The peer has announced that it accepts no more calls. */
  onGoAway({ seq: lastSeq, code, message }: FrameDecoder): void {
    const caller = this.#parts.caller;
    this.#refused = true;
    if (this.#state < State.Draining) this.#state = State.Draining;
    const reason = new RpcError("unavailable", message, { remote: true });
    caller?.endUnstarted(reason, lastSeq);
    if (code !== "unavailable") {
      this.#parts.options.log?.(`${this.#shownPeer()} closes the connection: ${code}: ${message}`);
      caller?.endAll(reason, true);
    }
    this.#parts.options.draining?.();
    this.closeIfIdle();
  }

  /** The peer broke the protocol: it is informed, and the connection ends. */
  violated(error: RpcError, limit: keyof LimitStats): void {
    if (this.ending) return;
    this.#parts.options.counters[limit]++;
    this.#parts.options.log?.(`Closing the connection of ${this.#shownPeer()}`, error);
    const reason = new RpcError("unavailable", `The connection was closed: ${error.message}`, {
      cause: error,
    });
    this.#sayGoAway(error);
    this.#parts.caller?.endAll(reason, true);
    this.#parts.callee.runner?.endAll(reason);
    this.#linger(true);
  }

  /** Gives up on a peer that cannot be informed any more. */
  cutOff(why: string, limit: keyof LimitStats): void {
    this.#parts.options.counters[limit]++;
    this.#parts.options.log?.(`Cut off ${this.#shownPeer()}: ${why}`);
    this.lose(why);
  }

  /** Reading has failed. */
  onReadFailed(error: unknown): void {
    this.#noteFault(error);
    this.#terminate(this.#parted(error));
  }

  /** The connection is gone. */
  lose(cause: unknown): void {
    this.#noteFault(cause);
    this.#terminate(this.#lost(cause));
  }

  /**
   * Lets what is written leave, ends this side, and has the read loop wait for the peer's end: closing with unread input
   * would reset the connection, and answers on their way would be lost.
   *
   * @param fault Whether the peer broke the protocol
   */
  #linger(fault = false): void {
    if (this.ending) return;
    this.#state = State.Closing;
    const { conn, reader, writer } = this.#parts;
    // Nothing that arrives from now on is handled.
    writer.awaitPings(false);
    writer.flushed().then(async () => {
      if (this.#state !== State.Closing) return;
      this.#lingerTimer = setTimeout(() => this.lose("the other side did not end it"), LINGER_MS);
      await conn.closeWrite(fault);
    }).catch(() => this.lose("it could not be ended"));
    reader.stop();
  }

  /** Counts and logs that either side has closed the connection because of a limit or a broken rule of the transport. */
  #noteFault(error: unknown): void {
    if (!(error instanceof WebSocketFault) || this.#state === State.Closed) return;
    this.#parts.options.counters.invalidFrames++;
    this.#parts.options.log?.(`The connection of ${this.#shownPeer()} was closed`, error);
  }

  /** The one end of everything. */
  #terminate(reason: RpcError): void {
    if (this.#state === State.Closed) return;
    this.#state = State.Closed;
    const { conn, reader, writer, alarm, callee, caller } = this.#parts;
    eventLoop.leave();
    alarm.stop();
    clearTimeout(this.#lingerTimer);
    caller?.endAll(reason, true);
    callee.runner?.endAll(reason);
    writer.stop();
    conn.close();
    this.#parts.options.slots?.close();
    reader.stop();
    this.#parts.options.ended?.(reason);
  }

  #sayGoAway({ code, message }: RpcError): void {
    const { frameWriter, callee } = this.#parts;
    writeGoAway(frameWriter.beginFrame(), callee.lastSeq, code, message);
  }

  /** The reason of a connection that is gone. */
  #lost(cause: unknown): RpcError {
    const message = `The connection to ${this.#parts.conn.peer} was lost: ${textOf(cause)}`;
    return new RpcError("unavailable", message, { cause });
  }

  /** The reason why nothing more arrives: a peer that sent a GoAway was not lost. */
  #parted(cause: unknown): RpcError {
    if (this.#state !== State.Draining || this.#refusing) return this.#lost(cause);
    return new RpcError("unavailable", "The other side shut down before it answered", { cause });
  }

  #shownPeer(): string {
    return shownPeer(this.#parts.conn.peer, this.#parts.options.agreement.identity);
  }
}

function drained(): RpcError {
  return new RpcError("unavailable", "The connection is shutting down");
}
