// The crawler's scheduler: requests meet workers, nothing is handed out twice, sites are left alone. Time is fake.

import { assertEquals } from "@std/assert";
import { ALLOW_ALL, parseRobots } from "../../examples/crawler/robots.ts";
import { type Job, Scheduler } from "../../examples/crawler/scheduler.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const A = "http://a.example";
const B = "http://b.example";

function scheduler(options: Partial<{ maxPages: number; maxDepth: number; delay: number }> = {}) {
  const clock = new FakeClock();
  const never = new AbortController().signal;
  const queue = new Scheduler({ maxPages: 1_000, maxDepth: 10, delay: 0, clock, ...options });
  const taken: string[] = [];
  const jobs: Job[] = [];
  /** A worker that takes one job. */
  const take = async () => {
    const job = await queue.take(never);
    taken.push(job?.url ?? "none");
    if (job !== undefined) jobs.push(job);
    return job;
  };
  const know = (...origins: string[]) => origins.forEach((origin) => queue.setRobots(origin, ALLOW_ALL));
  return { clock, queue, taken, jobs, take, know };
}

Deno.test("crawler scheduler: a request meets a worker, whichever comes first", async () => {
  const { queue, taken, take, know } = scheduler();
  know(A);
  const early = take();
  await settle();
  assertEquals(taken, []);
  queue.add(`${A}/1`, 0);
  queue.add(`${A}/2`, 0);
  await early;
  await take();
  assertEquals(taken, [`${A}/1`, `${A}/2`]);
  assertEquals(queue.counts, { queued: 0, running: 2, disallowed: 0, dropped: 0 });
});

Deno.test("crawler scheduler: a URL is scheduled once, and only within depth and count", () => {
  const { queue } = scheduler({ maxPages: 3, maxDepth: 2 });
  assertEquals([queue.add(`${A}/1`, 0), queue.add(`${A}/1`, 1)], [true, false]);
  assertEquals([queue.add(`${A}/2`, 2), queue.add(`${A}/3`, 3)], [true, false]);
  assertEquals([queue.add(`${A}/4`, 1), queue.add(`${A}/5`, 1)], [true, false]);
  assertEquals(queue.counts, { queued: 3, running: 0, disallowed: 0, dropped: 1 });
});

Deno.test("crawler scheduler: robots.txt is fetched first and alone, and disallowed URLs are dropped", async () => {
  const { queue, taken, jobs, take } = scheduler({ maxPages: 3 });
  for (const path of ["/1", "/private/1", "/2"]) queue.add(A + path, 0);
  const workers = [take(), take(), take()];
  await settle();
  assertEquals(taken, [`${A}/robots.txt`]);
  queue.setRobots(A, parseRobots("User-agent: *\nDisallow: /private/"));
  queue.done(jobs[0]!);
  // What is forbidden does not count as a page.
  assertEquals([queue.add(`${A}/private/2`, 1), queue.add(`${A}/3`, 1)], [false, true]);
  await settle();
  assertEquals(taken, ["/robots.txt", "/1", "/2"].map((path) => A + path));
  for (const job of jobs.slice(1)) queue.done(job);
  queue.done((await take())!);
  assertEquals(queue.counts, { queued: 0, running: 0, disallowed: 2, dropped: 0 });
  await queue.ended;
  await Promise.all(workers);
});

Deno.test("crawler scheduler: with a delay a site gets one request at a time, followed by a pause", async () => {
  const { clock, queue, taken, jobs, take, know } = scheduler({ delay: 100 });
  know(A, B);
  for (const path of ["/1", "/2", "/3"]) queue.add(A + path, 0);
  queue.add(`${B}/1`, 0);
  for (let i = 0; i < 4; i++) void take();
  await settle();
  assertEquals(taken, [`${A}/1`, `${B}/1`]);
  await clock.advance(1_000);
  assertEquals(taken.length, 2); // it has not answered
  queue.done(jobs[0]!);
  await clock.advance(98);
  assertEquals(taken.length, 2);
  await clock.advance(2);
  assertEquals(taken.slice(2), [`${A}/2`]);
  queue.done(jobs[2]!);
  await clock.advance(100);
  assertEquals(taken.slice(3), [`${A}/3`]);
  queue.stop();
  assertEquals(clock.timers, 0);
});

Deno.test("crawler scheduler: a Crawl-delay counts where it is longer", async () => {
  const { clock, queue, taken, jobs, take } = scheduler({ delay: 100 });
  queue.setRobots(A, parseRobots("User-agent: *\nCrawl-delay: 2"));
  queue.add(`${A}/1`, 0);
  queue.add(`${A}/2`, 0);
  void take();
  void take();
  await settle();
  queue.done(jobs[0]!);
  await clock.advance(1_900);
  assertEquals(taken.length, 1);
  await clock.advance(100);
  assertEquals(taken.length, 2);
  queue.stop();
});

Deno.test("crawler scheduler: sites take turns", async () => {
  const { queue, taken, take, know } = scheduler();
  know(A, B);
  for (const path of ["/1", "/2"]) queue.add(A + path, 0);
  for (const path of ["/1", "/2"]) queue.add(B + path, 0);
  for (let i = 0; i < 4; i++) await take();
  assertEquals(taken, [`${A}/1`, `${B}/1`, `${A}/2`, `${B}/2`]);
});

Deno.test("crawler scheduler: a job that is returned is the next of its site; a failed one comes later", async () => {
  const { clock, queue, taken, jobs, take, know } = scheduler();
  know(A);
  for (const path of ["/1", "/2", "/3"]) queue.add(A + path, 0);
  await take();
  queue.retry(jobs[0]!);
  await take();
  assertEquals(taken, [`${A}/1`, `${A}/1`]);
  queue.retry(jobs[1]!, 500);
  await take();
  await take();
  queue.done(jobs[2]!);
  queue.done(jobs[3]!);
  assertEquals(queue.counts.queued, 1); // it is not over while something waits
  const last = take();
  await clock.advance(499);
  assertEquals(taken.length, 4);
  await clock.advance(1);
  queue.done((await last)!);
  assertEquals(taken.slice(2), [`${A}/2`, `${A}/3`, `${A}/1`]);
  await queue.ended;
});

Deno.test("crawler scheduler: a robots.txt that failed is asked for again later, and before any page", async () => {
  const { clock, queue, taken, jobs, take } = scheduler();
  queue.add(`${A}/1`, 0);
  await take();
  queue.retry(jobs[0]!, 500);
  void take();
  await clock.advance(400);
  assertEquals(taken, [`${A}/robots.txt`]);
  await clock.advance(100);
  assertEquals(taken, [`${A}/robots.txt`, `${A}/robots.txt`]);
  assertEquals(jobs[0] === jobs[1], true); // so that attempts are counted
  queue.stop();
});

Deno.test("crawler scheduler: a worker that waits receives nothing at the end, or when it leaves", async () => {
  const { queue, taken, take, know } = scheduler();
  know(A);
  const leave = new AbortController();
  const left = queue.take(leave.signal);
  leave.abort();
  assertEquals(await left, undefined);
  queue.add(`${A}/1`, 0);
  const job = await take();
  const idle = take();
  queue.done(job!);
  await idle;
  await take();
  assertEquals(taken, [`${A}/1`, "none", "none"]);
  assertEquals(queue.add(`${A}/2`, 0), false);
});
