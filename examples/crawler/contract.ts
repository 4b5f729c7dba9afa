// The contract between the crawler's processes: two services.

import { defineService, method } from "@troodon/rpc";

/** A page to fetch. */
export interface PageJob {
  /** A normalized http or https URL. */
  readonly url: string;
  /** Maximum time of the request, including the body, in ms. */
  readonly timeout: number;
  /** Maximum size of the body, in bytes after decompression. */
  readonly maxBytes: number;
}

/**
 * The result of fetching a page. A page that cannot be fetched is a result; an error of the call is about the
 * worker.
 */
export type PageResult =
  | {
    readonly kind: "page";
    readonly title: string;
    readonly text: string;
    /** Normalized, without duplicates. */
    readonly links: readonly string[];
    /** The page asks not to be indexed. */
    readonly noindex: boolean;
  }
  | { readonly kind: "redirect"; readonly to: string }
  | { readonly kind: "skipped"; readonly why: string }
  | {
    readonly kind: "failed";
    readonly why: string;
    /** Whether to try again. */
    readonly retryable: boolean;
    /** The Retry-After of the site, in ms. */
    readonly retryAfter?: number;
  };

/**
 * The result of fetching a robots.txt: its text, empty if it does not exist; undefined if the site must not be
 * crawled.
 */
export interface RobotsResult {
  readonly text?: string;
  readonly why?: string;
}

/** A worker: fetches and parses pages. It has no knowledge of the crawl. */
export const PageWorker = defineService("PageWorker", {
  /** The number of pages it fetches concurrently. Also serves as the health check. */
  slots: method<void, number>({ idempotent: true }),
  fetch: method<PageJob, PageResult>({ idempotent: true }),
  robots: method<{ origin: string; timeout: number }, RobotsResult>({ idempotent: true }),
});

/** Maximum number of pages that a worker may fetch concurrently. */
export const MAX_SLOTS = 256;
/** Maximum `Retry-After`, in ms; longer ones are shortened. */
export const MAX_RETRY_AFTER = 60_000;

/** Whether an untrusted value is a whole number in a range. */
export function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isSafeInteger(value) && value as number >= min && value as number <= max;
}

/** A page to store. */
export interface Item {
  readonly url: string;
  readonly title: string;
  readonly text: string;
  /** Number of links between the seed and this page. */
  readonly depth: number;
}

/** A search result. */
export interface Found {
  readonly url: string;
  readonly title: string;
  /** An excerpt; each match is between \u0002 and \u0003. */
  readonly snippet: string;
}

/** The saver: stores pages and searches them. */
export const ItemSaver = defineService("ItemSaver", {
  /** Stores a page, or replaces the one with the same URL. Returns whether it is new. */
  save: method<Item, boolean>({ idempotent: true }),
  count: method<void, number>({ idempotent: true }),
  search: method<{ query: string; limit: number; offset: number }, Found[]>({ idempotent: true }),
});
