// A replica's store: a cache in memory in front of the master's store. What is under a key never changes, so what is
// cached is never stale, and goes on being served while the master is away.

import type { ContractClient } from "@troodon/rpc";
import { checkUrl, isKey, type Shortener, type Store } from "./store.ts";

/** Options of a {@linkcode ProxyStore}. */
export interface ProxyStoreOptions {
  /**
   * How many URLs are kept, the ones used last. One takes 2 KiB and a little at most, most take a tenth of that.
   *
   * @default {50_000}
   */
  maxEntries?: number;
}

/** URLs that another process keeps. */
export class ProxyStore implements Store {
  readonly #master: Pick<ContractClient<typeof Shortener>, "get" | "put">;
  readonly #maxEntries: number;
  /** In the order of their last use. */
  readonly #cache = new Map<string, string>();

  constructor(
    master: Pick<ContractClient<typeof Shortener>, "get" | "put">,
    { maxEntries = 50_000 }: ProxyStoreOptions = {},
  ) {
    this.#master = master;
    this.#maxEntries = maxEntries;
  }

  /** How many URLs it has in memory. */
  get size(): number {
    return this.#cache.size;
  }

  /** As {@linkcode Store.get}. That there is no such key is not kept: there may be one soon. */
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

  /** As {@linkcode Store.put}. What the master would refuse is not sent. */
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
