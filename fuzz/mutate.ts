// Valid bytes to nearly valid ones: what finds most faults is what passes all checks but one.

import type { Random } from "../tests/support/cbor_random.ts";

/** Bytes that mean something to CBOR, JSON or frames. */
const TELLING = [
  ...[0x00, 0x01, 0x17, 0x18, 0x1b, 0x1f, 0x20, 0x3b, 0x40, 0x5a, 0x5b, 0x5f, 0x60, 0x7b, 0x7f],
  ...[0x80, 0x9b, 0x9f, 0xa0, 0xa1, 0xbb, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xd8, 0xdb, 0xe0, 0xf4, 0xf6, 0xf7],
  ...[0xf8, 0xf9, 0xfa, 0xfb, 0xff, ...new TextEncoder().encode('\n "\\,:[]{}eE+-.059tfnu')],
];
/** Numbers at which lengths and counts go wrong. */
const LENGTHS = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

/** Makes cases of a corpus. */
export class Mutator {
  readonly #corpus: readonly Uint8Array[];
  readonly #keep: (input: Uint8Array) => number;
  readonly #longest: number;
  #scratch: Uint8Array<ArrayBuffer>;
  #length = 0;

  /**
   * @param corpus Valid inputs
   * @param keep How much of an input's beginning is nearly always left as it is, so that what follows is looked at
   * @param longest The longest case made
   */
  constructor(corpus: readonly Uint8Array[], keep: (input: Uint8Array) => number = () => 0, longest = 4_096) {
    this.#corpus = corpus;
    this.#keep = keep;
    this.#longest = longest;
    this.#scratch = new Uint8Array(2 * longest);
  }

  /** The next case: of 16 one is a valid input as it is, one is noise, the others are changed in up to 4 places. */
  next(random: Random): Uint8Array<ArrayBuffer> {
    const kind = random.below(16);
    if (kind === 0) {
      this.#length = random.below(64);
      for (let i = 0; i < this.#length; i++) this.#scratch[i] = random.below(256);
    } else {
      const source = random.pick(this.#corpus);
      this.#length = Math.min(source.length, this.#longest);
      this.#scratch.set(source.length > this.#longest ? source.subarray(0, this.#longest) : source);
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
        scratch[at] = random.pick(TELLING);
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
        return this.#replace(at, 0, Uint8Array.of(random.pick(TELLING)));
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
    this.#length = Math.max(this.#length, Math.min(at + 1, this.#longest));
  }

  /** Puts `part` in the place of `count` bytes. */
  #replace(at: number, count: number, part: Uint8Array): void {
    const end = this.#length - count + part.length;
    if (end > this.#longest) return;
    this.#scratch.copyWithin(at + part.length, at + count, this.#length);
    this.#scratch.set(part, at);
    this.#length = end;
  }
}
