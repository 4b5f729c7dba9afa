// One event loop serves every connection of a process. Reads from a busy socket are done at once, so a session could go
// on for seconds while timers and other sockets wait for their turn. Sessions ask here, now and then, whether it is time
// to let the others in.

import { type Deferred, deferred } from "../call/deferred.ts";

/**
 * How long sessions may keep the event loop to themselves, in ms, before they ask whether it comes round: longer, the
 * more often it did.
 */
const SLICE = [8, 32] as const;
/** How long that may take to be answered, in ms. */
const LATENESS = 2;
/**
 * Sessions that have kept the event loop too long leave it alone until a timer of this many ms comes in time: until there
 * is nothing else to do, so that the system is asked what has happened on other sockets. While there is, that is done
 * only every so many turns, each of which may be as long as a slice.
 */
const PAUSE = 1;
/** For how long, in ms, they leave it alone at most. */
const LONGEST_REST = 100;
/** So many frames, at most, are taken between two looks at the clock. */
const LONGEST_STRIDE = 16;

/**
 * Watches the event loop while sessions are busy, by a timer that is due at once: if that comes late, everything else
 * does. (What `setImmediate` calls does not: it does not wait for the sockets.) It is set now and then only. A system
 * that has to wake up within milliseconds programs its clock anew whenever it waits for a socket, and a call that is
 * alone paid for that with a microsecond on each side.
 */
class EventLoop {
  #sessions = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What set the timer: where a test simulates time, it never comes once that is over. */
  #setBy: typeof setTimeout | undefined;
  #askedAt = 0;
  #cameRoundAt = 0;
  #slice: number = SLICE[0];
  #round: Deferred<void> | undefined;

  /** A session begins. */
  enter(): void {
    this.#sessions++;
  }

  /** A session is over. With the last one the watch ends. */
  leave(): void {
    if (--this.#sessions > 0) return;
    clearTimeout(this.#timer);
    this.#goOn();
  }

  /** Whether the event loop has not come round for longer than sessions may keep it. */
  shouldYield(now: number): boolean {
    if (this.#timer !== undefined) {
      if (this.#setBy === setTimeout) return now - this.#askedAt > LATENESS;
      // Whoever waits belongs to that time.
      this.#round = undefined;
    } else if (Math.abs(now - this.#cameRoundAt) < this.#slice) {
      return false;
    }
    this.#askedAt = now;
    this.#setBy = setTimeout;
    this.#timer = setTimeout(() => this.#cameRound(), 0);
    return false;
  }

  /** Resolves when it has come round; every session that waits goes on then. */
  yielded(): Promise<void> {
    return (this.#round ??= deferred<void>()).promise;
  }

  /**
   * Waits while it is overdue, before work of which thousands of connections may have some at once, such as when they begin
   * or end: what arrives on others meanwhile is not to be behind all of that.
   */
  async yieldIfDue(): Promise<void> {
    while (this.shouldYield(performance.now())) await this.yielded();
  }

  #cameRound(): void {
    const now = performance.now();
    const late = now - this.#askedAt > LATENESS;
    this.#slice = late ? SLICE[0] : Math.min(this.#slice * 2, SLICE[1]);
    if (late && this.#round !== undefined) this.#rest(now, now + LONGEST_REST);
    else this.#goOn();
  }

  /** Leaves the event loop alone until a timer comes in time, so until it has nothing to do, or for long enough. */
  #rest(since: number, until: number): void {
    this.#timer = setTimeout(() => {
      const now = performance.now();
      if (now - since > PAUSE + LATENESS && now < until) this.#rest(now, until);
      else this.#goOn();
    }, PAUSE);
  }

  #goOn(): void {
    this.#cameRoundAt = performance.now();
    this.#timer = undefined;
    this.#round?.resolve();
    this.#round = undefined;
  }
}

/** The event loop of this process. There is only one of it, and it is shared by sessions that know nothing of each other. */
export const eventLoop: EventLoop = new EventLoop();

/**
 * When to look at the clock: every so many frames that it is about every millisecond while they come without end. To
 * look at it for each would cost as much as decoding one.
 */
export class ClockSampler {
  #left = 1;
  #stride = 1;
  #lookedAt = 0;

  /** Counts a frame. Returns the time if it was looked at, and else undefined. */
  sample(): number | undefined {
    return --this.#left > 0 ? undefined : this.#look();
  }

  #look(): number {
    const now = performance.now();
    const elapsed = now - this.#lookedAt;
    this.#lookedAt = now;
    if (elapsed > 1) this.#stride = Math.max(1, this.#stride >> 1);
    else if (elapsed < 0.25) this.#stride = Math.min(LONGEST_STRIDE, this.#stride << 1);
    this.#left = this.#stride;
    return now;
  }
}
