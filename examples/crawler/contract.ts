// What the processes of the crawler say to each other: two services, described once for both sides.

import { defineService, method } from "@troodon/rpc";

/** What a worker is asked to fetch. */
export interface PageJob {
  /** An http or https URL, normalised. */
  readonly url: string;
  /** How long the site may take, body included, in ms. */
  readonly timeout: number;
  /** The longest body that is taken, in bytes after decompression. */
  readonly maxBytes: number;
}

/** What became of a page. That a page cannot be had is a result: an error of the call says that the worker cannot. */
export type PageResult =
  | {
    readonly kind: "page";
    readonly title: string;
    readonly text: string;
    /** Normalised, each once. */
    readonly links: readonly string[];
    /** The page asks not to be stored. */
    readonly noindex: boolean;
  }
  | { readonly kind: "redirect"; readonly to: string }
  | { readonly kind: "skipped"; readonly why: string }
  | {
    readonly kind: "failed";
    readonly why: string;
    /** Whether another attempt makes sense. */
    readonly again: boolean;
    /** What the site asked for with Retry-After, in ms. */
    readonly retryAfter?: number;
  };

/** What became of a robots.txt: its text, empty where there is none; undefined where the site is to be left alone. */
export interface RobotsResult {
  readonly text?: string;
  readonly why?: string;
}

/** A worker: fetches and parses. It knows nothing of the crawl. */
export const PageWorker = defineService("PageWorker", {
  /** How many pages it takes at once. Also the question whether it is there. */
  slots: method<void, number>({ idempotent: true }),
  fetch: method<PageJob, PageResult>({ idempotent: true }),
  robots: method<{ origin: string; timeout: number }, RobotsResult>({ idempotent: true }),
});

/** How many pages a worker may take at once. */
export const MAX_SLOTS = 256;
/** The longest `Retry-After` that is heeded, in ms. */
export const MAX_RETRY_AFTER = 60_000;

/** Whether a value that another process has sent is a whole number in a range. */
export function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && value as number >= least && value as number <= most;
}

/** A page as it is stored. */
export interface Item {
  readonly url: string;
  readonly title: string;
  readonly text: string;
  /** How many links away from where the crawl began. */
  readonly depth: number;
}

/** A page that a search found. */
export interface Found {
  readonly url: string;
  readonly title: string;
  /** A few words around what was found, each of which stands between \u0002 and \u0003. */
  readonly snippet: string;
}

/** The saver: what is stored, and the search over it. */
export const ItemSaver = defineService("ItemSaver", {
  /** Stores a page, or stores it again: there is one of each URL. Says whether it was new. */
  save: method<Item, boolean>({ idempotent: true }),
  count: method<void, number>({ idempotent: true }),
  search: method<{ query: string; limit: number; offset: number }, Found[]>({ idempotent: true }),
});
