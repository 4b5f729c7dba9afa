// When sessions are woken: for deadlines, heartbeats, stalled frames and writes. Each has one alarm, and all alarms of a
// server or a client share one timer: a timer takes more memory than all else that an idle connection has to remember.

import { ambient } from "../call/ambient.ts";
import { MAX_DELAY } from "../discovery/clock.ts";

/** Whoever is woken. */
export interface Sleeper {
  /**
   * It is time. Whoever wants to be woken again must ask again.
   *
   * @param now The time
   * @param late By how many ms this comes late
   */
  onAlarm(now: number, late: number): void;
}

/** The alarms of one server or client, the next one first: a binary heap, and one timer for its top. */
export class AlarmClock {
  readonly #heap: Alarm[] = [];
  /** When the timer rings; Infinity = there is none. */
  #due = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @ignore For an alarm, whose time has become an earlier one. */
  earlier(alarm: Alarm): void {
    this.#add(alarm);
    this.#arm();
  }

  /** @ignore For an alarm that is not to ring any more. */
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

  /** Sets the timer for the first alarm, unless it rings before that anyway. */
  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || first.at >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = first.at;
    // A longer delay than timers take is waited for in parts.
    const delay = Math.min(Math.max(Math.ceil(first.at - performance.now()), 0), MAX_DELAY);
    // Whichever call made it earlier: what rings is nobody's, and must not take that call's context along.
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
      // One that throws keeps none of the others from ringing.
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

/** The earliest of the times asked for. Times are ms on the clock of `performance.now()`. */
export class Alarm {
  readonly #owner: Sleeper;
  readonly #clock: AlarmClock;
  /** When it rings; Infinity = not at all. */
  at = Infinity;
  /** Where it is among the clock's; -1 = nowhere. */
  slot = -1;

  constructor(owner: Sleeper, clock: AlarmClock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  /** Asks to be woken at `at` or before. */
  by(at: number): void {
    if (at >= this.at) return;
    this.at = at;
    this.#clock.earlier(this);
  }

  /** Forgets what was asked for, and what will be: nothing comes after this. */
  stop(): void {
    this.at = -Infinity;
    this.#clock.remove(this);
  }

  /** @ignore For the clock, which has let go of it. */
  ring(now: number): void {
    // Another one that rang just before may have stopped it.
    if (this.at === -Infinity) return;
    const late = now - this.at;
    this.at = Infinity;
    this.#owner.onAlarm(now, late);
  }
}
