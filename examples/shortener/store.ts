// Definitions shared by all nodes: the store interface, the service by which replicas reach the master's
// store, and the validation of URLs and keys.

import { type ContractHandlers, defineService, method, RpcError } from "@troodon/rpc";

/** Stores URLs under short keys. The HTTP interface works with any implementation. */
export interface Store {
  /** Returns the URL of a key, or undefined if it is unknown. */
  get(key: string): Promise<string | undefined>;
  /**
   * Stores a URL and returns its key. The same URL may get the same key.
   *
   * @throws {RpcError} `invalid_argument` if the URL is invalid; `unavailable` if it cannot be stored now
   */
  put(url: string): Promise<string>;
}

/**
 * The master's store, as called by replicas. A URL that is stored twice keeps its key, so both methods are
 * idempotent.
 */
export const Shortener = defineService("Shortener", {
  get: method<string, string | null>({ idempotent: true }),
  put: method<string, string>({ idempotent: true }),
});

/** The handlers for replicas' calls; a store's `undefined` is sent as null. */
export function serve(store: Store): ContractHandlers<typeof Shortener> {
  return {
    get: async (key) => await store.get(key) ?? null,
    put: (url) => store.put(url),
  };
}

/** Maximum length of a URL, in characters: supported by all browsers and proxies. */
export const MAX_URL = 2_048;

/**
 * Normalizes a URL for storage: ASCII without line breaks.
 *
 * @param text Untrusted input from a user or a peer
 * @throws {RpcError} `invalid_argument` if it is not an http or https URL, or too long
 */
export function checkUrl(text: unknown): string {
  if (typeof text !== "string" || text.trim() === "") {
    throw new RpcError("invalid_argument", "Expected a URL such as https://example.com/");
  }
  if (text.length > MAX_URL) throw tooLong(text.length);
  const url = URL.parse(text.trim());
  if (url === null) {
    throw new RpcError("invalid_argument", `Expected a URL such as https://example.com/, got ${quote(text)}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new RpcError("invalid_argument", `Expected an http or https URL, got ${quote(text)}`);
  }
  // Escaping non-ASCII characters makes a URL longer.
  if (url.href.length > MAX_URL) throw tooLong(url.href.length);
  return url.href;
}

function tooLong(length: number): RpcError {
  return new RpcError("invalid_argument", `The URL has ${length} characters: expected at most ${MAX_URL}`);
}

function quote(text: string): string {
  return JSON.stringify(text.length <= 100 ? text : `${text.slice(0, 100)}…`);
}

/**
 * Whether a text has the form of a key; others need no lookup. Shorter ones are reserved for the front's own
 * paths.
 */
export function isKey(text: unknown): text is string {
  return typeof text === "string" && /^[0-9A-Za-z]{4,9}$/.test(text);
}
