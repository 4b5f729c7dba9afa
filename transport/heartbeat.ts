// Whether the other side of a connection is there: how long it has been silent, the pings that ask, and when it is given
// up. Owned by a session, which says when something came and looks here when its alarm rings.

import { Kind, writeShort } from "../codec/frame.ts";
import type { SessionLimits } from "./limits.ts";
import type { Outbox } from "./outbox.ts";

/**
 * How soon a peer is asked, in ms, of which it is doubtful whether it is there: it has ended its side and is owed answers,
 * or a call ran out of time since it was heard last.
 */
const DOUBTFUL = 1_000;
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
  /** After how long a silent peer is to be looked at; Infinity without heartbeat. */
  readonly interval: number;
  /** The same of one that has ended its side. */
  readonly probeInterval: number;

  readonly #timeout: number;
  readonly #outbox: Outbox;
  readonly #owner: HeartbeatOwner;
  #pingedAt = 0;
  #pings = 0;
  /** Whether the last ping had not left when it was looked at last. */
  #stuck = false;

  /** @param limits `heartbeatInterval` and `heartbeatTimeout`; an interval of 0 = no heartbeat */
  constructor(limits: SessionLimits, outbox: Outbox, owner: HeartbeatOwner) {
    const on = limits.heartbeatInterval > 0;
    this.interval = on ? limits.heartbeatInterval : Infinity;
    this.probeInterval = on ? DOUBTFUL : Infinity;
    this.#timeout = limits.heartbeatTimeout;
    this.#outbox = outbox;
    this.#owner = owner;
    this.receivedAt = outbox.lately;
  }

  /** When a peer that stays silent is to be looked at; Infinity without heartbeat. */
  get due(): number {
    return this.receivedAt + this.interval;
  }

  /**
   * Pings a silent peer, and gives up on one that stays silent.
   *
   * @param patience For how much longer it may be silent, since this process was stalled
   * @param expired Whether calls have been waiting in vain, which makes silence suspicious sooner
   * @returns When to look again
   */
  check(now: number, patience: number, expired: boolean): number {
    const pinged = this.#pingedAt > this.receivedAt;
    const quiet = this.receivedAt + (expired ? Math.min(this.probeInterval, this.interval) : this.interval);
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

  /**
   * Writes to a peer that has ended its side: one that is gone, and not only silent, resets the connection.
   *
   * @returns When to probe again
   */
  probe(now: number): number {
    if (this.probeInterval < Infinity) this.#ping();
    return now + this.probeInterval;
  }

  #ping(): void {
    writeShort(this.#outbox.open(), Kind.Ping, ++this.#pings);
  }
}
