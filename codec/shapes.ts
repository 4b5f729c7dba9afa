// Predicts the keys of maps: most maps of a connection have the keys of an earlier one, in the same order. Used by CborDecoder.
// The number of remembered keys is bounded, and what is remembered affects only speed.

/** Maximum number of keys remembered. Then all are discarded, and those still in use are learned again. */
const MAX_SHAPES = 512;
/** Maximum length of all remembered keys with their heads, in bytes. */
const MAX_BYTES = 8_192;
/** Maximum length of a remembered key with its head, in bytes. */
const MAX_KEY_BYTES = 64;
/** Maximum number of keys remembered as alternatives to the latest one. */
const MAX_OTHERS = 7;
/** Keys of larger maps are not predicted, and their distinct properties are listed: up to so many, counting them is faster. */
export const COUNTED_SOONER = 64;
/** Of wrong predictions in a row, each 8th is learned from: keys that are data, such as names of users, never occur again. */
const LEARNED = 8;
/** After this many wrong predictions in a row, one is made for each 16th map only, and each 64th map is learned from. */
const PAUSED = 64;
const PAUSED_TRIED = 16;
const PAUSED_LEARNED = 64;
/**
 * From some more properties than these on, V8 turns an object that is filled by computed names into a hash table, which is slow
 * to fill and to read, unless objects with these properties exist already.
 */
const HASHED_PROPERTIES = 12;

/** A sequence of keys that maps began with: its last key, and the keys that followed it. */
export class Shape {
  /** The last key. */
  readonly key: string;
  /** Length of the last key with its head, in bytes. */
  readonly size: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  #next: Shape | undefined = undefined;
  #others: Shape[] | undefined = undefined;
  #misses = 0;
  #distinct = false;
  #template: object | undefined = undefined;

  /** The last key, which is encoded in `size` bytes from `start` on. The bytes must never change. */
  constructor(key: string, bytes: Uint8Array, start: number, size: number) {
    this.key = key;
    this.size = size;
    this.#bytes = bytes;
    this.#start = start;
  }

  /** Whether a map with exactly these keys has been checked for duplicates. */
  get distinct(): boolean {
    return this.#distinct;
  }

  /** The shape that continues with the key at `at`, if it is remembered. */
  follow(bytes: Uint8Array, at: number, end: number): Shape | undefined {
    const next = this.#next;
    const misses = this.#misses;
    if (next === undefined || misses > PAUSED && misses % PAUSED_TRIED !== 0) return undefined;
    if (!next.#matches(bytes, at, end)) return this.#search(bytes, at, end);
    if (misses > 0) this.#misses = 0;
    return next;
  }

  #matches(bytes: Uint8Array, at: number, end: number): boolean {
    if (this.size > end - at) return false;
    const own = this.#bytes;
    const last = at + this.size;
    for (let i = this.#start; at < last; i++, at++) if (own[i] !== bytes[at]) return false;
    return true;
  }

  #search(bytes: Uint8Array, at: number, end: number): Shape | undefined {
    const others = this.#others;
    if (others === undefined) return undefined;
    for (let i = 0; i < others.length; i++) {
      const other = others[i]!;
      if (!other.#matches(bytes, at, end)) continue;
      others[i] = this.#next!;
      this.#next = other;
      this.#misses = 0;
      return other;
    }
    return undefined;
  }

  /** Counts a wrong prediction, and returns whether to learn from it. */
  miss(): boolean {
    const misses = this.#misses++;
    return misses % (misses > PAUSED ? PAUSED_LEARNED : LEARNED) === 0;
  }

  /** Makes `next` the prediction. */
  append(next: Shape): void {
    if (this.#next !== undefined) {
      const others = this.#others ??= [];
      if (others.length < MAX_OTHERS) others.push(this.#next);
      else others[this.#misses % MAX_OTHERS] = this.#next;
    }
    this.#next = next;
  }

  /**
   * Called for each map with exactly these keys, after they were checked for duplicates.
   *
   * @param object The map's `count` entries
   */
  complete(object: object, count: number): void {
    if (count > HASHED_PROPERTIES && this.#distinct && this.#template === undefined) {
      this.#template = Object.fromEntries(Object.keys(object).map((key) => [key, null]));
    }
    this.#distinct = true;
  }
}

/** The shapes that one decoder remembers. */
export class Shapes {
  /** The shape of a map before its first key. */
  root: Shape = emptyShape();
  #count = 0;
  #bytes = new Uint8Array(0);
  #used = 0;

  /** The shape after `last` and `key`, which is encoded from `start` to `end`; undefined if it is not remembered. */
  learn(last: Shape, key: string, bytes: Uint8Array, start: number, end: number): Shape | undefined {
    const size = end - start;
    if (size > MAX_KEY_BYTES || !last.miss()) return undefined;
    if (++this.#count > MAX_SHAPES || size > this.#bytes.length - this.#used) {
      // Maps that are being decoded continue with the discarded shapes, and their bytes.
      if (this.#count > 1) this.root = emptyShape();
      this.#bytes = new Uint8Array(MAX_BYTES);
      this.#count = this.#used = 0;
    }
    const at = this.#used;
    this.#used += size;
    for (let i = 0; i < size; i++) this.#bytes[at + i] = bytes[start + i]!;
    const next = new Shape(key, this.#bytes, at, size);
    last.append(next);
    return next;
  }
}

function emptyShape(): Shape {
  return new Shape("", new Uint8Array(0), 0, 0);
}

/** Counts properties, inherited ones too, without an array of them. */
export function propertyCount(object: object): number {
  let count = 0;
  for (const _ in object) count++;
  return count;
}
