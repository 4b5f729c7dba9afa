// The client's link to one endpoint: one session at a time, dialled again with backoff when it is lost. Owned by a
// Client, shared by all its calls to that endpoint.

import { isRpcError, ofCall, RpcError } from "../call/error.ts";
import { endedWith } from "../call/outcome.ts";
import { Backoff } from "../discovery/backoff.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { EndpointHealth } from "../discovery/ejection.ts";
import { dial, type DialOptions } from "../session/dial.ts";
import type { Session } from "../session/session.ts";
import type { AttemptListener, OutgoingCall } from "../session/outgoing_call.ts";
import { within } from "./waiting.ts";

/** The longest wait between two attempts, in ms, before jitter. */
const LONGEST_WAIT = 10_000;
/** The first attempt after a loss waits up to this, so that many clients do not come back at once. */
const FIRST_WAIT = 100;
/** How long an attempt may take before calls look for another server meanwhile, in ms. */
const SOON = 250;
/** A connection that lasted this long was a good one; of a server that accepts and drops, each loss is a failure. */
const STEADY = 1_000;

/** How a channel stands. */
export type ChannelState = "idle" | "connecting" | "ready" | "failing" | "closed";

/** One endpoint's connection. */
export class Channel implements AttemptListener {
  /** The address it leads to. */
  readonly address: string;
  /** How the server there stands. */
  readonly health: EndpointHealth;
  /** The session to call over; undefined while there is none. */
  ready: Session | undefined;

  readonly #options: DialOptions;
  readonly #stop = new AbortController();
  readonly #backoff = new Backoff(Math.random);
  /** All sessions that are not over, those that only finish their calls included. */
  readonly #sessions = new Set<Session>();
  #attempt: Promise<Session> | undefined;
  /** When that attempt was begun. */
  #began = 0;
  /** Calls that wait for a session. */
  #waiting = 0;
  /** Why the last attempt failed; undefined once one succeeds. */
  #failure: RpcError | undefined;
  readonly #room: () => void;

  /** @param room Called when calls can be sent over it that could not be before: it has a connection, or room in it */
  constructor(address: string, health: EndpointHealth, options: DialOptions, room: () => void) {
    this.#room = room;
    this.address = address;
    this.health = health;
    this.#options = options;
  }

