// The crawl: passes pages from workers to the saver and links to the scheduler, and counts results. Used by
// main.ts.

import { type Client, type Discovery, RpcError } from "@troodon/rpc";
import type { Clock } from "@troodon/rpc/registry";
import { isWhole, ItemSaver, MAX_RETRY_AFTER, type PageResult } from "./contract.ts";
import { pause } from "./program.ts";
import { DISALLOW_ALL, parseRobots } from "./robots.ts";
import { type Job, Scheduler } from "./scheduler.ts";
import { normalizeUrl } from "./url.ts";
import { isJobError, type Worker, Workers, type WorkerStats } from "./workers.ts";

/** Settings of a crawl. Times in ms. */
export interface CrawlOptions {
  /** Maximum number of URLs, including redirects and errors. */
  readonly maxPages: number;
  /** Maximum number of links between a seed and a page. */
  readonly maxDepth: number;
  /** Pause between two requests to a site; 0 = as fast as the workers can. */
  readonly delay: number;
  /** Maximum time of a request. */
  readonly timeout: number;
  /** Maximum size of a page, in bytes. */
  readonly maxBytes: number;
  /** Number of retries after a temporary error. */
  readonly retries: number;
  /** Whether to follow links to sites other than those of the seeds. */
  readonly allHosts: boolean;
  readonly log: (line: string) => void;
}

/** The progress of a crawl. */
export interface Progress {
  /** Stored pages. */
  readonly pages: number;
  /** Requests waiting for a worker. */
  readonly queued: number;
  /** Requests in progress. */
  readonly running: number;
  readonly redirects: number;
  /** Responses that are not stored: images, endless pages, pages with noindex. */
  readonly skipped: number;
  /** URLs disallowed by robots.txt. */
  readonly disallowed: number;
  /** URLs that failed after all attempts. */
  readonly errors: number;
  /** Links ignored because the limit of URLs was reached. */
  readonly dropped: number;
  /** Requests reassigned because their worker was lost. */
  readonly givenBack: number;
  /** Number of errors and skipped responses, by reason. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly workers: readonly WorkerStats[];
}

/** Maximum number of consecutive redirects. */
const MAX_HOPS = 10;
/** After this many lost workers a page is given up, because it may be the cause. */
const MAX_LOSSES = 4;
/** Additional time for the worker beyond that for the site, in ms. */
const WORKER_MARGIN = 5_000;
/** Delay before the first retry, doubled for each further one, in ms. */
const RETRY_DELAY = 500;
/** Delay between attempts while the saver is unreachable, in ms. */
const SAVER_WAIT = 500;
/** Maximum number of distinct reasons. */
const MAX_REASONS = 50;

const CLOCK: Clock = {
  now: () => performance.now(),
  setTimer(callback, delay) {
    const timer = setTimeout(callback, delay);
    return () => clearTimeout(timer);
  },
};

/** A crawl. */
export class Engine {
  readonly #options: CrawlOptions;
  readonly #scheduler: Scheduler;
  readonly #workers: Workers;
  readonly #items: ReturnType<typeof itemsOf>;
  readonly #stop = new AbortController();
  /** The origins to crawl, unless all are allowed. */
  readonly #scope = new Set<string>();
  readonly #counts = { pages: 0, redirects: 0, skipped: 0, errors: 0, givenBack: 0 };
  readonly #reasons = new Map<string, number>();
  #saverUnreachable = false;

