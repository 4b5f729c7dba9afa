// Decides what to fetch next: matches a queue of requests for each site with a queue of ready workers. Tracks
// seen URLs, when a site may be requested again, and its robots.txt. No I/O; time is a Clock.

import type { Clock } from "@troodon/rpc/registry";
import type { Robots } from "./robots.ts";
import { pathOf } from "./url.ts";

/** Limits of a crawl. */
export interface SchedulerOptions {
  /** Maximum number of URLs, including redirects and errors. */
  readonly maxPages: number;
  /** Maximum number of links between a seed and a page. */
  readonly maxDepth: number;
  /**
   * Pause after a response of a site, in ms; its robots.txt may request a longer one. With a delay, a site
   * gets one request at a time. 0: as many as there are workers.
   */
  readonly delay: number;
  readonly clock: Clock;
}

/** A job for a worker: fetch a page, or the robots.txt of an origin. */
export interface Job {
  readonly kind: "page" | "robots";
  readonly url: string;
  readonly origin: string;
  readonly depth: number;
  /** Number of redirects that led here. */
  readonly hops: number;
  /** Number of attempts so far. */
  tries: number;
  /** Number of workers lost during this job. */
  losses: number;
}

/** An origin: scheme, host and port. */
interface Site {
  readonly origin: string;
  readonly queue: Fifo<Job>;
  /** The job of fetching its robots.txt, which is retried like others. */
  readonly first: Job;
  robots: Robots | undefined;
  /** Jobs in progress. */
  busy: number;
  /** When the next request is allowed, by the clock. */
  freeAt: number;
}

