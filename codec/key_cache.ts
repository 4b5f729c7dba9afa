// The short texts seen lately, so that names which come with every message are built once. Called by the CBOR
// decoder for keys and values, and by whoever reads names from a header. Its size never changes.

import { decodeText } from "./text.ts";

const SHIFT = 23;
const SLOTS = 1 << 32 - SHIFT;
const LONGEST = 32;

/**
 * A bounded memory of short ASCII texts, one a slot, compared byte for byte, so that nothing but time depends on
 * what is in it. A text displaces the one in its slot when it has been missed twice in a row: texts that come but
 * once would otherwise cost more, and drive out the ones that stay.
 */
export class KeyCache {
  readonly #texts: string[] = new Array(SLOTS).fill("");
  readonly #missed = new Int32Array(SLOTS);
  readonly #lengths = new Uint8Array(SLOTS);
  readonly #bytes = new Uint8Array(SLOTS * LONGEST);

  /** The text that `bytes[start]` to `bytes[end - 1]` are in UTF-8, or undefined if they are none. */
  get(bytes: Uint8Array, start: number, end: number): string | undefined {
    const length = end - start;
    if (length === 0 || length > LONGEST) return decodeText(bytes, start, end);
    // Four bytes tell names apart well enough; looking at all would cost more than what it misses.
    const ends = bytes[start]! << 8 ^ bytes[end - 1]!;
    const middle = bytes[start + (length >> 1)]! << 4 ^ bytes[start + (length >> 2)]! << 12;
    const hash = Math.imul(ends ^ middle ^ length, 0x9e3779b1);
    const slot = hash >>> SHIFT;
    if (this.#lengths[slot] !== length) return this.#miss(slot, hash, bytes, start, end);
    const own = this.#bytes;
    for (let i = slot * LONGEST, at = start; at < end; i++, at++) {
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
    for (let i = slot * LONGEST, at = start; at < end; i++, at++) this.#bytes[i] = bytes[at]!;
    return text;
  }
}
