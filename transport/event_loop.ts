// One event loop serves every connection of a process. Reads from a busy socket are done at once, so a session could go
// on for seconds while timers and other sockets wait for their turn. Sessions ask here, now and then, whether it is time
// to let the others in.

import { type Deferred, deferred } from "../call/deferred.ts";

/** How long sessions may keep the event loop to themselves, in ms, before they ask whether it comes round. */
const SLICE = 8;
/** How long that may take to be answered, in ms. */
const LATENESS = 2;
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
  #round: Deferred<void> | undefined;

  /** A session begins. */
  enter(): void {
    this.#sessions++;
  }

  /** A session is over. With the last one the watch ends. */
  leave(): void {
    if (--this.#sessions > 0) return;
    clearTimeout(this.#timer);
    this.#cameRound();
  }

  /** Whether the event loop has not come round for longer than sessions may keep it. */
  overdue(now: number): boolean {
    if (this.#timer !== undefined) {
      if (this.#setBy === setTimeout) return now - this.#askedAt > LATENESS;
      // Whoever waits belongs to that time.
      this.#round = undefined;
    } else if (Math.abs(now - this.#cameRoundAt) < SLICE) {
      return false;
    }
    this.#askedAt = now;
    this.#setBy = setTimeout;
    this.#timer = setTimeout(() => this.#cameRound(), 0);
    return false;
  }

  /** Resolves when it has come round; every session that waits goes on then. */
  round(): Promise<void> {
    return (this.#round ??= deferred<void>()).promise;
  }

  #cameRound(): void {
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
export class Pace {
  #left = 1;
  #stride = 1;
  #lookedAt = 0;

  /** Counts a frame. Returns the time if it was looked at, and else undefined. */
  step(): number | undefined {
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
