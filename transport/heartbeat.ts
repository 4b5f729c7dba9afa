// Whether the other side of a connection is there: how long it has been silent, the pings that ask, and when it is given
// up. Owned by a session, which says when something came and looks here when its alarm rings.

import { Kind, writeShort } from "../codec/frame.ts";
import type { SessionLimits } from "./limits.ts";
import type { Outbox } from "./outbox.ts";

/** How often a peer that has ended its side is probed while it is owed answers, in ms. */
const PROBE = 1_000;
/** After a silence of so many ms a call that ran out of time is reason enough to ask whether the peer is there. */
const SUSPICIOUS = 1_000;
/** With more than this to be written, in bytes, a ping is taken to be on its way out still. */
const PING_STUCK = 65_536;

/** Whoever a heartbeat works for. */
export interface HeartbeatOwner {
  /** Nothing has come for an interval: the connection is idle. */
  onQuiet(): void;
  /** A ping had no answer: the peer is gone, `silence` ms after it was heard last. */
  onSilent(silence: number): void;
}

/** Silence and pings of one connection. Times are ms on the clock of `performance.now()`. */
export class Heartbeat {
  /** When something came last, or a little before. */
  receivedAt: number;

  readonly #interval: number;
  readonly #timeout: number;
  readonly #outbox: Outbox;
  readonly #owner: HeartbeatOwner;
  #pingedAt = 0;
  #pings = 0;
  /** Whether the last ping had not left when it was looked at last. */
  #stuck = false;

  /** @param limits `heartbeatInterval` and `heartbeatTimeout`; an interval of 0 = no heartbeat */
  constructor(limits: SessionLimits, outbox: Outbox, owner: HeartbeatOwner) {
    this.#interval = limits.heartbeatInterval;
    this.#timeout = limits.heartbeatTimeout;
    this.#outbox = outbox;
    this.#owner = owner;
    this.receivedAt = outbox.lately;
  }

  /** When a peer that stays silent is to be looked at; Infinity without heartbeat. */
  get due(): number {
    return this.#interval === 0 ? Infinity : this.receivedAt + this.#interval;
  }

  /**
   * Pings a silent peer, and gives up on one that stays silent.
   *
   * @param patience For how much longer it may be silent, since this process was stalled
   * @param expired Whether calls have been waiting in vain, which makes silence suspicious sooner
   * @returns When to look again
   */
  check(now: number, patience: number, expired: boolean): number {
    if (this.#interval === 0) return Infinity;
    const pinged = this.#pingedAt > this.receivedAt;
    const quiet = this.receivedAt + (expired ? Math.min(SUSPICIOUS, this.#interval) : this.#interval);
    if (!pinged && now < quiet) return this.due;
    if (!pinged) {
      this.#pingedAt = now;
      this.#owner.onQuiet();
      this.#ping();
    }
    // A ping behind much that is not written yet has not been heard; whether writes get on is another's question.
    const stuck = this.#outbox.unsent > PING_STUCK;
    if (stuck || this.#stuck) this.#pingedAt = now;
    this.#stuck = stuck;
    const due = this.#pingedAt + this.#timeout + patience;
    if (now < due) return due;
    this.#owner.onSilent(Math.round(now - this.receivedAt));
    return Infinity;
  }

  /** When to look again while the peer is not read from. */
  later(now: number): number {
    return this.#interval === 0 ? Infinity : now + this.#interval;
  }

  /**
   * Writes to a peer that has ended its side: one that is gone, and not only silent, resets the connection.
   *
   * @returns When to probe again
   */
  probe(now: number): number {
    if (this.#interval === 0) return Infinity;
    this.#ping();
    return now + PROBE;
  }

  /** When a peer that ends its side now is probed first. */
  firstProbe(now: number): number {
    return this.#interval === 0 ? Infinity : now + PROBE;
  }

  #ping(): void {
    writeShort(this.#outbox.open(), Kind.Ping, ++this.#pings);
  }
}
