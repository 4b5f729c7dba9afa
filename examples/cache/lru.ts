// A cache bounded in bytes, with least-recently-used eviction. Owned by a Group.

import type { Value } from "./contract.ts";

/** Estimated overhead of an entry in bytes, in addition to its key and value. */
const ENTRY_BYTES = 64;

/** A value and its expiry. */
export interface Entry {
  readonly value: Value;
  /** Expiry on the clock of the Lru; Infinity = never. */
  readonly expires: number;
}

/** A cache that evicts the least recently used entries first (LRU). */
export class Lru {
  /** The limit, in bytes. */
  readonly maxBytes: number;
  readonly #now: () => number;
  /** From the least to the most recently used. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #evicted = 0;

  /**
   * @param maxBytes Maximum total size, in bytes: two per UTF-16 code unit of a key, the values, and 64 per
   * entry
   * @param now The clock, in ms
   * @throws {RangeError} If the limit is not a whole number from 0
   */
  constructor(maxBytes: number, now: () => number = () => performance.now()) {
    if (!Number.isSafeInteger(maxBytes) || maxBytes < 0) {
      throw new RangeError(`Cannot use maxBytes ${maxBytes}: expected a whole number from 0`);
    }
    this.maxBytes = maxBytes;
    this.#now = now;
  }

  /** Total size of the entries, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Number of entries, including expired ones that have not been looked up since. */
  get size(): number {
    return this.#entries.size;
  }

  /** Number of entries evicted for lack of space. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Returns a valid entry, and marks it as most recently used. */
  get(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expires <= this.#now()) {
      this.delete(key);
      return undefined;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  /**
   * Stores a value, replacing the previous one.
   *
   * @param ttl Time to live in ms. Omitted: unlimited
   * @returns Whether it was stored: values larger than the limit are not
   */
  set(key: string, value: Value, ttl: number = Infinity): boolean {
    this.delete(key);
    const cost = costOf(key, value);
    if (cost > this.maxBytes || !(ttl > 0)) return false;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes + cost <= this.maxBytes) break;
      this.delete(oldest);
      this.#evicted++;
    }
    this.#entries.set(key, { value, expires: this.#now() + ttl });
    this.#bytes += cost;
    return true;
  }

  /** Removes a key. */
  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= costOf(key, entry.value);
  }
}

function costOf(key: string, value: Value): number {
  return 2 * key.length + value.byteLength + ENTRY_BYTES;
}
