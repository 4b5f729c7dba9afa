// The crawl: takes what workers bring, hands pages to the saver and links to the scheduler, and counts. It fetches
// nothing itself.

import { type Client, type Discovery, RpcError } from "@troodon/rpc";
import type { Clock } from "@troodon/rpc/registry";
import { isWhole, ItemSaver, MAX_RETRY_AFTER, type PageResult } from "./contract.ts";
import { pause } from "./program.ts";
import { DISALLOW_ALL, parseRobots } from "./robots.ts";
import { type Job, Scheduler } from "./scheduler.ts";
import { normalizeUrl } from "./url.ts";
import { isOfTheJob, type Worker, Workers, type WorkerStats } from "./workers.ts";

/** Settings of a crawl. Times in ms. */
export interface CrawlOptions {
  /** How many URLs are asked for at most, redirects and errors included. */
  readonly maxPages: number;
  /** How many links away from the seeds pages may be. */
  readonly maxDepth: number;
  /** How long a site is left alone between two requests; 0 = as fast as workers can. */
  readonly delay: number;
  /** How long a page may take. */
  readonly timeout: number;
  /** The longest page that is taken. */
  readonly maxBytes: number;
  /** How often a page is tried again after an error that may pass. */
  readonly retries: number;
  /** Whether to follow links to sites other than those of the seeds. */
  readonly allHosts: boolean;
  readonly log: (line: string) => void;
}

/** How far a crawl is. */
export interface Progress {
  /** Pages that were stored. */
  readonly pages: number;
  /** Requests that wait for a worker. */
  readonly queued: number;
  /** Requests that workers are at. */
  readonly running: number;
  readonly redirects: number;
  /** What is no page to be stored: images, endless pages, pages that ask not to be. */
  readonly skipped: number;
  /** What robots.txt forbids. */
  readonly disallowed: number;
  /** What could not be had, after all attempts. */
  readonly errors: number;
  /** Links that were left because the limit of pages was reached. */
  readonly dropped: number;
  /** Requests that were given to another worker, since theirs was lost. */
  readonly givenBack: number;
  /** How often which reason was, of errors and of what was skipped. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly workers: readonly WorkerStats[];
}

/** Redirects in a row that are followed. */
const MAX_HOPS = 10;
/** Workers that may be lost over one page before it is given up: it might be the page. */
const MAX_LOSSES = 4;
/** What a worker may take beyond what the site may, in ms. */
const WORKER_MARGIN = 5_000;
/** The wait before the first attempt after an error, doubled for each further one, in ms. */
const RETRY_DELAY = 500;
/** The wait between attempts while the saver is away, in ms. */
const SAVER_WAIT = 500;
/** Different reasons that are counted by themselves. */
const MAX_REASONS = 50;

const CLOCK: Clock = {
  now: () => performance.now(),
  setTimer(callback, delay) {
    const timer = setTimeout(callback, delay);
    return () => clearTimeout(timer);
  },
};

/** One crawl. */
export class Engine {
  readonly #options: CrawlOptions;
  readonly #scheduler: Scheduler;
  readonly #workers: Workers;
  readonly #items: ReturnType<typeof itemsOf>;
  readonly #stop = new AbortController();
  /** Origins that are crawled, unless all are. */
  readonly #scope = new Set<string>();
  readonly #counts = { pages: 0, redirects: 0, skipped: 0, errors: 0, givenBack: 0 };
  readonly #reasons = new Map<string, number>();
  #saverAway = false;

