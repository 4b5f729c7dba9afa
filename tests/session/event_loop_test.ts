// When sessions that have kept the event loop too long go on: not before it has nothing else to do.

import { assertEquals } from "@std/assert";
import { eventLoop } from "../../session/event_loop.ts";

/** Time and timers by hand, so that timers can come late. */
class LateTime implements Disposable {
  #now = 1_000_000;
  readonly #timers: { callback: () => void; delay: number }[] = [];
  readonly #setTimeout = globalThis.setTimeout;
  readonly #clearTimeout = globalThis.clearTimeout;
  readonly #performanceNow = performance.now;

  constructor() {
    const set = (callback: () => void, delay: number) => this.#timers.push({ callback, delay });
    globalThis.setTimeout = set as unknown as typeof setTimeout;
    globalThis.clearTimeout = () => {};
    performance.now = () => this.#now;
  }

  get now(): number {
    return this.#now;
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  /** Fires the timer that was set last, `late` ms after it was due. */
  fire(late: number): void {
    const { callback, delay } = this.#timers.at(-1)!;
    this.#now += delay + late;
    callback();
  }

  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#setTimeout;
    globalThis.clearTimeout = this.#clearTimeout;
    performance.now = this.#performanceNow;
  }
}

Deno.test("event loop: busy sessions continue when a timer fires in time again", async () => {
  using time = new LateTime();
  eventLoop.enter();
  assertEquals(eventLoop.shouldYield(time.now), false);
  time.pass(3);
  assertEquals(eventLoop.shouldYield(time.now), true);
  let turns = 0;
  const turn = eventLoop.yieldIfDue().then(() => turns++);
  // The event loop turns, but late: others have work, and sockets were not looked at.
  for (const late of [10, 8, 4]) {
    time.fire(late);
    await null;
    await null;
    assertEquals({ turns, overdue: eventLoop.shouldYield(time.now) }, { turns: 0, overdue: true });
  }
  time.fire(0);
  await turn;
  assertEquals({ turns, overdue: eventLoop.shouldYield(time.now) }, { turns: 1, overdue: false });
  eventLoop.leave();
});

Deno.test("event loop: sessions continue also if the loop is never idle", async () => {
  using time = new LateTime();
  eventLoop.enter();
  eventLoop.shouldYield(time.now);
  time.pass(3);
  let waits = 0;
  let over = false;
  const turn = eventLoop.yieldIfDue().then(() => over = true);
  for (; !over && waits < 1_000; waits++) {
    time.fire(10);
    await null;
    await null;
    await null;
  }
  await turn;
  assertEquals(waits < 20, true);
  eventLoop.leave();
});
