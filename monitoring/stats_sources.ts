// The sources that `Server.show` adds to a server's page, such as clients: any object with `stats()`. Their stats may
// be any value; this file turns them into plain data of bounded size.

import type { Log } from "../call/log.ts";

/** An object with stats, such as a `Client`. */
export interface StatsSource {
  /** Returns plain data. Called for every look at the page, so it should be fast. */
  stats(): unknown;
}

/** The stats of one source. */
export interface NamedStats {
  /** The source's name. */
  readonly name: string;
  /** Its stats as plain data; long lists and texts are truncated. Undefined if `stats()` failed. */
  readonly stats: unknown;
}

/** The most values of one source, their depth, and the length of lists and texts. */
const MOST_VALUES = 5_000;
const MOST_DEPTH = 6;
const MOST_ITEMS = 100;
const MOST_CHARACTERS = 500;
/** The longest name. */
const LONGEST_NAME = 64;

/** The shown sources, by name. */
export class StatsSources {
  readonly #sources = new Map<string, StatsSource>();
  readonly #log: Log | undefined;

  /** @param log Receives the errors of sources */
  constructor(log: Log | undefined) {
    this.#log = log;
  }

  /**
   * Adds a source; replaces one with the same name.
   *
   * @returns Removes the source when disposed
   * @throws {TypeError} If the name is invalid, or there is no `stats()`
   */
  add(name: string, source: StatsSource): Disposable {
    if (typeof name !== "string" || name === "" || name.length > LONGEST_NAME) {
      throw new TypeError(`Cannot show stats: expected a name of 1 to ${LONGEST_NAME} characters`);
    }
    if (typeof source?.stats !== "function") {
      throw new TypeError(
        `Cannot show ${JSON.stringify(name)}: expected an object with stats(), such as a Client`,
      );
    }
    this.#sources.set(name, source);
    return {
      [Symbol.dispose]: () => {
        if (this.#sources.get(name) === source) this.#sources.delete(name);
      },
    };
  }

  /** The stats of all sources, as plain data. */
  stats(): NamedStats[] {
    return this.read((stats) => new Copy().of(stats, 0)).map(([name, stats]) => ({ name, stats }));
  }

  /**
   * Reads the stats of all sources.
   *
   * @param take Extracts data from the stats of one source. Stats may be any value and may throw when read, so `take`
   * must   keep no reference to them
   * @returns What was extracted, by name; undefined for sources that failed
   */
  read<T>(take: (stats: unknown) => T): [name: string, taken: T | undefined][] {
    return Array.from(this.#sources, ([name, source]) => {
      try {
        return [name, take(source.stats())];
      } catch (error) {
        this.#log?.(`The stats of ${JSON.stringify(name)} cannot be shown`, error);
        return [name, undefined];
      }
    });
  }
}

/** Copies a value to plain data of bounded size, which every codec can carry. */
class Copy {
  #left = MOST_VALUES;

  of(value: unknown, depth: number): unknown {
    if (typeof value === "string") {
      return value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS)}…` : value;
    }
    if (typeof value === "boolean" || value === null) return value;
    if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
    if (typeof value === "bigint") return String(value);
    if (typeof value !== "object") return undefined;
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? "no date" : value.toISOString();
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `${value.byteLength} bytes`;
    if (depth === MOST_DEPTH) return "…";
    if (Array.isArray(value) || value instanceof Set) return this.#list(value, depth);
    return this.#entries(value instanceof Map ? value : Object.entries(value), depth);
  }

  #list(items: Iterable<unknown>, depth: number): unknown[] {
    const list: unknown[] = [];
    for (const item of items) {
      if (list.length === MOST_ITEMS || this.#left-- <= 0) return [...list, "…"];
      list.push(this.of(item, depth + 1) ?? null);
    }
    return list;
  }

  #entries(entries: Iterable<[unknown, unknown]>, depth: number): Record<string, unknown> {
    const copy = new Map<string, unknown>();
    for (const [name, value] of entries) {
      if (copy.size === MOST_ITEMS || this.#left-- <= 0) {
        copy.set("…", "…");
        break;
      }
      const copied = this.of(value, depth + 1);
      if (copied !== undefined) copy.set(String(name).slice(0, MOST_CHARACTERS), copied);
    }
    return Object.fromEntries(copy);
  }
}