  /**
   * Makes a crawl that has not begun.
   *
   * @param workers Where the workers are
   * @param saver A client of the saver
   */
  constructor(workers: Discovery, saver: Client, options: CrawlOptions) {
    this.#options = options;
    const { maxPages, maxDepth, delay, log } = options;
    this.#scheduler = new Scheduler({ maxPages, maxDepth, delay, clock: CLOCK });
    this.#items = itemsOf(saver);
    this.#workers = new Workers({
      discovery: workers,
      scheduler: this.#scheduler,
      work: (job, worker) => this.#work(job, worker),
      onLost: (job) => this.#giveBack(job),
      log,
    });
  }

  get progress(): Progress {
    const counts = { ...this.#counts, ...this.#scheduler.counts };
    return { ...counts, reasons: this.#reasons, workers: this.#workers.stats };
  }

  /**
   * Crawls until nothing is left, or the signal aborts.
   *
   * @param seeds Where to begin
   * @returns How it ended
   * @throws {TypeError} If a seed is no http or https URL
   */
  async crawl(seeds: readonly string[], signal: AbortSignal): Promise<Progress> {
    for (const seed of seeds) {
      const url = normalizeUrl(seed);
      if (url === undefined) {
        throw new TypeError(
          `Cannot crawl ${JSON.stringify(seed.slice(0, 80))}: expected an http or https URL`,
        );
      }
      this.#scope.add(new URL(url).origin);
      this.#scheduler.add(url, 0);
    }
    const end = () => {
      this.#stop.abort();
      this.#scheduler.stop();
    };
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    const workers = this.#workers.run(this.#stop.signal);
    try {
      await Promise.all([this.#scheduler.ended.then(() => this.#stop.abort()), workers]);
    } finally {
      signal.removeEventListener("abort", end);
    }
    return this.progress;
  }

  /** Does one job with a worker. Rejects if the worker was lost over it. */
  async #work(job: Job, worker: Worker): Promise<number | undefined> {
    const { timeout, maxBytes } = this.#options;
    const call = { timeout: timeout + WORKER_MARGIN, signal: this.#stop.signal };
    try {
      if (job.kind === "page") {
        return await this.#take(job, await worker.fetch({ url: job.url, timeout, maxBytes }, call));
      }
      const { text, why = "robots.txt: nothing" } = await worker.robots(
        { origin: job.origin, timeout },
        call,
      );
      if (text === undefined) return this.#fail(job, { why, again: true });
      this.#scheduler.setRobots(job.origin, parseRobots(text));
      return undefined;
    } catch (error) {
      if (!isOfTheJob(error)) throw error;
      return this.#fail(job, { why: `worker: ${error.message}`, again: false });
    }
  }

  /** Does with a page what there is to do. After how many ms it is to be tried again, if it is. */
  async #take(job: Job, result: PageResult): Promise<number | undefined> {
    switch (result.kind) {
      case "page":
        if (result.noindex) this.#count("skipped", "noindex");
        else await this.#save(job, result);
        for (const link of result.links) this.#add(link, job.depth + 1);
        return;
      case "redirect":
        this.#counts.redirects++;
        if (job.hops >= MAX_HOPS) return this.#count("errors", `more than ${MAX_HOPS} redirects`);
        // A seed may say that its site is elsewhere.
        if (job.depth === 0) this.#scope.add(new URL(result.to).origin);
        return this.#add(result.to, job.depth, job.hops + 1);
      case "skipped":
        return this.#count("skipped", result.why);
      case "failed":
        return this.#fail(job, result);
    }
  }

  #add(url: string, depth: number, hops = 0): undefined {
    if (this.#options.allHosts || this.#scope.has(new URL(url).origin)) this.#scheduler.add(url, depth, hops);
  }

  /** After how many ms a job that failed is tried again, if it is. */
  #fail(job: Job, failure: { why: string; again: boolean; retryAfter?: number }): number | undefined {
    const { why, again } = failure;
    const retryAfter = isWhole(failure.retryAfter, 0, MAX_RETRY_AFTER) ? failure.retryAfter : 0;
    this.#scheduler.rest(job.origin, retryAfter);
    if (again && job.tries < this.#options.retries) {
      return Math.max(RETRY_DELAY * 2 ** job.tries++, retryAfter);
    }
    if (job.kind === "robots") this.#scheduler.setRobots(job.origin, DISALLOW_ALL);
    return this.#count("errors", why);
  }

  /** Stores a page. While the saver is away the crawl waits for it: nothing that was fetched is lost. */
  async #save({ url, depth }: Job, { title, text }: { title: string; text: string }): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#items.save({ url, title, text, depth }, { timeout: 10_000, signal });
        if (this.#saverAway) this.#options.log("the saver is back");
        this.#saverAway = false;
        this.#counts.pages++;
        return;
      } catch (error) {
        if (isOfTheJob(error)) return this.#count("errors", `saver: ${error.message}`);
        if (!(error instanceof RpcError)) throw error;
        if (signal.aborted) return;
        if (!this.#saverAway) this.#options.log(`waiting for the saver: ${error.message}`);
        this.#saverAway = true;
        await pause(SAVER_WAIT, signal);
      }
    }
  }

  /** The worker of a job was lost: whether another gets it. */
  #giveBack(job: Job): boolean {
    if (this.#stop.signal.aborted) return false;
    this.#counts.givenBack++;
    if (++job.losses <= MAX_LOSSES) return true;
    if (job.kind === "robots") this.#scheduler.setRobots(job.origin, DISALLOW_ALL);
    this.#count("errors", `${MAX_LOSSES + 1} workers were lost over it`);
    return false;
  }

  #count(what: "errors" | "skipped", why: string): undefined {
    this.#counts[what]++;
    // Sites have a say in reasons, so not all of them are kept.
    const reason = this.#reasons.has(why) || this.#reasons.size < MAX_REASONS ? why : "other";
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
  }
}

function itemsOf(client: Client) {
  return client.service(ItemSaver);
}
