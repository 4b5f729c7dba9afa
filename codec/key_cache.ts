// Cache of recent short texts, so that names which occur in every message are allocated once. Called by the CBOR decoder for
// keys and values, and by the header reader for names. Its size is fixed.

import { decodeText } from "./text.ts";

const SHIFT = 23;
const SLOTS = 1 << 32 - SHIFT;
const MAX_LENGTH = 32;

/**
 * A bounded cache of short ASCII texts, one in each slot, compared byte for byte: its content affects only speed. A text
 * replaces the one in its slot after two consecutive misses; otherwise texts that occur only once would cost more, and evict
 * the frequent ones.
 */
export class KeyCache {
  readonly #texts: string[] = new Array(SLOTS).fill("");
  readonly #missed = new Int32Array(SLOTS);
  readonly #lengths = new Uint8Array(SLOTS);
  readonly #bytes = new Uint8Array(SLOTS * MAX_LENGTH);

  /** The text in `bytes[start]` to `bytes[end - 1]`, or undefined if it is not valid UTF-8. */
  get(bytes: Uint8Array, start: number, end: number): string | undefined {
    const length = end - start;
    if (length === 0 || length > MAX_LENGTH) return decodeText(bytes, start, end);
    // Four bytes distinguish names well enough; hashing all bytes would cost more than the additional hits save.
    const ends = bytes[start]! << 8 ^ bytes[end - 1]!;
    const middle = bytes[start + (length >> 1)]! << 4 ^ bytes[start + (length >> 2)]! << 12;
    const hash = Math.imul(ends ^ middle ^ length, 0x9e3779b1);
    const slot = hash >>> SHIFT;
    if (this.#lengths[slot] !== length) return this.#miss(slot, hash, bytes, start, end);
    const own = this.#bytes;
    for (let i = slot * MAX_LENGTH, at = start; at < end; i++, at++) {
      if (own[i] !== bytes[at]) return this.#miss(slot, hash, bytes, start, end);
    }
    return this.#texts[slot];
  }

  #miss(slot: number, hash: number, bytes: Uint8Array, start: number, end: number): string | undefined {
    const text = decodeText(bytes, start, end);
    if (text === undefined || text.length !== end - start) return text; // invalid, or not ASCII
    if (this.#missed[slot] !== hash) {
      this.#missed[slot] = hash;
      return text;
    }
    this.#texts[slot] = text;
    this.#lengths[slot] = end - start;
    for (let i = slot * MAX_LENGTH, at = start; at < end; i++, at++) this.#bytes[i] = bytes[at]!;
    return text;
  }
}
