// Whether the other side of a connection is there: how long it has been silent, the pings that ask, and when it is given
// up. Owned by a session, which says when something came and looks here when its alarm rings.

import { Kind, writeShort } from "../codec/frame.ts";
import type { SessionLimits } from "./limits.ts";
import type { FrameWriter } from "./frame_writer.ts";

/**
 * How soon a silent peer is asked, in ms, while calls wait for its answer, or after it has ended its side; and how soon
 * it counts as doubtful if it does not answer that.
 */
const SOON = 1_000;
/** With more than this to be written, in bytes, a ping is taken to be on its way out still. */
const PING_STUCK = 65_536;
/** How often the clocks are compared at most, in ms: asking for the date costs as much as asking for the time. */
const COMPARE_EVERY = 10;

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
  /** Whether the peer has not answered a ping within a second, or may have gone while this process slept. */
  doubtful = false;
  /** Whether it is looked at within a second in any case: then calls need not ask for that. */
  watching: boolean;
  /** After how long a silent peer is to be looked at; Infinity without heartbeat. */
  readonly interval: number;
  /** How soon it is looked at while calls wait, and after it has ended its side; Infinity without heartbeat. */
  readonly probeInterval: number;

  readonly #timeout: number;
  /** After a longer silence, or a longer sleep of this process, either side may have given the connection up. */
  readonly #trusted: number;
  readonly #frameWriter: FrameWriter;
  readonly #owner: HeartbeatOwner;
  #pingedAt = -Infinity;
  #pings = 0;
  /** Whether the last ping had not left when it was looked at last. */
  #stuck = false;
  #lookedAt: number;
  #lookAt: number;
  /** Whether a call has waited since it was looked at last. */
  #waited = false;
  /** Whether pings have been exchanged since the last look: to be there is not yet to do what was called for. */
  #pinged = false;
  /** How long the peer may be silent while calls wait: doubled by each answer to a ping. */
  #patience: number;
  /** When the clocks were compared last, and the difference between them. */
  #comparedAt: number;
  /** Whether this process slept, so that what is read may have come before: only a Pong to a later Ping dispels doubt. */
  #slept = false;
  #clockOffset: number;

  /**
   * @param limits `heartbeatInterval` and `heartbeatTimeout`; an interval of 0 = no heartbeat
   * @param peerInterval After how long a silence the peer pings, in ms; Infinity = never, or unknown
   */
  constructor(
    limits: SessionLimits,
    frameWriter: FrameWriter,
    owner: HeartbeatOwner,
    peerInterval = Infinity,
  ) {
    const on = limits.heartbeatInterval > 0;
    this.interval = on ? limits.heartbeatInterval : Infinity;
    this.probeInterval = on ? Math.min(SOON, this.interval) : Infinity;
    this.#timeout = limits.heartbeatTimeout;
    this.#trusted = on ? Math.min(this.interval, peerInterval) + SOON : Infinity;
    this.#frameWriter = frameWriter;
    this.#owner = owner;
    this.#patience = this.probeInterval;
    this.watching = !on;
    this.receivedAt = this.#lookedAt = frameWriter.cachedNow;
    this.#lookAt = this.due;
    this.#comparedAt = on ? frameWriter.cachedNow : Infinity;
    this.#clockOffset = Date.now() - frameWriter.cachedNow;
  }

  /** When a peer that stays silent is to be looked at; Infinity without heartbeat. */
  get due(): number {
    return this.receivedAt + this.interval;
  }

  /**
   * Looks after the peer more closely, since a call is made and nothing was watching.
   *
   * @returns When to look
   */
  watch(now: number): number {
    this.watching = true;
    this.#patience = this.probeInterval;
    this.#pinged = false;
    this.#lookedAt = now;
    return this.#lookAt = Math.min(this.#lookAt, now + this.probeInterval);
  }

  /**
   * Pings a silent peer, and gives up on one that stays silent.
   *
   * @param stalled Whether this process was stalled: what the peer has sent meanwhile is not read yet
   * @param waits Whether calls wait for the peer, or have just been waiting in vain
   * @returns When to look again
   */
  check(now: number, stalled: boolean, waits: boolean): number {
    this.#waited ||= waits;
    if (now < this.#lookAt) return this.#lookAt;
    const heard = this.receivedAt >= this.#lookedAt;
    const waited = this.#waited;
    this.#lookedAt = now;
    this.#waited = false;
    if (this.#pingedAt > this.receivedAt) return this.#lookAt = this.#unanswered(now, stalled);
    this.doubtful = this.#slept;
    if (now >= this.due) this.#owner.onQuiet();
    if (now >= this.due || waited && !heard) return this.#ask(now);
    // A peer that says anything but pings works; one that does not is asked less and less often.
    if (!this.#pinged || !waited) this.#patience = this.probeInterval;
    this.#pinged = false;
    this.watching = waited && this.#patience === this.probeInterval;
    return this.#lookAt = waited ? Math.min(now + this.#patience, this.due) : this.due;
  }

  /**
   * Asks a peer that may have gone without a sign: it has been silent for longer than it may, or this process has slept.
   * `performance.now()` stops while a system is suspended, so the date is looked at too.
   *
   * @returns When to look for the answer; undefined if there is nothing to doubt
   */
  doubt(now: number): number | undefined {
    if (now - this.#comparedAt < COMPARE_EVERY) return undefined;
    const offset = Date.now() - now;
    const slept = offset - this.#clockOffset;
    this.#clockOffset = offset;
    this.#comparedAt = now;
    if (this.doubtful || Math.max(now - this.receivedAt, slept) <= this.#trusted) return undefined;
    this.doubtful = this.#slept = true;
    this.#lookedAt = now;
    return this.#ask(now);
  }

  /** A Ping has come. */
  onPing(now: number): void {
    this.receivedAt = now;
    this.#pinged = true;
    this.doubtful = this.#slept;
  }

  /** A Pong has come, to the Ping of that number. */
  onPong(now: number, ping: number): void {
    if (ping === this.#pings) this.#slept = false;
    this.onPing(now);
  }

  /**
   * Writes to a peer that has ended its side: one that is gone, and not only silent, resets the connection.
   *
   * @returns When to probe again
   */
  probe(now: number): number {
    if (this.probeInterval < Infinity) this.ping();
    return now + this.probeInterval;
  }

  /** Pings. Returns when to look for the answer. */
  #ask(now: number): number {
    this.#pingedAt = now;
    this.#pinged = this.watching = true;
    this.#patience = Math.min(2 * this.#patience, this.interval);
    this.ping();
    return this.#lookAt = now + Math.min(this.probeInterval, this.#timeout);
  }

  /** Looks at a peer that has not answered yet. Returns when to look again. */
  #unanswered(now: number, stalled: boolean): number {
    // A ping behind much that is not written yet has not been heard; whether writes get on is another's question.
    const stuck = this.#frameWriter.unsent > PING_STUCK;
    if (stuck || this.#stuck || stalled) this.#pingedAt = now;
    this.#stuck = stuck;
    const due = this.#pingedAt + this.#timeout;
    if (now < due) {
      this.doubtful ||= now - this.#pingedAt >= this.probeInterval;
      return Math.min(due, now + this.probeInterval);
    }
    this.#owner.onSilent(Math.round(now - this.receivedAt));
    return Infinity;
  }

  /** Sends a Ping. Returns its number. */
  ping(): number {
    writeShort(this.#frameWriter.beginFrame(), Kind.Ping, ++this.#pings);
    return this.#pings;
  }
}