  /**
   * Creates a crawl without starting it.
   *
   * @param workers Discovery of the workers
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
      onLost: (job) => this.#reassign(job),
      log,
    });
  }

  get progress(): Progress {
    const counts = { ...this.#counts, ...this.#scheduler.counts };
    return { ...counts, reasons: this.#reasons, workers: this.#workers.stats };
  }

  /**
   * Crawls until no requests are left, or the signal aborts.
   *
   * @param seeds The URLs to start from
   * @returns The final progress
   * @throws {TypeError} If a seed is not an http or https URL
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
    const stop = () => {
      this.#stop.abort();
      this.#scheduler.stop();
    };
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    const workers = this.#workers.run(this.#stop.signal);
    try {
      await Promise.all([this.#scheduler.ended.then(() => this.#stop.abort()), workers]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
    return this.progress;
  }

  /**
   * Executes a job with a worker. Returns the delay before a retry, if any; rejects if the worker was lost.
   */
  async #work(job: Job, worker: Worker): Promise<number | undefined> {
    const { timeout, maxBytes } = this.#options;
    const call = { timeout: timeout + WORKER_MARGIN, signal: this.#stop.signal };
    try {
      if (job.kind === "page") {
        return await this.#processResult(job, await worker.fetch({ url: job.url, timeout, maxBytes }, call));
      }
      const { text, why = "robots.txt: no text" } = await worker.robots(
        { origin: job.origin, timeout },
        call,
      );
      if (text === undefined) return this.#fail(job, { why, retryable: true });
      this.#scheduler.setRobots(job.origin, parseRobots(text));
      return undefined;
    } catch (error) {
      if (!isJobError(error)) throw error;
      return this.#fail(job, { why: `worker: ${error.message}`, retryable: false });
    }
  }

  /** Processes the result of a page. Returns the delay before a retry in ms, if any. */
  async #processResult(job: Job, result: PageResult): Promise<number | undefined> {
    switch (result.kind) {
      case "page":
        if (result.noindex) this.#count("skipped", "noindex");
        else await this.#save(job, result);
        for (const link of result.links) this.#add(link, job.depth + 1);
        return;
      case "redirect":
        this.#counts.redirects++;
        if (job.hops >= MAX_HOPS) return this.#count("errors", `more than ${MAX_HOPS} redirects`);
        // A seed may redirect to another site.
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

  /** The delay in ms before a failed job is retried, if it is. */
  #fail(job: Job, failure: { why: string; retryable: boolean; retryAfter?: number }): number | undefined {
    const { why, retryable } = failure;
    const retryAfter = isWhole(failure.retryAfter, 0, MAX_RETRY_AFTER) ? failure.retryAfter : 0;
    this.#scheduler.pauseOrigin(job.origin, retryAfter);
    if (retryable && job.tries < this.#options.retries) {
      return Math.max(RETRY_DELAY * 2 ** job.tries++, retryAfter);
    }
    if (job.kind === "robots") this.#scheduler.setRobots(job.origin, DISALLOW_ALL);
    return this.#count("errors", why);
  }

  /** Stores a page. While the saver is unreachable, the crawl waits, so that no fetched page is lost. */
  async #save({ url, depth }: Job, { title, text }: { title: string; text: string }): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#items.save({ url, title, text, depth }, { timeout: 10_000, signal });
        if (this.#saverUnreachable) this.#options.log("the saver is reachable again");
        this.#saverUnreachable = false;
        this.#counts.pages++;
        return;
      } catch (error) {
        if (isJobError(error)) return this.#count("errors", `saver: ${error.message}`);
        if (!(error instanceof RpcError)) throw error;
        if (signal.aborted) return;
        if (!this.#saverUnreachable) this.#options.log(`waiting for the saver: ${error.message}`);
        this.#saverUnreachable = true;
        await pause(SAVER_WAIT, signal);
      }
    }
  }

  /** Called when the worker of a job was lost. Returns whether to reassign the job. */
  #reassign(job: Job): boolean {
    if (this.#stop.signal.aborted) return false;
    this.#counts.givenBack++;
    if (++job.losses <= MAX_LOSSES) return true;
    if (job.kind === "robots") this.#scheduler.setRobots(job.origin, DISALLOW_ALL);
    this.#count("errors", `${MAX_LOSSES + 1} workers were lost while fetching it`);
    return false;
  }

  #count(what: "errors" | "skipped", why: string): undefined {
    this.#counts[what]++;
    // Sites influence the reasons, so only a limited number is kept.
    const reason = this.#reasons.has(why) || this.#reasons.size < MAX_REASONS ? why : "other";
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
  }
}

function itemsOf(client: Client) {
  return client.service(ItemSaver);
}
