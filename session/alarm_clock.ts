// Alarms of sessions: for deadlines, heartbeats, and frames and writes that stall. Each session has one alarm, and all
// alarms of a server or client share one timer, since a timer takes more memory than the rest of an idle session's state.

import { ambient } from "../call/ambient.ts";
import { MAX_DELAY } from "../discovery/clock.ts";

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

/** The alarms of one server or client: a binary heap with the earliest alarm first, and one timer for that. */
export class AlarmClock {
  readonly #heap: Alarm[] = [];
  /** When the timer fires; Infinity = there is no timer. */
  #due = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @ignore For an alarm that was set to an earlier time. */
  earlier(alarm: Alarm): void {
    this.#add(alarm);
    this.#arm();
  }

  /** @ignore For an alarm that is stopped. */
  remove(alarm: Alarm): void {
    const { slot } = alarm;
    if (slot < 0) return;
    alarm.slot = -1;
    const last = this.#heap.pop()!;
    if (last !== alarm) {
      this.#put(last, slot);
      this.#sink(last);
      this.#rise(last);
    }
    if (this.#heap.length > 0) return;
    clearTimeout(this.#timer);
    this.#due = Infinity;
  }

  /** Sets the timer for the first alarm, unless it fires earlier anyway. */
  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || first.at >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = first.at;
    // A delay longer than timers support is split.
    const delay = Math.min(Math.max(Math.ceil(first.at - performance.now()), 0), MAX_DELAY);
    // Outside of any call: the timer must not keep the context of the call that happens to set it.
    this.#timer = ambient.run(undefined, () => setTimeout(() => this.#ring(), delay));
  }

  #ring(): void {
    this.#due = Infinity;
    const now = performance.now();
    const due: Alarm[] = [];
    for (let first; (first = this.#heap[0]) !== undefined && first.at <= now;) {
      this.remove(first);
      due.push(first);
    }
    let next = 0;
    try {
      while (next < due.length) due[next++]!.ring(now);
    } finally {
      // If one throws, the others still ring.
      for (const alarm of due.slice(next)) this.#add(alarm);
      this.#arm();
    }
  }

  #add(alarm: Alarm): void {
    if (alarm.slot < 0) alarm.slot = this.#heap.push(alarm) - 1;
    this.#rise(alarm);
  }

  #put(alarm: Alarm, slot: number): void {
    this.#heap[slot] = alarm;
    alarm.slot = slot;
  }

  #rise(alarm: Alarm): void {
    let { slot } = alarm;
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const parent = this.#heap[above]!;
      if (parent.at <= alarm.at) break;
      this.#put(parent, slot);
      slot = above;
    }
    this.#put(alarm, slot);
  }

  #sink(alarm: Alarm): void {
    const heap = this.#heap;
    let { slot } = alarm;
    for (;;) {
      let below = 2 * slot + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.at < heap[below]!.at) below++;
      const child = heap[below]!;
      if (child.at >= alarm.at) break;
      this.#put(child, slot);
      slot = below;
    }
    this.#put(alarm, slot);
  }
}

/** Rings at the earliest time that it was set to. Times are ms on the clock of `performance.now()`. */
export class Alarm {
  readonly #owner: Sleeper;
  readonly #clock: AlarmClock;
  /** When it rings; Infinity = not set, -Infinity = stopped. */
  at = Infinity;
  /** Its index in the clock's heap; -1 = it is not in the heap. */
  slot = -1;

  constructor(owner: Sleeper, clock: AlarmClock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  /** Makes it ring at `at` or earlier. */
  by(at: number): void {
    if (at >= this.at) return;
    this.at = at;
    this.#clock.earlier(this);
  }

  /** Stops it for good: setting it again has no effect. */
  stop(): void {
    this.at = -Infinity;
    this.#clock.remove(this);
  }

  /** @ignore For the clock, which has removed it from the heap. */
  ring(now: number): void {
    // An alarm that rang just before may have stopped it.
    if (this.at === -Infinity) return;
    const late = now - this.at;
    this.at = Infinity;
    this.#owner.onAlarm(now, late);
  }
}
