// Detects a peer that is gone: measures its silence, pings it, and gives it up. Also measures the round trip, for the
// windows of streams. Owned by a session, which records when bytes arrive, and checks here when its alarm rings.

import { Kind, writeShort } from "../codec/frame.ts";
import { type LineProbe, RoundTrip } from "./bandwidth.ts";
import type { SessionLimits } from "./limits.ts";
import type { FrameWriter } from "./frame_writer.ts";

/**
 * How soon a silent peer is pinged while calls wait for it, or after it has ended its side, in ms; and how soon it counts as
 * doubtful if it does not answer the ping.
 */
const SOON = 1_000;
/** While more than this waits to be written, in bytes, a ping is assumed not to have left. */
const PING_STUCK = 65_536;
/** The least time between two comparisons of the clocks, in ms: reading the date costs as much as reading the time. */
const MIN_COMPARE_INTERVAL = 10;

/** The owner of a heartbeat. */
export interface HeartbeatOwner {
  /** Nothing has arrived for an interval: the connection is idle. */
  onQuiet(): void;
  /** A ping was not answered: the peer is gone. Its last sign of life was `silence` ms ago. */
  onSilent(silence: number): void;
}

/** Silence and pings of one connection. Times are ms on the clock of `performance.now()`. */
export class Heartbeat implements LineProbe {
  /** When something arrived last, or slightly earlier. */
  receivedAt: number;
  /** Whether the peer may be gone: it has not answered a ping within a second, or this process was suspended. */
  doubtful = false;
  /** Whether the peer is checked within a second anyway: then calls need not call `watch`. */
  watching: boolean;
  /** The silence after which the peer is checked; Infinity without heartbeat. */
  readonly interval: number;
  /** How soon it is checked while calls wait, and after it has ended its side; Infinity without heartbeat. */
  readonly probeInterval: number;

  /** The round trip, which received streams have measured. */
  readonly roundTrip: RoundTrip = new RoundTrip();

  readonly #timeout: number;
  /** After a longer silence, or suspension of this process, either side may have given up the connection. */
  readonly #trusted: number;
  readonly #frameWriter: FrameWriter;
  readonly #owner: HeartbeatOwner;
  #pingedAt = -Infinity;
  #pings = 0;
  /** The number of the ping that measures the round trip, and when it was sent; 0 = there is none. */
  #measuring = 0;
  #measuredAt = 0;
  /** Pings that are waited for otherwise, the earliest first. */
  #marks: { readonly ping: number; readonly onArrived: () => void }[] | undefined;
  /** Whether the last ping had not left at the last check. */
  #stuck = false;
  #checkedAt: number;
  #checkAt: number;
  /** Whether a call has waited since the last check. */
  #waited = false;
  /** Whether pings were exchanged since the last check: a peer that answers pings may still not be working on the call. */
  #pinged = false;
  /** How long the peer may be silent while calls wait: doubled by each answer to a ping. */
  #patience: number;
  /** When the clocks were compared last. */
  #comparedAt: number;
  /** Whether this process was suspended, so that what is read may have arrived before: only a Pong to a later Ping counts. */
  #suspended = false;
  /** The difference between the clocks. */
  #clockOffset: number;

  /**
   * @param limits `heartbeatInterval` and `heartbeatTimeout`; an interval of false = no heartbeat
   * @param peerInterval The silence after which the peer pings, in ms; Infinity = never, or unknown
   */
  constructor(
    limits: SessionLimits,
    frameWriter: FrameWriter,
    owner: HeartbeatOwner,
    peerInterval = Infinity,
  ) {
    const { heartbeatInterval } = limits;
    const on = heartbeatInterval !== false;
    this.interval = on ? heartbeatInterval : Infinity;
    this.probeInterval = on ? Math.min(SOON, this.interval) : Infinity;
    this.#timeout = limits.heartbeatTimeout;
    this.#trusted = on ? Math.min(this.interval, peerInterval) + SOON : Infinity;
    this.#frameWriter = frameWriter;
    this.#owner = owner;
    this.#patience = this.probeInterval;
    this.watching = !on;
    this.receivedAt = this.#checkedAt = frameWriter.cachedNow;
    this.#checkAt = this.due;
    this.#comparedAt = on ? frameWriter.cachedNow : Infinity;
    this.#clockOffset = Date.now() - frameWriter.cachedNow;
  }

  /** When to check a peer that stays silent; Infinity without heartbeat. */
  get due(): number {
    return this.receivedAt + this.interval;
  }

