// Predicts the keys of maps: most maps of a connection have the keys of an earlier one, in the same order. Used by CborDecoder.
// The number of remembered keys is bounded, and what is remembered affects only speed, and what keys cost.

/** Maximum number of keys remembered. Then all are discarded, and those still in use are learned again. */
const MAX_SHAPES = 512;
/** Maximum length of all remembered keys with their heads, in bytes. */
const MAX_BYTES = 16_384;
/** Maximum length of a remembered key with its head, in bytes. */
const MAX_KEY_BYTES = 64;
/** Maximum number of keys remembered as alternatives to the latest one. */
const MAX_OTHERS = 31;
/** Sets of hashes of keys that were not expected, a power of two, and the hashes in each. */
const MISSED_SETS = 128;
const MISSED_EACH = 4;
/** Maps with more keys than this are not predicted. */
export const MAX_PREDICTED = 256;
/** Up to this many properties, counting is faster than an array of them. */
export const COUNTED_SOONER = 64;
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
  /** How many alternatives were replaced. */
  #replaced = 0;
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
    if (next === undefined || next.#matches(bytes, at, end)) return next;
    return this.#search(bytes, at, end);
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
      return other;
    }
    return undefined;
  }

  /** Whether no key has followed yet. */
  get last(): boolean {
    return this.#next === undefined;
  }

  /** Makes `next` the prediction. */
  append(next: Shape): void {
    if (this.#next !== undefined) {
      const others = this.#others ??= [];
      if (others.length < MAX_OTHERS) others.push(this.#next);
      else others[this.#replaced++ % MAX_OTHERS] = this.#next;
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
  readonly #missed = new Int32Array(MISSED_SETS * MISSED_EACH);

  /** The shape after `last` and `key`, which is encoded from `start` to `end`; undefined if it is not remembered. */
  learn(last: Shape, key: string, bytes: Uint8Array, start: number, end: number): Shape | undefined {
    const size = end - start;
    if (size > MAX_KEY_BYTES || !last.last && !this.#missedBefore(bytes, start, end)) return undefined;
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

  /** Whether a key was recently missing already. Keys that are data, such as names of users, occur once, and are not learned. */
  #missedBefore(bytes: Uint8Array, start: number, end: number): boolean {
    let hash = 0;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x9e3779b1) ^ hash >>> 15;
    const missed = this.#missed;
    const first = (hash & MISSED_SETS - 1) * MISSED_EACH;
    for (let i = first; i < first + MISSED_EACH; i++) if (missed[i] === hash) return true;
    missed.copyWithin(first + 1, first, first + MISSED_EACH - 1);
    missed[first] = hash;
    return false;
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
