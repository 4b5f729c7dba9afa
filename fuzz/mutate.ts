// Turns valid inputs into nearly valid ones: input that passes all checks but one finds the most faults.

import type { Random } from "../tests/support/cbor_random.ts";

/** Bytes with a meaning in CBOR, JSON or frames. */
const SPECIAL_BYTES = [
  ...[0x00, 0x01, 0x17, 0x18, 0x1b, 0x1f, 0x20, 0x3b, 0x40, 0x5a, 0x5b, 0x5f, 0x60, 0x7b, 0x7f],
  ...[0x80, 0x9b, 0x9f, 0xa0, 0xa1, 0xbb, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xd8, 0xdb, 0xe0, 0xf4, 0xf6, 0xf7],
  ...[0xf8, 0xf9, 0xfa, 0xfb, 0xff, ...new TextEncoder().encode('\n "\\,:[]{}eE+-.059tfnu')],
];
/** Boundary values of lengths and counts. */
const LENGTHS = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

/** Derives cases from a corpus. */
export class Mutator {
  readonly #corpus: readonly Uint8Array[];
  readonly #keep: (input: Uint8Array) => number;
  readonly #maxLength: number;
  #scratch: Uint8Array<ArrayBuffer>;
  #length = 0;

  /**
   * @param corpus Valid inputs
   * @param keep Length of the prefix that nearly always stays unchanged, so that parsers reach the bytes
   * after it
   * @param maxLength Maximum length of a case
   */
  constructor(
    corpus: readonly Uint8Array[],
    keep: (input: Uint8Array) => number = () => 0,
    maxLength = 4_096,
  ) {
    this.#corpus = corpus;
    this.#keep = keep;
    this.#maxLength = maxLength;
    this.#scratch = new Uint8Array(2 * maxLength);
  }

  /**
   * The next case: one in 16 is an unchanged valid input, one is random bytes, the others are changed in up
   * to 4 places.
   */
  next(random: Random): Uint8Array<ArrayBuffer> {
    const kind = random.below(16);
    if (kind === 0) {
      this.#length = random.below(64);
      for (let i = 0; i < this.#length; i++) this.#scratch[i] = random.below(256);
    } else {
      const source = random.pick(this.#corpus);
      this.#length = Math.min(source.length, this.#maxLength);
      this.#scratch.set(source.length > this.#maxLength ? source.subarray(0, this.#maxLength) : source);
      const kept = kind === 2 ? 0 : Math.min(this.#keep(source), this.#length);
      let times = kind === 1 ? 0 : 1 + (random.below(16) >> 2);
      while (times-- > 0) this.#mutate(random, kept);
    }
    return this.#scratch.subarray(0, this.#length);
  }

  #mutate(random: Random, kept: number): void {
    const scratch = this.#scratch;
    const at = kept + random.below(Math.max(this.#length - kept, 0) + 1);
    switch (random.below(10)) {
      case 0:
      case 1:
        scratch[at]! ^= 1 << random.below(8);
        break;
      case 2:
      case 3:
        scratch[at] = random.pick(SPECIAL_BYTES);
        break;
      case 4:
        scratch[at] = random.below(256);
        break;
      case 5:
        this.#length = at;
        return;
      case 6:
        return this.#replace(at, Math.min(1 + random.below(8), this.#length - at), scratch.subarray(0, 0));
      case 7:
        return this.#replace(at, 0, Uint8Array.of(random.pick(SPECIAL_BYTES)));
      case 8: {
        const n = random.pick(LENGTHS);
        return this.#replace(
          at,
          Math.min(4, this.#length - at),
          Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n),
        );
      }
      default: {
        const other = random.pick(this.#corpus);
        const from = random.below(other.length + 1);
        return this.#replace(at, 0, other.subarray(from, from + random.below(64)));
      }
    }
    this.#length = Math.max(this.#length, Math.min(at + 1, this.#maxLength));
  }

  /** Replaces `count` bytes by `part`. */
  #replace(at: number, count: number, part: Uint8Array): void {
    const end = this.#length - count + part.length;
    if (end > this.#maxLength) return;
    this.#scratch.copyWithin(at + part.length, at + count, this.#length);
    this.#scratch.set(part, at);
    this.#length = end;
  }
}
