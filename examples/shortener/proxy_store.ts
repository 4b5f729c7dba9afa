// A replica's store: an in-memory cache in front of the master's store. The URL of a key never changes, so
// cached entries are never stale, and are served while the master is unreachable.

import type { ContractClient } from "@troodon/rpc";
import { checkUrl, isKey, type Shortener, type Store } from "./store.ts";

/** Options of a {@linkcode ProxyStore}. */
export interface ProxyStoreOptions {
  /**
   * Maximum number of cached URLs; the least recently used are evicted. An entry takes slightly more than 2
   * KiB at most, most take a tenth of that.
   *
   * @default {50_000}
   */
  maxEntries?: number;
}

/** Caches URLs stored by another process. */
export class ProxyStore implements Store {
  readonly #master: Pick<ContractClient<typeof Shortener>, "get" | "put">;
  readonly #maxEntries: number;
  /** Least recently used first. */
  readonly #cache = new Map<string, string>();

  constructor(
    master: Pick<ContractClient<typeof Shortener>, "get" | "put">,
    { maxEntries = 50_000 }: ProxyStoreOptions = {},
  ) {
    this.#master = master;
    this.#maxEntries = maxEntries;
  }

  /** Number of cached URLs. */
  get size(): number {
    return this.#cache.size;
  }

  /** As {@linkcode Store.get}. Unknown keys are not cached, because they may be assigned soon. */
  async get(key: string): Promise<string | undefined> {
    const known = this.#cache.get(key);
    if (known !== undefined) {
      this.#keep(key, known);
      return known;
    }
    if (!isKey(key)) return undefined;
    const url = await this.#master.get(key);
    if (url === null) return undefined;
    this.#keep(key, url);
    return url;
  }

  /** As {@linkcode Store.put}. Invalid URLs are not sent to the master. */
  async put(text: string): Promise<string> {
    const url = checkUrl(text);
    const key = await this.#master.put(url);
    this.#keep(key, url);
    return key;
  }

  #keep(key: string, url: string): void {
    this.#cache.delete(key);
    this.#cache.set(key, url);
    if (this.#cache.size <= this.#maxEntries) return;
    const [oldest] = this.#cache.keys();
    this.#cache.delete(oldest!);
  }
}
