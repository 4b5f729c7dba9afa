// Simulated time: what rings when, what the clocks say, and that everything is put back.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AsyncLocalStorage } from "node:async_hooks";
import { SimTime } from "../../testing/mod.ts";
import { eventLoop } from "../../session/event_loop.ts";

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

Deno.test("simulated time: timers fire in order, each at its time", async () => {
  using time = new SimTime();
  const rung: [string, number][] = [];
  const note = (name: string) => rung.push([name, time.now]);
  setTimeout(note, 30, "c");
  setTimeout(note, 10, "a");
  setTimeout(note, 20, "b");
  setTimeout(note, 20, "b, set later");
  setTimeout(() => void setTimeout(note, 0, "at once, behind all of its time"), 20);
  clearTimeout(setTimeout(note, 15, "never"));
  assertEquals(time.timers, 5);
  await time.tick(20);
  assertEquals(rung, [["a", 10], ["b", 20], ["b, set later", 20], ["at once, behind all of its time", 20]]);
  await time.tick(9);
  assertEquals([time.now, time.timers], [29, 1]);
  await time.tick(1);
  assertEquals([rung.at(-1), time.timers], [["c", 30], 0]);
});

Deno.test("simulated time: many timers fire in order, canceled ones do not", async () => {
  using time = new SimTime();
  const rung: number[] = [];
  // 7919 is a prime: each delay from 0 to 4999 comes once, out of order.
  const timers = Array.from({ length: 5_000 }, (_, n) => {
    const ms = n * 7_919 % 5_000;
    return { ms, timer: setTimeout(() => rung.push(ms), ms) };
  });
  for (const { ms, timer } of timers) if (ms % 3 === 0) clearTimeout(timer);
  const all = Promise.all([sleep(5_000)]);
  await time.until(all);
  assertEquals(rung, Array.from({ length: 5_000 }, (_, ms) => ms).filter((ms) => ms % 3 !== 0));
});

Deno.test("simulated time: promises settle between two timers", async () => {
  using time = new SimTime();
  const steps: string[] = [];
  const walk = async (name: string, ms: number) => {
    for (let n = 1; n <= 2; n++) {
      await sleep(ms);
      for (let hop = 0; hop < 50; hop++) await null;
      steps.push(`${name}${n} at ${time.now}`);
    }
  };
  await time.until(Promise.all([walk("a", 10), walk("b", 15)]));
  assertEquals(steps, ["a1 at 10", "b1 at 15", "a2 at 20", "b2 at 30"]);
});

Deno.test("simulated time: an interval fires until it is cleared, also from within", async () => {
  using time = new SimTime();
  let rung = 0;
  const timer = setInterval(() => ++rung === 4 && clearInterval(timer), 10);
  await time.tick(35);
  assertEquals(rung, 3);
  await time.tick(1_000);
  assertEquals([rung, time.timers], [4, 0]);
});

Deno.test("simulated time: clocks, dates and AbortSignal.timeout go by it", async () => {
  const start = Date.UTC(2020, 1, 29);
  using time = new SimTime({ start: new Date(start) });
  const began = performance.now();
  const signal = AbortSignal.timeout(1_500);
  await time.tick(1_499);
  assertEquals(performance.now() - began, 1_499);
  assertEquals([Date.now(), new Date().getTime()], [start + 1_499, start + 1_499]);
  assertEquals(new Date(0).toISOString(), "1970-01-01T00:00:00.000Z");
  assert(new Date() instanceof Date && Date() === new Date().toString());
  assertEquals(structuredClone(new Date()), new Date());
  assertEquals(signal.aborted, false);
  await time.tick(1);
  assertEquals([signal.aborted, signal.reason.name], [true, "TimeoutError"]);
});

Deno.test("simulated time: a date made by another's constructor goes by it", async () => {
  const start = Date.UTC(2020, 1, 29);
  const before = new Date(0);
  using time = new SimTime({ start });
  await time.tick(500);
  for (const date of [new Date(), before]) {
    assert(date.constructor === Date);
    const { constructor } = date as unknown as { constructor: DateConstructor };
    assertEquals([new constructor().getTime(), constructor.now()], [start + 500, start + 500]);
  }
});

Deno.test("simulated time: Temporal.Now goes by it, in any time zone", async () => {
  using time = new SimTime({ start: Date.UTC(2020, 1, 29, 23, 30) });
  await time.tick(1_500.5);
  const { Now } = Temporal;
  assertEquals(Now.instant().epochMilliseconds, Date.now());
  assertEquals(Now.zonedDateTimeISO().epochMilliseconds, Date.now());
  assertEquals(Now.zonedDateTimeISO().timeZoneId, Now.timeZoneId());
  assertEquals(Now.plainDateTimeISO("UTC").toString(), "2020-02-29T23:30:01.5");
  assertEquals(Now.plainDateISO("+01:00").toString(), "2020-03-01");
  assertEquals(Now.plainTimeISO("+01:00").toString(), "00:30:01.5");
});

