// The client's link to one endpoint: one session at a time, or a pool of several, dialed again with backoff when lost. Owned
// by a Client, whose calls to that endpoint share it.

import { type Deferred, deferred } from "../call/deferred.ts";
import { isRpcError, ofCall, RpcError } from "../call/error.ts";
import { endedWith } from "../call/outcome.ts";
import { Backoff } from "../discovery/backoff.ts";
import { MAX_DELAY, sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { EndpointHealth } from "../discovery/ejection.ts";
import { dial, type DialOptions } from "../session/dial.ts";
import type { EarlyCalls } from "../session/early_calls.ts";
import type { Session } from "../session/session.ts";
import type { AttemptListener, OutgoingCall } from "../session/outgoing_call.ts";
import type { CallTarget } from "../session/session_call.ts";
import type { SessionPool } from "./session_pool.ts";
import { within } from "./waiting.ts";

/** The longest wait between two attempts, in ms, before jitter. */
const LONGEST_WAIT = 10_000;
/** The first attempt after a loss waits up to this many ms, so that many clients do not reconnect at once. */
const FIRST_WAIT = 100;
/** After this many ms of dialing, calls look for another server. */
const SOON = 250;
/** Connections that the server ends sooner than this, in ms, are not replaced before that. */
const LEAST_AGE = 1_000;
/** A connection is replaced in the last part of its age, at most this many ms before its end. */
const LAST_PART = 0.1;
const LONGEST_LEAD = 5_000;
/** A connection that lasted this many ms counts as a success; a shorter one counts as a failure of the server. */
const STEADY = 1_000;

/** The state of a channel. */
export type ChannelState = "idle" | "connecting" | "ready" | "failing" | "closed";

/** What a channel reports to its client. */
export interface ChannelEvents {
  /** The channel can take calls again: it has a new connection, or room in the one it has. */
  readonly room: () => void;
  /** A connection was lost, drained or could not be made: the list of servers may be out of date. */
  readonly lost: () => void;
  /** Whether the client has no other server, so that a call loses nothing if it may not be sent to another one. */
  readonly only: () => boolean;
}

/** The connection to one endpoint, or several. */
export class Channel implements AttemptListener {
  /** The endpoint's address. */
  readonly address: string;
  /** The health of the server. */
  readonly health: EndpointHealth;
  /** The session for calls, or the first of several; undefined while there is no connection. */
  ready: Session | undefined;

  /** The sessions for calls, if there may be several. */
  readonly #pool: SessionPool | undefined;
  readonly #options: DialOptions;
  readonly #stop = new AbortController();
  readonly #backoff = new Backoff(Math.random);
  /** All open sessions, including those that only finish their calls. */
  readonly #sessions = new Set<Session>();
  #attempt: Promise<Session> | undefined;
  /** Resolves when that attempt can send calls that may leave with the handshake. */
  #sendable: Deferred<CallTarget> | undefined;
  /** The calls that were made during the handshake. */
  #early: EarlyCalls | undefined;
  /** Replace sessions before the server ends them. */
  readonly #replaceTimers = new Map<Session, ReturnType<typeof setTimeout>>();
  #replacing: Promise<unknown> | undefined;
  /** When that attempt began. */
  #began = 0;
  /** Calls that wait for a session. */
  #waiting = 0;
  /** Why the last attempt failed; undefined after a success. */
  #failure: RpcError | undefined;
  readonly #events: ChannelEvents;

  /** @param pool Holds the sessions, if there may be several */
  constructor(
    address: string,
    health: EndpointHealth,
    options: DialOptions,
    events: ChannelEvents,
    pool: SessionPool | undefined,
  ) {
    this.#pool = pool;
    this.#events = events;
    this.address = address;
    this.health = health;
    this.#options = options;
  }

  /** The state of the channel. */
  get state(): ChannelState {
    if (this.#stop.signal.aborted) return "closed";
    if (this.ready !== undefined) return "ready";
    if (this.#failure !== undefined) return "failing";
    return this.#attempt === undefined ? "idle" : "connecting";
  }

  /** The connections that take new calls. */
  get connections(): number {
    return this.#pool?.size ?? (this.ready === undefined ? 0 : 1);
  }

  /** Calls over the channel that have not settled, including those that wait for a session. */
  get pending(): number {
    let pending = this.#waiting + (this.#early?.pending ?? 0);
    for (const session of this.#sessions) pending += session.pending;
    return pending;
  }

  /** Whether a call can be sent soon. If not, `room` is called when it can. */
  takesCalls(): boolean {
    if (this.ready !== undefined) return (this.#pool ?? this.ready).takesCalls();
    if (this.#failure !== undefined || this.#stop.signal.aborted) return false;
    return this.#attempt === undefined || performance.now() < this.#began + SOON;
  }

  /** The session that a call takes; undefined while there is no connection. */
  sessionFor(call: OutgoingCall): Session | undefined {
    if (this.#pool === undefined) return this.ready;
    // The server may have closed one because it was idle.
    if (this.ready !== undefined) this.#fill();
    return this.#pool.pick(call);
  }

  /** Moves calls that were not sent to other servers, as far as they can move and `room` returns true. */
  offerWaiting(room: () => boolean): void {
    for (const session of this.#sessions) session.offerWaiting(room);
  }

  /** An attempt has ended: updates the health of the server. */
  done(error?: RpcError): void {
    if (error === undefined) return this.health.succeeded();
    const { code, remote, notStarted } = error;
    // An attempt that was never sent says nothing about the server.
    if (notStarted && !remote) return this.release();
    // The loss of one connection of several says nothing about the server either.
    if (code === "unavailable" && !remote && this.connections > 1) return this.release();
    // A server that shuts down gracefully answers each call it has not started with this code: that is not a failure.
    if (code === "unavailable" && !(remote && notStarted) || code === "deadline_exceeded") {
      this.health.failed();
    } else if (remote && !notStarted) this.health.succeeded();
    else this.release();
  }

  /** An attempt was not made, or has no outcome. */
  release(): void {
    this.health.undecided();
  }

  /**
   * Waits for a session, and dials if necessary. While attempts fail, it does not wait for the next one.
   *
   * @throws {RpcError} Why there is no session
   */
  connected(): Promise<Session> {
    if (this.ready !== undefined) return Promise.resolve(this.ready);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#attempt ?? this.#dial(0);
  }

  /**
   * Waits until a call can be sent, up to its deadline: for a session as {@linkcode connected} does, or only for the
   * connection if the call may leave with the handshake.
   *
   * @param signal Ends the wait
   * @param until Ends it too, on the clock of `performance.now()`
   * @throws {RpcError} Why there is no session
   */
  async connectedFor(
    call: OutgoingCall,
    signal: AbortSignal | undefined,
    until = Infinity,
  ): Promise<CallTarget> {
    this.#waiting++;
    try {
      const why = `still connecting to ${this.address}`;
      const session = this.connected();
      const early = this.#leavesEarly(call) ? this.#sendable : undefined;
      const ready = early?.promise ?? session;
      const target = await within<CallTarget>(ready, Math.min(call.deadline, until), signal, call, why);
      return this.#pool?.pick(call) ?? target;
    } catch (error) {
      if (!isRpcError(error)) throw error;
      // Calls that wait for the same dial share its failure; each gets its own error.
      const own = endedWith(error, error.notStarted);
      ofCall(own, call.method, this.address);
      throw own;
    } finally {
      this.#waiting--;
    }
  }

  /**
   * Waits for a session while it is likely to be ready soon.
   *
   * @returns Whether the dial has succeeded or failed; if it is still pending, another server may be faster
   */
  async soon(call: OutgoingCall, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.ready !== undefined || this.#failure !== undefined) return true;
    // Dials, unless a dial is pending.
    this.connected().catch(() => {});
    const now = performance.now();
    // A call with little time left keeps half of it for the other server.
    const until = Math.min(this.#began + SOON, now + (call.deadline - now) / 2);
    if (until <= now) return false;
    try {
      await this.connectedFor(call, signal, until);
      return true;
    } catch (error) {
      return (error as RpcError).code !== "deadline_exceeded";
    }
  }

  /** Takes no more calls, lets pending ones finish, then closes. */
  async retire(): Promise<void> {
    // Calls that have left with the handshake are answered by its session.
    if (this.#early !== undefined && this.#early.pending > 0) await this.#attempt?.catch(() => {});
    this.#end();
    const sessions = [...this.#sessions];
    for (const session of sessions) session.retire();
    await Promise.all([
      this.#attempt?.catch(() => {}),
      this.#replacing,
      ...sessions.map((session) => session.closed),
    ]);
  }

  /** Closes now: calls over it end with `reason`. Resolves when every session has ended. */
  async close(reason: RpcError): Promise<void> {
    this.#early?.fail(reason);
    this.#end();
    const attempt = this.#attempt;
    for (const session of this.#sessions) session.close(reason);
    await Promise.all([
      attempt?.catch(() => {}),
      this.#replacing,
      ...[...this.#sessions].map((session) => session.closed),
    ]);
  }

  /** Dials no more. */
  #end(): void {
    this.#stop.abort();
    this.#pool?.stop();
    for (const timer of this.#replaceTimers.values()) clearTimeout(timer);
  }

  /** Dials the next connection that is missing, one at a time. */
  #fill(): void {
    const wanting = this.#attempt === undefined && this.#pool?.wanting === true;
    if (wanting && !this.#stop.signal.aborted) this.#dial(0);
  }

  /**
   * Whether a call may leave with the handshake: if the connection is lost before the server has answered, it may have been
   * started, so it cannot be sent to another server unless it is idempotent.
   */
  #leavesEarly(call: OutgoingCall): boolean {
    if (this.ready !== undefined || this.#failure !== undefined) return false;
    return !call.waitForReady && (call.idempotent || this.#events.only());
  }

  /** Starts an attempt in `wait` ms. */
  #dial(wait: number): Promise<Session> {
    this.#began = performance.now();
    const { promise, resolve, reject } = this.#sendable = deferred<CallTarget>();
    const attempt = this.#connect(wait);
    this.#attempt = attempt;
    // Calls that wait see the failure; without any, it is not an unhandled rejection.
    attempt.then(resolve, reject);
    promise.catch(() => {});
    return attempt;
  }

  async #connect(wait: number): Promise<Session> {
    const { signal } = this.#stop;
    if (wait > 0) await sleep(SYSTEM_CLOCK, wait, signal);
    try {
      if (signal.aborted) throw new RpcError("unavailable", "The client was closed", { notStarted: true });
      const session = await this.#open((early) => {
        this.#early = early;
        this.#sendable?.resolve(early);
      });
      this.#attempt = this.#sendable = this.#early = undefined;
      this.#failure = undefined;
      this.#use(session);
      this.#fill();
      return session;
    } catch (error) {
      const early = this.#early;
      this.#attempt = this.#sendable = this.#early = undefined;
      if (this.ready !== undefined && !signal.aborted) {
        this.#pool?.later(this.#backoff.next(LONGEST_WAIT), () => this.#fill());
        early?.fail(error as RpcError);
        return this.ready;
      }
      this.#failure = error as RpcError;
      this.health.disconnected();
      if (!signal.aborted) {
        this.#dial(this.#backoff.next(LONGEST_WAIT));
        this.#events.lost();
      }
      early?.fail(error as RpcError);
      throw error;
    }
  }

  /**
   * Dials once.
   *
   * @param early Called when calls can be made that leave with the handshake; absent = none do
   * @throws {RpcError} Why there is no session
   */
  async #open(early?: (calls: EarlyCalls) => void): Promise<Session> {
    const { signal } = this.#stop;
    const began = performance.now();
    let dialed: Session | undefined;
    const session = dialed = await dial(this.address, this.#options, {
      early,
      room: this.#events.room,
      draining: () => this.#lost(dialed, began),
      ended: () => {
        if (dialed !== undefined) this.#sessions.delete(dialed);
        this.#lost(dialed, began);
      },
    }, signal);
    this.#sessions.add(session);
    if (!session.open) {
      // The server has ended the connection before the handshake returned. Calls that left with it may still be answered.
      session.closed.then(() => this.#sessions.delete(session));
      const error = new RpcError("unavailable", `${this.address} ended the connection at once`, {
        notStarted: true,
      });
      ofCall(error, undefined, this.address);
      throw error;
    }
    if (signal.aborted) session.retire();
    return session;
  }

  /** Sends calls over a session from now on. */
  #use(session: Session): void {
    this.#pool?.add(session);
    this.ready = this.#pool?.first ?? session;
    this.health.connected();
    this.#events.room();
    const { maxAge } = session.lifetime;
    if (maxAge < LEAST_AGE || maxAge > MAX_DELAY) return;
    const lead = Math.min(maxAge * LAST_PART, LONGEST_LEAD);
    const replace = () => this.#replacing = Promise.all([this.#replacing, this.#replace(session)]);
    this.#replaceTimers.set(session, setTimeout(replace, maxAge - lead));
  }

  /** Sends no more calls over a session. Returns whether it was used for calls. */
  #leave(session: Session): boolean {
    if (this.#pool === undefined ? this.ready !== session : !this.#pool.remove(session)) return false;
    this.ready = this.#pool?.first;
    clearTimeout(this.#replaceTimers.get(session));
    this.#replaceTimers.delete(session);
    return true;
  }

  /** Opens the next connection while the server still accepts calls over this one, so that no call waits for it. */
  async #replace(session: Session): Promise<void> {
    try {
      const next = await this.#open();
      // If the old one was lost meanwhile, another is being dialed.
      if (this.#stop.signal.aborted || !this.#leave(session)) return next.retire();
      this.#use(next);
      session.offerWaiting(() => next.takesCalls());
      session.retire();
    } catch {
      // The server ends the old one soon: from then on failures are handled as after any loss.
    }
  }

  #lost(session: Session | undefined, began: number): void {
    if (session === undefined || !this.#leave(session)) return;
    if (this.#stop.signal.aborted) return;
    const steady = performance.now() - began >= STEADY;
    if (steady) this.#backoff.reset();
    // The server closed it because it was idle: the next call dials.
    if (steady && session.lifetime.maxIdle < Infinity && session.idle) return;
    const last = this.ready === undefined && this.#attempt === undefined;
    // Several that are lost together are one failure.
    const failed = last || this.#pool?.waiting !== true;
    const wait = steady ? Math.random() * FIRST_WAIT : failed ? this.#backoff.next(LONGEST_WAIT) : 0;
    // While connections do not last, only one is opened.
    this.#pool?.later(steady ? wait : wait + STEADY, () => this.#fill());
    if (last) this.#dial(wait);
    this.#events.lost();
  }
}