  /**
   * Checks the peer more often from now on, because a call is made.
   *
   * @returns When to check
   */
  watch(now: number): number {
    this.watching = true;
    this.#patience = this.probeInterval;
    this.#pinged = false;
    this.#checkedAt = now;
    return this.#checkAt = Math.min(this.#checkAt, now + this.probeInterval);
  }

  /**
   * Pings a silent peer, and gives up on one that stays silent.
   *
   * @param stalled Whether this process was stalled, so that what the peer has sent meanwhile is not read yet
   * @param waits Whether calls wait for the peer, or have just expired while waiting
   * @returns When to check again
   */
  check(now: number, stalled: boolean, waits: boolean): number {
    this.#waited ||= waits;
    if (now < this.#checkAt) return this.#checkAt;
    const heard = this.receivedAt >= this.#checkedAt;
    const waited = this.#waited;
    this.#checkedAt = now;
    this.#waited = false;
    if (this.#pingedAt > this.receivedAt) return this.#checkAt = this.#unanswered(now, stalled);
    this.doubtful = this.#suspended;
    if (now >= this.due) this.#owner.onQuiet();
    if (now >= this.due || waited && !heard) return this.#pingSilent(now);
    // A peer that sends more than pings is working; one that does not is pinged less and less often.
    if (!this.#pinged || !waited) this.#patience = this.probeInterval;
    this.#pinged = false;
    this.watching = waited && this.#patience === this.probeInterval;
    return this.#checkAt = waited ? Math.min(now + this.#patience, this.due) : this.due;
  }

  /**
   * Pings a peer that may be gone: it has been silent for too long, or this process was suspended. `performance.now()` stops
   * while the system is suspended, so the date is compared with it.
   *
   * @returns When to check for the answer; undefined if there is no reason for doubt
   */
  doubt(now: number): number | undefined {
    if (now - this.#comparedAt < MIN_COMPARE_INTERVAL) return undefined;
    const offset = Date.now() - now;
    const suspended = offset - this.#clockOffset;
    this.#clockOffset = offset;
    this.#comparedAt = now;
    if (this.doubtful || Math.max(now - this.receivedAt, suspended) <= this.#trusted) return undefined;
    this.doubtful = this.#suspended = true;
    this.#checkedAt = now;
    return this.#pingSilent(now);
  }

  /** A Ping has arrived. */
  onPing(now: number): void {
    this.receivedAt = now;
    this.#pinged = true;
    this.doubtful = this.#suspended;
  }

  /** A Pong has arrived, for the Ping of that number. */
  onPong(now: number, ping: number): void {
    if (ping === this.#pings) this.#suspended = false;
    if (ping <= this.#pings) this.#answered(now, ping);
    this.onPing(now);
  }

  /** Pings up to this one were answered: of several, a peer may answer the latest alone. */
  #answered(now: number, ping: number): void {
    if (ping === this.#measuring) this.roundTrip.measured(this.#measuredAt, now);
    if (ping >= this.#measuring) this.#measuring = 0;
    const marks = this.#marks;
    while (marks !== undefined && marks.length > 0 && marks[0]!.ping <= ping) marks.shift()!.onArrived();
  }

  /** The time in this turn. */
  now(): number {
    return this.#frameWriter.now();
  }

  /** Measures the round trip by a ping, unless one is on its way. */
  measure(): void {
    if (this.#measuring > 0) return;
    this.#measuredAt = this.#frameWriter.now();
    this.ping();
    this.#measuring = this.#pings;
  }

  /** Pings, and calls back when the peer has answered: then everything that was sent before has arrived. */
  mark(onArrived: () => void): void {
    this.ping();
    (this.#marks ??= []).push({ ping: this.#pings, onArrived });
  }

  /**
   * Pings a peer that has ended its side: if it is gone, and not only silent, its system resets the connection.
   *
   * @returns When to probe again
   */
  probe(now: number): number {
    if (this.probeInterval < Infinity) this.ping();
    return now + this.probeInterval;
  }

  /** Pings. Returns when to check for the answer. */
  #pingSilent(now: number): number {
    this.#pingedAt = now;
    this.#pinged = this.watching = true;
    this.#patience = Math.min(2 * this.#patience, this.interval);
    this.ping();
    return this.#checkAt = now + Math.min(this.probeInterval, this.#timeout);
  }

  /** Checks a peer that has not answered a ping. Returns when to check again. */
  #unanswered(now: number, stalled: boolean): number {
    // A ping that waits for unwritten bytes was not received. Whether writes make progress is checked elsewhere.
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
