// Alarms of sessions: for deadlines, heartbeats, and frames and writes that stall. Each session has one alarm, and all
// alarms of a server or client share one timer, since a timer takes more memory than the rest of an idle session's state.

import { ambient } from "../call/ambient.ts";
import { MAX_DELAY } from "../discovery/clock.ts";
import { DeadlineHeap } from "./deadline_heap.ts";

/** The owner of an alarm. */
export interface Sleeper {
  /**
   * Its alarm has rung. It does not ring again unless it is set again.
   *
   * @param now The time
   * @param late How late it rang, in ms
   */
  onAlarm(now: number, late: number): void;
}

/** So many entries of alarms that were replaced or stopped may be in the heap, besides as many as there are alarms. */
const MAX_REPLACED = 16;

/** The alarms of one server or client, and one timer for the first. */
export class AlarmClock {
  /** Each alarm at the times that it was set to, of which the earliest counts. */
  readonly #heap = new DeadlineHeap<Alarm>();
  /** How many alarms are set. */
  #count = 0;
  /** When the timer fires; Infinity = there is no timer. */
  #due = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @ignore For an alarm that is set, from `before` to an earlier time. */
  earlier(alarm: Alarm, before: number): void {
    if (before === Infinity) this.#count++;
    if (this.#heap.size > 2 * this.#count + MAX_REPLACED) this.#heap.retain((at, each) => each.at === at);
    this.#heap.add(alarm.at, alarm);
    this.#arm();
  }

  /** @ignore For an alarm that was set, and is stopped. */
  stopped(): void {
    this.#count--;
    this.#arm();
  }

  /** Sets the timer for the first alarm, unless it fires earlier anyway. */
  #arm(): void {
    // No alarm is set: what is left is irrelevant, and no timer must wait for it.
    if (this.#count === 0) this.#heap.retain(() => false);
    if (this.#heap.size === 0) {
      clearTimeout(this.#timer);
      this.#due = Infinity;
    }
    const { first } = this.#heap;
    if (first >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = first;
    // A delay longer than timers support is split.
    const delay = Math.min(Math.max(Math.ceil(first - performance.now()), 0), MAX_DELAY);
    // Outside of any call: the timer must not keep the context of the call that happens to set it.
    this.#timer = ambient.run(undefined, () => setTimeout(() => this.#ring(), delay));
  }

  #ring(): void {
    this.#due = Infinity;
    const now = performance.now();
    const due = this.#heap.take(now);
    let next = 0;
    try {
      while (next < due.length) {
        const { at, key: alarm } = due[next++]!;
        // It may have been set to an earlier time, or stopped by one that rang just before.
        if (alarm.at !== at) continue;
        this.#count--;
        alarm.ring(now);
      }
    } finally {
      // If one throws, the others still ring.
      for (const { at, key } of due.slice(next)) this.#heap.add(at, key);
      this.#arm();
    }
  }
}

/** Rings at the earliest time that it was set to. Times are ms on the clock of `performance.now()`. */
export class Alarm {
  readonly #owner: Sleeper;
  readonly #clock: AlarmClock;
  /** When it rings; Infinity = not set, -Infinity = stopped. */
  at = Infinity;

  constructor(owner: Sleeper, clock: AlarmClock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  /** Makes it ring at `at` or earlier. */
  by(at: number): void {
    const before = this.at;
    if (at >= before) return;
    this.at = at;
    this.#clock.earlier(this, before);
  }

  /** Stops it for good: setting it again has no effect. */
  stop(): void {
    const wasSet = Number.isFinite(this.at);
    this.at = -Infinity;
    if (wasSet) this.#clock.stopped();
  }

  /** @ignore For the clock: its time has come. */
  ring(now: number): void {
    const late = now - this.at;
    this.at = Infinity;
    this.#owner.onAlarm(now, late);
  }
}
