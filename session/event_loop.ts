// Fairness among the connections of a process, which share one event loop. Reads from a busy socket complete at once, so a
// session could run for seconds while timers and other sockets wait. Sessions regularly ask here whether to yield.

import { type Deferred, deferred } from "../call/deferred.ts";

/** Time slice in ms before busy sessions check that the event loop still turns. Doubles up to the second while it does. */
const SLICE = [8, 32] as const;
/** How late the timer that checks this may fire, in ms. */
const LATENESS = 2;
/**
 * Sessions that have held the event loop for too long yield until a timer of this many ms fires in time, that is, until the
 * loop has nothing else to do. Only then does it poll all sockets: while it is busy, it polls only every so many turns,
 * each of which may be as long as a slice.
 */
const PAUSE = 1;
/** The longest time that they yield for, in ms. */
const LONGEST_REST = 100;
/** At most this many frames are handled between two looks at the clock. */
const LONGEST_STRIDE = 16;

/**
 * Measures the event loop while sessions are busy, by a timer that is due at once: if it fires late, so does everything
 * else. (`setImmediate` would not do: it does not wait for sockets.) The timer is set only now and then, because with a
 * timer due within milliseconds the operating system reprograms its clock whenever the process waits for a socket. That
 * costs a single call a microsecond on each side.
 */
class EventLoop {
  #sessions = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The function that set the timer: one of a test's simulated time never fires once the simulation is over. */
  #setBy: typeof setTimeout | undefined;
  #checkedAt = 0;
  #turnedAt = 0;
  #slice: number = SLICE[0];
  #turn: Deferred<void> | undefined;

  /** A session has opened. */
  enter(): void {
    this.#sessions++;
  }

  /** A session has closed. With the last one, the timer stops. */
  leave(): void {
    if (--this.#sessions > 0) return;
    clearTimeout(this.#timer);
    this.#resume();
  }

  /** Whether the event loop has not turned for longer than sessions may hold it. */
  shouldYield(now: number): boolean {
    if (this.#timer !== undefined) {
      if (this.#setBy === setTimeout) return now - this.#checkedAt > LATENESS;
      // The sessions that wait belong to that simulation.
      this.#turn = undefined;
    } else if (Math.abs(now - this.#turnedAt) < this.#slice) {
      return false;
    }
    this.#checkedAt = now;
    this.#setBy = setTimeout;
    this.#timer = setTimeout(() => this.#onTurn(), 0);
    return false;
  }

  /** Resolves when the event loop has turned, for all sessions that wait. */
  yielded(): Promise<void> {
    return (this.#turn ??= deferred<void>()).promise;
  }

  /**
   * Waits while the event loop is overdue. Called before work that thousands of connections may have at the same time, such
   * as when they open or close, so that other connections need not wait for all of it.
   */
  async yieldIfDue(): Promise<void> {
    while (this.shouldYield(performance.now())) await this.yielded();
  }

  #onTurn(): void {
    const now = performance.now();
    const late = now - this.#checkedAt > LATENESS;
    this.#slice = late ? SLICE[0] : Math.min(this.#slice * 2, SLICE[1]);
    if (late && this.#turn !== undefined) this.#rest(now, now + LONGEST_REST);
    else this.#resume();
  }

  /** Yields until a timer fires in time, that is, until the event loop has nothing to do, or for long enough. */
  #rest(since: number, until: number): void {
    this.#timer = setTimeout(() => {
      const now = performance.now();
      if (now - since > PAUSE + LATENESS && now < until) this.#rest(now, until);
      else this.#resume();
    }, PAUSE);
  }

  #resume(): void {
    this.#turnedAt = performance.now();
    this.#timer = undefined;
    this.#turn?.resolve();
    this.#turn = undefined;
  }
}

/** The event loop of this process. There is only one, shared by sessions that do not know each other. */
export const eventLoop: EventLoop = new EventLoop();

/**
 * Samples the clock once every few frames, which is about once a millisecond while frames arrive continuously. Reading the
 * clock for each frame would cost as much as decoding it.
 */
export class ClockSampler {
  #left = 1;
  #stride = 1;
  #sampledAt = 0;

  /** Counts a frame. Returns the time if the clock was read, else undefined. */
  sample(): number | undefined {
    return --this.#left > 0 ? undefined : this.#read();
  }

  #read(): number {
    const now = performance.now();
    const elapsed = now - this.#sampledAt;
    this.#sampledAt = now;
    if (elapsed > 1) this.#stride = Math.max(1, this.#stride >> 1);
    else if (elapsed < 0.25) this.#stride = Math.min(LONGEST_STRIDE, this.#stride << 1);
    this.#left = this.#stride;
    return now;
  }
}