  /** How it stands. */
  get state(): ChannelState {
    if (this.#stop.signal.aborted) return "closed";
    if (this.ready !== undefined) return "ready";
    if (this.#failure !== undefined) return "failing";
    return this.#attempt === undefined ? "idle" : "connecting";
  }

  /** Calls over it that are not settled, those that wait for a session included. */
  get pending(): number {
    let pending = this.#waiting;
    for (const session of this.#sessions) pending += session.pending;
    return pending;
  }

  /** Whether a call may be sent over it soon. If not, `room` is called when it can be. */
  takesCalls(): boolean {
    if (this.ready !== undefined) return this.ready.takesCalls();
    if (this.#failure !== undefined || this.#stop.signal.aborted) return false;
    return this.#attempt === undefined || performance.now() < this.#began + SOON;
  }

  /** An attempt over it is over: tells how the server stands. */
  done(error?: RpcError): void {
    if (error === undefined) return this.health.succeeded();
    const { code, remote, notStarted } = error;
    // What was never sent says nothing about the server.
    if (notStarted && !remote) return this.release();
    // A server that leaves in good order says so of each call that it has not begun: that is no failure.
    if (code === "unavailable" && !(remote && notStarted) || code === "deadline_exceeded") {
      this.health.failed();
    } else if (remote && !notStarted) this.health.succeeded();
    else this.release();
  }

  /** An attempt over it was not made, or came to nothing. */
  release(): void {
    this.health.undecided();
  }

  /**
   * Waits for a session, dialling if need be. While attempts fail it does not wait for the next.
   *
   * @throws {RpcError} Why there is none
   */
  connected(): Promise<Session> {
    if (this.ready !== undefined) return Promise.resolve(this.ready);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#attempt ?? this.#dial(0);
  }

  /**
   * Waits for a session as {@linkcode connected} does, no longer than a call may.
   *
   * @param signal Ends the wait
   * @param until Ends it too, on the clock of `performance.now()`
   * @throws {RpcError} Why there is none
   */
  async connectedFor(
    { deadline, method }: OutgoingCall,
    signal: AbortSignal | undefined,
    until = Infinity,
  ): Promise<Session> {
    this.#waiting++;
    try {
      const why = `still connecting to ${this.address}`;
      return await within(this.connected(), Math.min(deadline, until), signal, method, why);
    } catch (error) {
      if (!isRpcError(error)) throw error;
      // Calls that wait for one dial share its failure; each gets an error of its own.
      const own = endedWith(error, error.notStarted);
      ofCall(own, method, this.address);
      throw own;
    } finally {
      this.#waiting--;
    }
  }

  /**
   * Waits for a session while it is likely to come soon.
   *
   * @returns Whether it has been decided that there is one, or none; if not, another server may be faster
   */
  async soon(call: OutgoingCall, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.ready !== undefined || this.#failure !== undefined) return true;
    // Begins to dial, if nobody has yet.
    this.connected().catch(() => {});
    const now = performance.now();
    // A call in a hurry keeps half of its time for the other server.
    const until = Math.min(this.#began + SOON, now + (call.deadline - now) / 2);
    if (until <= now) return false;
    try {
      await this.connectedFor(call, signal, until);
      return true;
    } catch (error) {
      return (error as RpcError).code !== "deadline_exceeded";
    }
  }

  /** Takes no more calls, lets those under way finish, then closes. */
  async retire(): Promise<void> {
    this.#stop.abort();
    const sessions = [...this.#sessions];
    for (const session of sessions) session.retire();
    await Promise.all([this.#attempt?.catch(() => {}), ...sessions.map((session) => session.closed)]);
  }

  /** Closes now: calls over it end with `reason`. Resolves when nothing is left. */
  async close(reason: RpcError): Promise<void> {
    this.#stop.abort();
    const attempt = this.#attempt;
    for (const session of this.#sessions) session.close(reason);
    await Promise.all([attempt?.catch(() => {}), ...[...this.#sessions].map((session) => session.closed)]);
  }

  /** Begins an attempt in `wait` ms. */
  #dial(wait: number): Promise<Session> {
    this.#began = performance.now();
    const attempt = this.#connect(wait);
    this.#attempt = attempt;
    // Calls that wait for it see its failure; that nobody waits is no mistake.
    attempt.catch(() => {});
    return attempt;
  }

  async #connect(wait: number): Promise<Session> {
    const { signal } = this.#stop;
    if (wait > 0) await sleep(SYSTEM_CLOCK, wait, signal);
    try {
      if (signal.aborted) throw new RpcError("unavailable", "The client was closed", { notStarted: true });
      const began = performance.now();
      let dialled: Session | undefined;
      const session = dialled = await dial(this.address, this.#options, {
        room: this.#room,
        draining: () => this.#lost(dialled, began),
        ended: () => {
          if (dialled !== undefined) this.#sessions.delete(dialled);
          this.#lost(dialled, began);
        },
      }, signal);
      if (!session.open) {
        // It was over before it got here.
        await session.closed;
        throw new RpcError("unavailable", `${this.address} ended the connection at once`, {
          notStarted: true,
        });
      }
      this.#sessions.add(session);
      if (signal.aborted) session.retire();
      this.#attempt = undefined;
      this.#failure = undefined;
      this.ready = session;
      this.health.connected();
      this.#room();
      return session;
    } catch (error) {
      this.#attempt = undefined;
      this.#failure = error as RpcError;
      this.health.disconnected();
      if (!signal.aborted) this.#dial(this.#backoff.next(LONGEST_WAIT));
      throw error;
    }
  }

  #lost(session: Session | undefined, began: number): void {
    if (session === undefined || this.ready !== session) return;
    this.ready = undefined;
    if (this.#stop.signal.aborted) return;
    const steady = performance.now() - began >= STEADY;
    if (steady) this.#backoff.reset();
    this.#dial(steady ? Math.random() * FIRST_WAIT : this.#backoff.next(LONGEST_WAIT));
  }
}
