// What else lives in the process and is shown beside a server, such as the clients that its handlers call with: anything
// that has `stats()`. The server knows nothing of what these are; here they become plain data of bounded size.

import type { Log } from "../call/log.ts";

/** Whatever tells of itself, such as a `Client`. */
export interface StatsSource {
  /** Its figures: plain data. It is asked whenever somebody looks, so that it should not take long. */
  stats(): unknown;
}

/** What one of these told. */
export interface NamedStats {
  /** What it is called. */
  readonly name: string;
  /** What it told, as plain data; long lists and texts are cut. Undefined if `stats()` failed. */
  readonly stats: unknown;
}

/** How many values are taken of one source, how deep they are nested, how long lists and texts may be. */
const MOST_VALUES = 5_000;
const MOST_DEPTH = 6;
const MOST_ITEMS = 100;
const MOST_CHARACTERS = 500;
/** The longest name. */
const LONGEST_NAME = 64;

/** Those that are shown, by their names. */
export class StatsSources {
  readonly #sources = new Map<string, StatsSource>();
  readonly #log: Log | undefined;

  /** @param log Told of those that fail */
  constructor(log: Log | undefined) {
    this.#log = log;
  }

  /**
   * Adds one, in the place of what had that name before.
   *
   * @returns Takes it away again
   * @throws {TypeError} If the name is none, or there is no `stats()`
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

  /** What all of them tell, as plain data. */
  stats(): NamedStats[] {
    return this.read((stats) => new Copy().of(stats, 0)).map(([name, stats]) => ({ name, stats }));
  }

  /**
   * Asks all of them.
   *
   * @param take Takes what is wanted out of what one of them tells. That may be anything, and throw when it is looked at:
   *   nothing of it is to be kept
   * @returns What was taken, by their names; undefined of those that failed
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

/** A copy that every codec can carry, and no longer than it may be. */
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
