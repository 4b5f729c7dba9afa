// What both sides agree on: what a store does, the service by which replicas reach the master's, and what URLs and keys
// are. Everything else in this folder imports from here.

import { type ContractHandlers, defineService, method, RpcError } from "@troodon/rpc";

/** Where URLs are kept under short keys. The HTTP front has one, and does not know which. */
export interface Store {
  /** The URL under a key, or undefined if there is none. */
  get(key: string): Promise<string | undefined>;
  /**
   * Keeps a URL, and returns its key. The same URL may get the same key.
   *
   * @throws {RpcError} `invalid_argument` if it is no URL to redirect to; `unavailable` if it cannot be kept now
   */
  put(url: string): Promise<string>;
}

/** The master's store, as replicas call it. A URL that is put twice keeps its key, so both may be sent again. */
export const Shortener = defineService("Shortener", {
  get: method<string, string | null>({ idempotent: true }),
  put: method<string, string>({ idempotent: true }),
});

/** What answers the calls of replicas: a store, whose `undefined` travels as null. */
export function serve(store: Store): ContractHandlers<typeof Shortener> {
  return {
    get: async (key) => await store.get(key) ?? null,
    put: (url) => store.put(url),
  };
}

/** How long a URL may be, as it is sent: what all browsers and proxies take. */
export const MAX_URL = 2_048;

/**
 * Makes of a text the URL that is kept, which is ASCII without line breaks.
 *
 * @param text From a user or a peer: anything
 * @throws {RpcError} `invalid_argument` if it is no http or https URL, or too long
 */
export function checkUrl(text: unknown): string {
  if (typeof text !== "string" || text.trim() === "") {
    throw new RpcError("invalid_argument", "Expected a URL such as https://example.com/");
  }
  if (text.length > MAX_URL) throw tooLong(text.length);
  const url = URL.parse(text.trim());
  if (url === null) {
    throw new RpcError("invalid_argument", `Expected a URL such as https://example.com/, not ${shown(text)}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new RpcError("invalid_argument", `Only http and https URLs can be shortened, not ${shown(text)}`);
  }
  // What is not ASCII has become longer.
  if (url.href.length > MAX_URL) throw tooLong(url.href.length);
  return url.href;
}

function tooLong(length: number): RpcError {
  return new RpcError("invalid_argument", `The URL has ${length} characters, ${MAX_URL} are allowed`);
}

function shown(text: string): string {
  return JSON.stringify(text.length <= 100 ? text : `${text.slice(0, 100)}…`);
}

/** Whether a text may be a key: what is not needs no look. Shorter ones are left to the front, for its own paths. */
export function isKey(text: unknown): text is string {
  return typeof text === "string" && /^[0-9A-Za-z]{4,9}$/.test(text);
}