/** Assigns jobs to workers. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #seen = new Set<string>();
  readonly #sites = new Map<string, Site>();
  /** Sites that may be requested now, the longest waiting first. */
  readonly #ready = new Set<Site>();
  /** Ready workers, the longest waiting first. */
  readonly #waitingWorkers = new Set<(job: Job | undefined) => void>();
  readonly #timers = new Set<() => void>();
  readonly #ended = Promise.withResolvers<void>();
  #queued = 0;
  #running = 0;
  /** Number of jobs waiting for a retry. */
  #waiting = 0;
  #disallowed = 0;
  #dropped = 0;
  #stopped = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /**
   * Number of requests that are queued, running, disallowed by robots.txt, and dropped by the limit of URLs.
   */
  get counts(): { queued: number; running: number; disallowed: number; dropped: number } {
    const queued = this.#queued + this.#waiting;
    return { queued, running: this.#running, disallowed: this.#disallowed, dropped: this.#dropped };
  }

  /** Resolves when no jobs are left, or the crawl was stopped. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /**
   * Adds a request, unless its URL was seen before or exceeds a limit.
   *
   * @param url Normalized
   * @returns Whether it was added
   */
  add(url: string, depth: number, hops = 0): boolean {
    if (this.#stopped || depth > this.#options.maxDepth || this.#seen.has(url)) return false;
    const { origin } = new URL(url);
    const site = this.#sites.get(origin);
    if (site?.robots?.allows(pathOf(url)) === false) {
      this.#seen.add(url);
      this.#disallowed++;
      return false;
    }
    if (this.#seen.size - this.#disallowed >= this.#options.maxPages) {
      this.#dropped++;
      return false;
    }
    this.#seen.add(url);
    this.#enqueue({ kind: "page", url, origin, depth, hops, tries: 0, losses: 0 });
    return true;
  }

  /**
   * Called by a ready worker: resolves with the next job as soon as there is one, or with undefined when the
   * crawl has ended or the signal aborts.
   */
  take(signal: AbortSignal): Promise<Job | undefined> {
    if (this.#stopped || signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (job: Job | undefined) => {
        this.#waitingWorkers.delete(settle);
        signal.removeEventListener("abort", onAbort);
        resolve(job);
      };
      const onAbort = () => settle(undefined);
      signal.addEventListener("abort", onAbort);
      this.#waitingWorkers.add(settle);
      this.#assignJobs();
    });
  }

  /** Completes a job, whatever its result. */
  done(job: Job): void {
    this.#release(job);
    if (this.#queued + this.#running + this.#waiting === 0) this.stop();
  }

  /** Queues a job for a retry, at once and before the others of its site, or after a delay in ms. */
  retry(job: Job, delay = 0): void {
    if (job.kind === "robots") {
      // The robots.txt is fetched again as long as it is unknown.
      this.pauseOrigin(job.origin, delay);
    } else if (delay === 0) {
      this.#requeue(job);
    } else {
      this.#waiting++;
      this.#schedule(() => {
        this.#waiting--;
        this.#requeue(job);
        this.#assignJobs();
      }, delay);
    }
    this.#release(job);
  }

  /** Pauses requests to an origin for some ms. */
  pauseOrigin(origin: string, ms: number): void {
    if (ms === 0) return;
    const site = this.#site(origin);
    const { clock } = this.#options;
    site.freeAt = Math.max(site.freeAt, clock.now() + ms);
    this.#schedule(() => {
      this.#markIfReady(site);
      this.#assignJobs();
    }, ms);
  }

  /** Sets the robots.txt of an origin, and drops its queued jobs that are disallowed. */
  setRobots(origin: string, robots: Robots): void {
    const site = this.#site(origin);
    site.robots = robots;
    const jobs = [...site.queue.drain()];
    for (const job of jobs) {
      if (robots.allows(pathOf(job.url))) site.queue.push(job);
      else this.#disallowed++;
    }
    this.#queued -= jobs.length - site.queue.length;
    this.#markIfReady(site);
  }

  /** Ends the crawl: waiting workers get no job. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    for (const settle of [...this.#waitingWorkers]) settle(undefined);
    this.#ended.resolve();
  }

  #site(origin: string): Site {
    let site = this.#sites.get(origin);
    if (site === undefined) {
      const url = `${origin}/robots.txt`;
      const first: Job = { kind: "robots", url, origin, depth: 0, hops: 0, tries: 0, losses: 0 };
      site = { origin, queue: new Fifo(), first, robots: undefined, busy: 0, freeAt: -Infinity };
      this.#sites.set(origin, site);
    }
    return site;
  }

  #enqueue(job: Job): void {
    const site = this.#site(job.origin);
    site.queue.push(job);
    this.#queued++;
    this.#markIfReady(site);
    this.#assignJobs();
  }

  #requeue(job: Job): void {
    const site = this.#site(job.origin);
    site.queue.unshift(job);
    this.#queued++;
    this.#markIfReady(site);
  }

  #release({ origin }: Job): void {
    const site = this.#site(origin);
    this.#running--;
    site.busy--;
    this.pauseOrigin(origin, this.#delayOf(site));
    this.#markIfReady(site);
    this.#assignJobs();
  }

  #delayOf({ robots }: Site): number {
    return Math.max(this.#options.delay, robots?.delay ?? 0);
  }

  /** Marks a site as ready, if it may be requested now. */
  #markIfReady(site: Site): void {
    if (this.#isReady(site)) this.#ready.add(site);
  }

  #isReady(site: Site): boolean {
    // Timers are not exact to the millisecond.
    if (site.queue.length === 0 || site.freeAt > this.#options.clock.now() + 1) return false;
    // Its robots.txt is fetched first, and alone.
    const alone = site.robots === undefined || this.#delayOf(site) > 0;
    return !alone || site.busy === 0;
  }

  #assignJobs(): void {
    for (const site of this.#ready) {
      const [settle] = this.#waitingWorkers;
      if (settle === undefined) return;
      this.#ready.delete(site);
      // Its robots.txt may have removed its queued jobs since.
      if (!this.#isReady(site)) continue;
      const job = site.robots === undefined ? site.first : site.queue.shift()!;
      if (job.kind === "page") this.#queued--;
      site.busy++;
      this.#running++;
      this.#markIfReady(site); // after the other sites
      settle(job);
    }
  }

  #schedule(callback: () => void, delay: number): void {
    if (this.#stopped) return;
    const cancel = this.#options.clock.setTimer(() => {
      this.#timers.delete(cancel);
      callback();
    }, delay);
    this.#timers.add(cancel);
  }
}

/** A queue that removes its front without moving the rest. */
class Fifo<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  unshift(item: T): void {
    if (this.#head > 0) this.#items[--this.#head] = item;
    else this.#items.unshift(item);
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head++];
    if (this.#head > 1_000 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  drain(): T[] {
    const items = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return items;
  }
}
