// Values by key within a bound of bytes: what was not asked for the longest time goes first. Owned by a Group.

import type { Value } from "./contract.ts";

/** What an entry costs beside its key and its value: a guess at what the Map and the objects take. */
const ENTRY_BYTES = 64;

/** A value, and until when it is good. */
export interface Entry {
  readonly value: Value;
  /** On the clock of the Lru; Infinity = for ever. */
  readonly expires: number;
}

/** A cache with the least recently used entries evicted first (LRU). */
export class Lru {
  /** The bound, in bytes. */
  readonly maxBytes: number;
  readonly #now: () => number;
  /** From the least recently used to the most. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #evicted = 0;

  /**
   * @param maxBytes How many bytes keys (two each UTF-16 unit), values, and 64 for each entry may have together
   * @param now The time in ms
   * @throws {RangeError} If the bound is no whole number from 0
   */
  constructor(maxBytes: number, now: () => number = () => performance.now()) {
    if (!Number.isSafeInteger(maxBytes) || maxBytes < 0) {
      throw new RangeError(`Cannot use maxBytes ${maxBytes}: expected a whole number from 0`);
    }
    this.maxBytes = maxBytes;
    this.#now = now;
  }

  /** How many bytes the entries have. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many entries there are, those that have expired and were not asked for since included. */
  get size(): number {
    return this.#entries.size;
  }

  /** How many entries had to go to make room. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Finds what is kept and good, and makes it the most recently used. */
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
   * Keeps a value, in place of the one before.
   *
   * @param ttl For how long, in ms; left out, for as long as there is room
   * @returns Whether it is kept: what is larger than the bound is not
   */
  set(key: string, value: Value, ttl: number = Infinity): boolean {
    this.delete(key);
    const cost = costOf(key, value);
    if (cost > this.maxBytes || ttl <= 0) return false;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes + cost <= this.maxBytes) break;
      this.delete(oldest);
      this.#evicted++;
    }
    this.#entries.set(key, { value, expires: this.#now() + ttl });
    this.#bytes += cost;
    return true;
  }

  /** Forgets a key. */
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