Deno.test("simulated time: performance agrees with itself and with dates", async () => {
  using time = new SimTime();
  assertEquals(performance.timeOrigin + performance.now(), Date.now());
  const began = performance.now();
  await time.tick(100);
  assertEquals(performance.timeOrigin + performance.now(), Date.now());
  assertEquals(performance.mark("a").startTime, began + 100);
  assertEquals(performance.mark("early", { startTime: 7, detail: "x" }).startTime, 7);
  await time.tick(250);
  const now = began + 350;
  const spans = [
    performance.measure("since the origin"),
    performance.measure("since a", "a"),
    performance.measure("from early to a", "early", "a"),
    performance.measure("since a", { start: "a", detail: 5 }),
    performance.measure("from 10 for 5", { start: 10, duration: 5 }),
    performance.measure("5 up to a", { end: "a", duration: 5 }),
  ].map(({ startTime, duration }) => [startTime, startTime + duration]);
  assertEquals(spans, [
    [0, now],
    [began + 100, now],
    [7, began + 100],
    [began + 100, now],
    [10, 15],
    [began + 95, began + 100],
  ]);
  assertEquals(performance.getEntriesByName("a").length, 1);
  performance.clearMarks();
  performance.clearMeasures();
});

Deno.test("simulated time: everything is put back, and timers of before stay real", async () => {
  const clocks = () => [
    Date.prototype.constructor,
    performance.timeOrigin,
    performance.mark,
    performance.measure,
    ...Object.values(Object.getOwnPropertyDescriptors(Temporal.Now)).map(({ value }) => value),
    Object.keys(performance),
  ];
  const realClocks = clocks();
  const before = [setTimeout, setInterval, clearTimeout, clearInterval, performance.now, Date];
  const real = Promise.withResolvers<void>();
  setTimeout(real.resolve, 1);
  const never = setTimeout(() => real.reject(new Error("It was cleared")), 1);
  {
    using time = new SimTime();
    assertThrows(() => new SimTime(), TypeError, "already simulated");
    clearTimeout(never);
    clearTimeout(undefined);
    const date = new Date(5);
    assert(date instanceof before[5]!);
    time[Symbol.dispose]();
  }
  assertEquals([setTimeout, setInterval, clearTimeout, clearInterval, performance.now, Date], before);
  assertEquals(clocks(), realClocks);
  await real.promise;
});

Deno.test("simulated time: a handle is what Deno's own is", async () => {
  using time = new SimTime();
  let rung = 0;
  const timer = setTimeout(() => rung++, 5) as unknown as {
    ref(): unknown;
    unref(): unknown;
    hasRef(): boolean;
  };
  assertEquals([timer.unref(), timer.ref(), timer.hasRef()], [timer, timer, true]);
  Deno.unrefTimer(Number(timer));
  const cleared = setTimeout(() => rung++, 5);
  clearTimeout(Number(cleared));
  await time.tick(5);
  assertEquals(rung, 1);
});

Deno.test("simulated time: a callback runs in the asynchronous context that set its timer", async () => {
  using time = new SimTime();
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  storage.run("a handler's", () => void setTimeout(() => seen.push(storage.getStore()), 1));
  setTimeout(() => seen.push(storage.getStore()), 2);
  await storage.run("the test's", () => time.tick(10));
  assertEquals(seen, ["a handler's", undefined]);
});

Deno.test("simulated time: until() stops at the moment when its promise is settled", async () => {
  using time = new SimTime();
  setInterval(() => {}, 100);
  assertEquals(await time.until(sleep(250).then(() => time.now)), 250);
  assertEquals(time.now, 250);
  await assertRejects(
    () => time.until(sleep(50).then(() => Promise.reject(new Error("its own")))),
    Error,
    "its own",
  );
  await assertRejects(() => time.until(sleep(60), { limit: 59 }), Error, "Not settled within 59 ms");
  assertEquals(time.now, 300);
});

Deno.test("simulated time: waiting for something that never happens is an error", async () => {
  using time = new SimTime();
  await assertRejects(() => time.until(new Promise(() => {})), Error, "no timer is pending");
  const again = () => void setTimeout(again, 0);
  again();
  await assertRejects(() => time.tick(1), Error, "Time does not advance");
});

Deno.test("simulated time: an error thrown by a timer is thrown where time passes, and time continues", async () => {
  using time = new SimTime();
  setTimeout(() => {
    throw new RangeError("of a callback");
  }, 5);
  await assertRejects(() => time.tick(10), RangeError, "of a callback");
  assertEquals(time.now, 5);
  const first = time.tick(5);
  await assertRejects(() => time.tick(5), TypeError, "already being advanced");
  await first;
  assertEquals(time.now, 10);
});

Deno.test("simulated time: real work that nothing else waits for is waited for", async () => {
  using time = new SimTime();
  const read = Deno.readTextFile(new URL("../../deno.json", import.meta.url)).then((text) => text.length);
  assert(await time.until(read) > 0);
});

Deno.test("simulated time: wrong arguments are refused", async () => {
  assertThrows(() => new SimTime({ start: NaN }), TypeError, "start");
  using time = new SimTime();
  for (const ms of [-1, NaN, Infinity]) {
    await assertRejects(() => time.tick(ms), RangeError, "0 or more");
  }
  assertThrows(() => setTimeout("code" as unknown as () => void, 1), TypeError, "expected a function");
});

Deno.test("simulated time: sessions that outlive it, as a failure leaves them, do not keep later ones waiting", async () => {
  for (const _ of [1, 2]) {
    using time = new SimTime();
    assertEquals(eventLoop.shouldYield(time.now), false);
    eventLoop.yielded();
  }
  assertEquals(eventLoop.shouldYield(performance.now() + 3_600_000), false);
  await eventLoop.yielded();
});

Deno.test("simulated time: clearing a timer of another simulation clears none of this one", async () => {
  let old: ReturnType<typeof setTimeout>;
  {
    using _time = new SimTime();
    old = setTimeout(() => {}, 1_000);
  }
  using time = new SimTime();
  let rung = 0;
  setTimeout(() => rung++, 1_000);
  clearTimeout(old);
  await time.tick(1_000);
  assertEquals(rung, 1);
});
