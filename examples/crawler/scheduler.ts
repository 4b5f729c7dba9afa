// What is to be fetched next: a queue of requests for each site meets a queue of ready workers. Knows which URLs were
// seen, when a site may be asked again, and what its robots.txt allows. No I/O; time is a Clock.

import type { Clock } from "@troodon/rpc/registry";
import type { Robots } from "./robots.ts";
import { pathOf } from "./url.ts";

/** Limits of a crawl. */
export interface SchedulerOptions {
  /** How many URLs are taken in at most, redirects and errors included. */
  readonly maxPages: number;
  /** How many links away from the seeds pages may be. */
  readonly maxDepth: number;
  /**
   * How long a site is left alone after it has answered, in ms; its robots.txt may ask for longer. With a delay a site
   * is asked for one thing at a time. 0: as many as there are workers.
   */
  readonly delay: number;
  readonly clock: Clock;
}

/** Something for a worker to do: fetch a page, or an origin's robots.txt. */
export interface Job {
  readonly kind: "page" | "robots";
  readonly url: string;
  readonly origin: string;
  readonly depth: number;
  /** Redirects that led here. */
  readonly hops: number;
  /** How often the site was asked already. */
  tries: number;
  /** How many workers were lost over it. */
  losses: number;
}

/** One origin: scheme, host and port. */
interface Site {
  readonly origin: string;
  readonly queue: Fifo<Job>;
  /** The job of fetching its robots.txt, which is tried again as others are. */
  readonly first: Job;
  robots: Robots | undefined;
  /** Jobs that workers are at. */
  busy: number;
  /** When it may be asked again, by the clock. */
  freeAt: number;
}

/** Hands out jobs. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #seen = new Set<string>();
  readonly #sites = new Map<string, Site>();
  /** Sites that may be asked now, the one that has waited longest first. */
  readonly #ready = new Set<Site>();
  /** Workers that are ready, the one that has waited longest first. */
  readonly #takers = new Set<(job: Job | undefined) => void>();
  readonly #timers = new Set<() => void>();
  readonly #ended = Promise.withResolvers<void>();
  #queued = 0;
  #running = 0;
  /** Jobs that wait to be tried again. */
  #waiting = 0;
  #disallowed = 0;
  #dropped = 0;
  #over = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** How many requests wait; at workers; that robots.txt forbade; that were over the limit of pages. */
  get counts(): { queued: number; running: number; disallowed: number; dropped: number } {
    const queued = this.#queued + this.#waiting;
    return { queued, running: this.#running, disallowed: this.#disallowed, dropped: this.#dropped };
  }

  /** Resolves when nothing is left to do, or the crawl was stopped. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /**
   * Takes in a request, unless its URL was seen before or is beyond a limit.
   *
   * @param url Normalised
   * @returns Whether it was taken in
   */
  add(url: string, depth: number, hops = 0): boolean {
    if (this.#over || depth > this.#options.maxDepth || this.#seen.has(url)) return false;
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
   * A worker is ready: resolves with the next job as soon as there is one, and with undefined when there will be none
   * any more, or the signal aborts.
   */
  take(signal: AbortSignal): Promise<Job | undefined> {
    if (this.#over || signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (job: Job | undefined) => {
        this.#takers.delete(settle);
        signal.removeEventListener("abort", leave);
        resolve(job);
      };
      const leave = () => settle(undefined);
      signal.addEventListener("abort", leave);
      this.#takers.add(settle);
      this.#match();
    });
  }

  /** A job is finished, whatever came of it. */
  done(job: Job): void {
    this.#release(job);
    if (this.#queued + this.#running + this.#waiting === 0) this.stop();
  }

  /** A job goes back: it is tried again, at once and before the others of its site, or after some ms. */
  again(job: Job, delay = 0): void {
    if (job.kind === "robots") {
      // It is asked for by itself as long as it is not known.
      this.rest(job.origin, delay);
    } else if (delay === 0) {
      this.#requeue(job);
    } else {
      this.#waiting++;
      this.#later(() => {
        this.#waiting--;
        this.#requeue(job);
        this.#match();
      }, delay);
    }
    this.#release(job);
  }

  /** Leaves an origin alone for some ms. */
  rest(origin: string, ms: number): void {
    if (ms === 0) return;
    const site = this.#site(origin);
    const { clock } = this.#options;
    site.freeAt = Math.max(site.freeAt, clock.now() + ms);
    this.#later(() => {
      this.#offer(site);
      this.#match();
    }, ms);
  }

  /** What an origin's robots.txt says. What is queued of it and not allowed is dropped. */
  setRobots(origin: string, robots: Robots): void {
    const site = this.#site(origin);
    site.robots = robots;
    const jobs = [...site.queue.drain()];
    for (const job of jobs) {
      if (robots.allows(pathOf(job.url))) site.queue.push(job);
      else this.#disallowed++;
    }
    this.#queued -= jobs.length - site.queue.length;
    this.#offer(site);
  }

  /** Ends the crawl: whoever waits for a job gets none. */
  stop(): void {
    if (this.#over) return;
    this.#over = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    for (const settle of [...this.#takers]) settle(undefined);
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
    this.#offer(site);
    this.#match();
  }

  #requeue(job: Job): void {
    const site = this.#site(job.origin);
    site.queue.unshift(job);
    this.#queued++;
    this.#offer(site);
  }

  #release({ origin }: Job): void {
    const site = this.#site(origin);
    this.#running--;
    site.busy--;
    this.rest(origin, this.#delayOf(site));
    this.#offer(site);
    this.#match();
  }

  #delayOf({ robots }: Site): number {
    return Math.max(this.#options.delay, robots?.delay ?? 0);
  }

  /** Puts a site among those that may be asked now, if it may be. */
  #offer(site: Site): void {
    if (this.#free(site)) this.#ready.add(site);
  }

  #free(site: Site): boolean {
    // Timers are not exact to the millisecond.
    if (site.queue.length === 0 || site.freeAt > this.#options.clock.now() + 1) return false;
    // Its robots.txt comes first, and alone.
    const alone = site.robots === undefined || this.#delayOf(site) > 0;
    return !alone || site.busy === 0;
  }

  #match(): void {
    for (const site of this.#ready) {
      const [settle] = this.#takers;
      if (settle === undefined) return;
      this.#ready.delete(site);
      // It may have been taken out of its queue since, by its robots.txt.
      if (!this.#free(site)) continue;
      const job = site.robots === undefined ? site.first : site.queue.shift()!;
      if (job.kind === "page") this.#queued--;
      site.busy++;
      this.#running++;
      this.#offer(site); // behind the others
      settle(job);
    }
  }

  #later(callback: () => void, delay: number): void {
    if (this.#over) return;
    const cancel = this.#options.clock.setTimer(() => {
      this.#timers.delete(cancel);
      callback();
    }, delay);
    this.#timers.add(cancel);
  }
}

/** A queue whose front is taken off without moving the rest. */
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
