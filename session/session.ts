// One connection after its handshake: calls in both directions over one Conn. What clients and servers may do with it;
// its work is session_core.ts. Opened by a client's channels and by servers.

import type { RpcError } from "../call/error.ts";
import type { Identity, PeerCertificate } from "../call/handler.ts";
import type { Conn } from "../transport/conn.ts";
import type { EarlyState } from "./early_calls.ts";
import type { IncomingCall } from "./incoming_call.ts";
import type { Lifetime } from "./lifetime.ts";
import type { SessionCall } from "./session_call.ts";
import { SessionCore } from "./session_core.ts";
import type { SessionOptions } from "./session_options.ts";
import type { SessionStats } from "./session_stats.ts";

const FOREVER: Lifetime = { maxAge: Infinity, maxIdle: Infinity };

/** Calls in both directions over one connection. */
export class Session {
  /** Resolves when the connection is closed and nothing of it is left. Never rejects. */
  readonly closed: Promise<void>;
  readonly #core: SessionCore;
  readonly #openedAt: number;

  /** Takes over a Conn and begins to read it. */
  constructor(conn: Conn, options: SessionOptions) {
    const core = this.#core = new SessionCore(conn, options);
    this.#openedAt = core.frameWriter.cachedNow;
    this.closed = core.reader.run();
  }

  /** The peer's address. */
  get address(): string {
    return this.#core.conn.peer;
  }

  /** The certificate that the peer has presented, if it was requested. */
  get certificate(): PeerCertificate | undefined {
    return this.#core.conn.certificate;
  }

  /** The peer's identity, if `authenticate` has returned one. */
  get identity(): Identity | undefined {
    return this.#core.options.agreement.identity;
  }

  /** How long the server keeps the connection. */
  get lifetime(): Lifetime {
    return this.#core.options.agreement.lifetime ?? FOREVER;
  }

  /** Whether no call has been in flight here for some time, about a second. */
  get idle(): boolean {
    return this.pending === 0 && !this.#core.heartbeat.watching;
  }

  /** Whether new calls can be made. */
  get open(): boolean {
    return this.#core.lifecycle.open;
  }

  /**
   * Whether a call would be sent at once: there is room for it, and no doubt that the peer is there. If not, the option
   * `room` is called as soon as it would be.
   */
  takesCalls(): boolean {
    return this.#core.lifecycle.open && this.#core.callerHalf().takesCalls();
  }

  /** Moves calls that were not sent to other connections, as far as they can move and `room` returns true. */
  offerWaiting(room: () => boolean): void {
    this.#core.caller?.offerWaiting(room);
  }

  /** Calls made here that are not settled. */
  get pending(): number {
    return this.#core.caller?.pending ?? 0;
  }

  /** The streams of unfinished calls. */
  get streams(): number {
    return this.#core.windows.streams;
  }

  /** The peer's calls whose handlers are running. */
  get running(): number {
    return this.#core.callee.runner?.inFlight.size ?? 0;
  }

  /** The calls counted by `running`, oldest first. */
  get calls(): Iterable<IncomingCall> {
    return this.#core.callee.runner?.inFlight.values() ?? [];
  }

  /** Ends calls of the peer whose handlers have waited for it for `limit` ms. */
  endStalled(limit: number): void {
    this.#core.callee.runner?.endStalled(performance.now(), limit);
  }

  /** Bytes that wait to be written, or are being written. */
  get unsent(): number {
    return this.#core.frameWriter.unsent;
  }

  /** The state of the connection. */
  stats(): SessionStats {
    const now = performance.now();
    return {
      address: this.address,
      state: this.#core.lifecycle.name,
      codec: this.#core.options.agreement.codec.name,
      age: now - this.#openedAt,
      silence: now - this.#core.heartbeat.receivedAt,
      calls: Math.ceil(this.#core.callee.lastSeq / 2),
      inFlight: this.running,
      callsBack: this.pending,
      unsentBytes: this.unsent,
    };
  }

  /** The time in this turn of the event loop, in ms, from which deadlines are counted. */
  now(): number {
    return this.#core.frameWriter.now();
  }

  /** Takes over the calls that were made during the handshake. */
  adopt(early: EarlyState): void {
    this.#core.adopt(early);
  }

  /** Calls a method of the peer. A call for which there is no room waits for it. */
  call(call: SessionCall): void {
    this.#core.call(call, this.#core.lifecycle.open);
  }

  /**
   * Makes no more calls, lets those made finish, then drains. A handler of the peer that answers one of them can still
   * call back meanwhile.
   */
  retire(): void {
    this.#core.lifecycle.retire();
  }

  /** Lets the calls accepted so far finish, accepts no more, then closes. */
  drain(): void {
    this.#core.lifecycle.drain();
  }

  /** Closes now: calls in both directions end with `reason`, and what is already written still leaves. */
  close(reason: RpcError): void {
    this.#core.lifecycle.close(reason);
  }
}
