// The alarms of a server or a client: each rings at its time, by one timer for all.

import { assertEquals } from "@std/assert";
import { SimTime } from "../../testing/mod.ts";
import { Alarm, AlarmClock } from "../../session/alarm_clock.ts";

/** An alarm that notes when it rings. */
function noting(clock: AlarmClock, name: number, rung: [name: number, at: number][]): Alarm {
  return new Alarm({ onAlarm: (now) => void rung.push([name, now]) }, clock);
}

Deno.test("alarms: many fire in the order of their times, by one timer", async () => {
  using time = new SimTime();
  const clock = new AlarmClock();
  const rung: [number, number][] = [];
  // 733 is a prime: each time from 1 to 1000 comes once, out of order.
  const alarms = Array.from({ length: 1_000 }, (_, n) => ({ at: n * 733 % 1_000 + 1, n }));
  const begin = performance.now();
  for (const { at } of alarms) noting(clock, at, rung).by(begin + at);
  assertEquals(time.timers, 1);
  await time.tick(1_000);
  assertEquals(rung, Array.from({ length: 1_000 }, (_, n) => [n + 1, begin + n + 1]));
  assertEquals(time.timers, 0);
});

Deno.test("alarms: the earliest requested time counts, and after firing it has to be requested again", async () => {
  using time = new SimTime();
  const clock = new AlarmClock();
  const rung: [number, number][] = [];
  const begin = performance.now();
  const [a, b] = [noting(clock, 1, rung), noting(clock, 2, rung)];
  a.by(begin + 50);
  b.by(begin + 40);
  a.by(begin + 30);
  a.by(begin + 60);
  await time.tick(100);
  assertEquals(rung, [[1, begin + 30], [2, begin + 40]]);
  a.by(begin + 150);
  await time.tick(100);
  assertEquals(rung.slice(2), [[1, begin + 150]]);
});

Deno.test("alarms: stopped alarms do not fire, also if stopped by one that fires at the same time", async () => {
  using time = new SimTime();
  const clock = new AlarmClock();
  const rung: [number, number][] = [];
  const begin = performance.now();
  const stopped = Array.from({ length: 100 }, (_, n) => noting(clock, n, rung));
  stopped.forEach((alarm, n) => alarm.by(begin + 10 + n % 7));
  const stopper = new Alarm({ onAlarm: () => stopped.forEach((alarm) => alarm.stop()) }, clock);
  stopper.by(begin + 9);
  const late = noting(clock, 1_000, rung);
  late.by(begin + 10);
  const twin = noting(clock, 1_001, rung);
  new Alarm({ onAlarm: () => twin.stop() }, clock).by(begin + 5);
  twin.by(begin + 5);
  await time.tick(20);
  stopped[0]!.by(begin + 30);
  await time.tick(20);
  assertEquals(rung.filter(([name]) => name < 1_001), [[1_000, begin + 10]]);
  assertEquals(time.timers, 0);
});

Deno.test("alarms: an alarm for a time in the past fires in another turn", async () => {
  using time = new SimTime();
  const clock = new AlarmClock();
  let rung = 0;
  const alarm = new Alarm({ onAlarm: (now) => void (++rung < 3 && alarm.by(now - 1)) }, clock);
  alarm.by(performance.now() + 1);
  await time.tick(10);
  assertEquals({ rung, timers: time.timers }, { rung: 3, timers: 0 });
});

Deno.test("alarms: a time further away than timers can wait is waited for", async () => {
  using time = new SimTime();
  const clock = new AlarmClock();
  const rung: [number, number][] = [];
  const at = performance.now() + 2 ** 31 + 5_000;
  noting(clock, 1, rung).by(at);
  await time.tick(2 ** 31);
  assertEquals(rung, []);
  await time.tick(10_000);
  assertEquals(rung, [[1, at]]);
});

Deno.test("alarms: one that throws does not keep others from firing", async () => {
  const clock = new AlarmClock();
  const rung: [number, number][] = [];
  const thrown = Promise.withResolvers<unknown>();
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    thrown.resolve(event.error);
  };
  addEventListener("error", onError);
  try {
    const now = performance.now();
    const failure = new Error("its owner fails");
    const faulty = new Alarm({
      onAlarm() {
        throw failure;
      },
    }, clock);
    faulty.by(now);
    const rings = Promise.withResolvers<void>();
    const other = new Alarm({ onAlarm: () => rings.resolve() }, clock);
    other.by(now);
    noting(clock, 1, rung).by(now);
    assertEquals(await thrown.promise, failure);
    await rings.promise;
    assertEquals(rung.map(([name]) => name), [1]);
  } finally {
    removeEventListener("error", onError);
  }
});

Deno.test("alarms: one that is set to a time that was replaced before fires once", async () => {
  using time = new SimTime();
  const clock = new AlarmClock();
  const rung: [number, number][] = [];
  const begin = performance.now();
  const alarm = noting(clock, 1, rung);
  for (const at of [50, 45, 40]) alarm.by(begin + at);
  await time.tick(40);
  for (const at of [50, 45]) alarm.by(begin + at);
  await time.tick(5);
  alarm.by(begin + 50);
  await time.tick(100);
  assertEquals(rung, [[1, begin + 40], [1, begin + 45], [1, begin + 50]]);
  assertEquals(time.timers, 0);
});

Deno.test("alarms: those that were replaced or stopped many times leave the others as they are", async () => {
  using time = new SimTime();
  const clock = new AlarmClock();
  const rung: [number, number][] = [];
  const begin = performance.now();
  const alarms = Array.from({ length: 10 }, (_, n) => noting(clock, n, rung));
  for (const [n, alarm] of alarms.entries()) {
    for (let at = 2_000; at > 100 + n; at--) alarm.by(begin + at);
    for (let each = 0; each < 100; each++) {
      const stopped = noting(clock, 100, rung);
      stopped.by(begin + 50);
      stopped.stop();
    }
  }
  await time.tick(3_000);
  assertEquals(rung, Array.from(alarms, (_, n) => [n, begin + 101 + n]));
  assertEquals(time.timers, 0);
});

Deno.test("alarms: no timer is left of one that was set to an earlier time, rang, and was not set again", async () => {
  using time = new SimTime();
  const rung: [number, number][] = [];
  const begin = performance.now();
  const alarm = noting(new AlarmClock(), 1, rung);
  alarm.by(begin + 100);
  alarm.by(begin + 10);
  await time.tick(10);
  assertEquals([rung, time.timers], [[[1, begin + 10]], 0]);
});
