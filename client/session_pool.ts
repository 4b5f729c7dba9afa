// The sessions of a channel that keeps several connections to its server, and which of them a call takes. Loaded for clients
// with the option `connections`. Owned by a Channel, which dials.

import type { CallBodies } from "../session/call_body.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import type { Session } from "../session/session.ts";

/** A stream counts as so many calls in flight, and so do large messages. */
const BULK_CALLS = 16;
/** Large messages count for this many ms after their call was made. */
const LARGE_TIME = 1_000;
/** So many bytes that wait to be written count as a call in flight. */
const CALL_BYTES = 4_096;
/** Keeps streams and large messages from the first connection, unless the others have no room. */
const RESERVED = 1e9;
/** Keeps calls from a connection without room, unless no other has room. */
const NO_ROOM = 1e12;

/** The sessions of one channel. */
export class SessionPool {
  readonly #size: number;
  readonly #bodies: CallBodies;
  /** The first one carries no streams and no large messages, as long as there are others. */
  readonly #sessions: Session[] = [];
  /** When a session last took a call with large messages. */
  readonly #largeAt = new WeakMap<Session, number>();
  /** Where the next search begins, so that calls one after the other use all connections. */
  #turn = 0;
  /** Waits until a missing connection may be dialed. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param size How many sessions there should be
   * @param bodies Knows which methods have large messages
   */
  constructor(size: number, bodies: CallBodies) {
    this.#size = size;
    this.#bodies = bodies;
  }

  /** How many sessions there are. */
  get size(): number {
    return this.#sessions.length;
  }

  /** The first session. */
  get first(): Session | undefined {
    return this.#sessions[0];
  }

  /** Whether missing connections are not dialed for now. */
  get waiting(): boolean {
    return this.#timer !== undefined;
  }

  /** Whether another connection is to be dialed now. */
  get wanting(): boolean {
    return this.size < this.#size && !this.waiting;
  }

  /** Whether any session takes calls. */
  takesCalls(): boolean {
    // All are asked, since each reports room only to those that have asked.
    return this.#sessions.filter((session) => session.takesCalls()).length > 0;
  }

  /** Adds a session. */
  add(session: Session): void {
    const { first } = this;
    // A new connection carries no streams yet.
    if (first !== undefined && first.streams > 0) this.#sessions.unshift(session);
    else this.#sessions.push(session);
  }

  /** Removes a session. Returns whether it was there. */
  remove(session: Session): boolean {
    const at = this.#sessions.indexOf(session);
    if (at >= 0) this.#sessions.splice(at, 1);
    return at >= 0;
  }

  /** The session that a call takes: the one with the least load. */
  pick(call: OutgoingCall): Session | undefined {
    const { size } = this;
    const now = performance.now();
    const large = this.#bodies.isLarge(call.method);
    const reserved = (large || call.streams) ? RESERVED : 0;
    this.#turn = (this.#turn + 1) % Math.max(size, 1);
    let best: Session | undefined;
    let least = Infinity;
    for (let n = 0; n < size; n++) {
      const at = (this.#turn + n) % size;
      const session = this.#sessions[at]!;
      const load = this.#loadOf(session, now) + (at === 0 ? reserved : 0);
      if (load >= least) continue;
      best = session;
      least = load;
    }
    if (large && best !== undefined) this.#largeAt.set(best, now);
    return best;
  }

  /** Calls `dial` in `wait` ms. Nothing is `wanting` until then. */
  later(wait: number, dial: () => void): void {
    this.stop();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      dial();
    }, wait);
  }

  /** No missing connection is dialed any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The load of a session, as a number of calls in flight. */
  #loadOf(session: Session, now: number): number {
    const large = now - (this.#largeAt.get(session) ?? -Infinity) < LARGE_TIME ? 1 : 0;
    const load = session.pending + (session.streams + large) * BULK_CALLS + session.unsent / CALL_BYTES;
    return session.takesCalls() ? load : load + NO_ROOM;
  }
}
