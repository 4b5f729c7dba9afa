// Estimates of what a line carries: the least round trip of a connection, measured by pings, and a rate of delivery. Used by
// receive windows, and for large frames: twice their product keeps a line full.

/** How long the least round trip counts, in ms: routes change. */
const EXPIRES_AFTER = 10_000;
/** What took longer, in ms, says too little of the round trip. */
const MAX_BOUND = 500;
/** From this round trip on a line is long, in ms. */
const LONG_LINE = 5;
/**
 * The factor of windows while an expired round trip is measured again. A window of twice rate × round trip keeps a queue in
 * front of the slowest link, which pings wait in too; less than one round trip's worth drains that queue.
 */
const DRAINING = 0.75;
/** The usual factor: the rate can double within a round trip, and credit that is returned in parts is no bottleneck. */
const FILLING = 2;
/** In which time a rate counts half, in ms, unless it is measured again. */
const HALF_LIFE = 1_000;
/** The shortest time over which a rate is measured, in ms: items arrive in bursts. */
const MIN_ROUND = 5;

/** Pings of a connection that tell how long its line is. */
export interface LineProbe {
  readonly roundTrip: RoundTrip;
  /** The time on the clock of `performance.now()`. */
  now(): number;
  /** Measures the round trip, unless a measurement is in progress. */
  measure(): void;
  /** Calls back when everything that was sent before has arrived. */
  mark(onArrived: () => void): void;
}

/** The least round trip of one connection. Times are ms on the clock of `performance.now()`. */
export class RoundTrip {
  /** In ms; Infinity = not measured yet. */
  #least = Infinity;
  #leastAt = -Infinity;
  /** When the drain began that comes before a new measurement; Infinity = there is none. */
  #drainingSince = Infinity;

  /** The least round trip in ms; Infinity = not measured yet. */
  get least(): number {
    return this.#least;
  }

  /** Whether the line is known to be long: only then does rate × round trip limit what it carries. */
  get long(): boolean {
    return this.#least >= LONG_LINE && this.#least < Infinity;
  }

  /** Whether the line is known to be short. */
  get short(): boolean {
    return this.#least < LONG_LINE;
  }

  /** Whether a measurement is missing: there has been none yet, or the last is too old. */
  expired(now: number): boolean {
    return now - this.#leastAt > EXPIRES_AFTER;
  }

  /** By what to multiply rate × round trip. */
  factor(now: number): number {
    if (this.#least === Infinity || !this.expired(now)) return FILLING;
    if (this.#drainingSince === Infinity) this.#drainingSince = now;
    return DRAINING;
  }

  /** Records something that took at least one round trip. */
  took(ms: number, now: number): void {
    if (ms < MAX_BOUND && ms < this.#least) this.measured(now - ms, now);
  }

  /** Records the round trip of a ping sent at `sentAt`. */
  measured(sentAt: number, now: number): void {
    const sample = Math.max(now - sentAt, 0.01);
    // The queue has drained when two round trips have passed since windows were reduced.
    const drained = sentAt - this.#drainingSince >= 2 * this.#least;
    if (sample > this.#least && !drained) return;
    this.#least = sample;
    this.#leastAt = now;
    this.#drainingSince = Infinity;
  }
}

/** The rate at which something is delivered: the items that the consumer of a stream takes, or large frames. */
export class DeliveryRate {
  #items = 0;
  #bytes = 0;
  #since: number | undefined;
  /** Items per ms. */
  #rate = 0;
  /** The mean size of the items measured last, in bytes. */
  #size = 0;

  /** Items per ms: the highest rate of the last seconds. */
  get items(): number {
    return this.#rate;
  }

  /** The mean size of an item in bytes. */
  get size(): number {
    return this.#size;
  }

  /**
   * Records that items were taken.
   *
   * @param roundTrip The least round trip in ms: a rate is measured over at least that
   */
  taken(items: number, bytes: number, now: number, roundTrip: number): void {
    if (this.#since === undefined) {
      this.#since = now;
      this.#size = bytes / items;
      return;
    }
    this.#items += items;
    this.#bytes += bytes;
    const elapsed = now - this.#since;
    const round = Math.max(roundTrip, MIN_ROUND);
    this.#size = this.#bytes / this.#items;
    // In a round that is not over it is at least so much: that already makes the window grow.
    this.#rate = Math.max(this.#rate, this.#items / Math.max(elapsed, round));
    if (elapsed < round) return;
    this.#rate = Math.max(this.#items / elapsed, this.#rate * 2 ** (-elapsed / HALF_LIFE));
    this.#items = this.#bytes = 0;
    this.#since = now;
  }
}
