// Detects integers as texts in one message that would collide in V8's hash tables. Used by the decoders of CBOR and JSON.

/** Maximum length of digits that V8 hashes as an array index. */
export const LONGEST_NUMERAL = 10;

/** Texts that are not counted, so that small messages cost next to nothing. */
const UNCOUNTED = 1_024;
/** Maximum number of collisions in a message. */
const MAX_COLLISIONS = 1_048_576;

/**
 * Counts the texts of one message that are integers. V8's hashes of texts are seeded with a secret, except those of array
 * indexes: a peer can choose indexes that all hash to the same bucket, which would take quadratic time. The integers of a
 * well-behaved peer are spread over many buckets.
 */
export class Numerals {
  #count = 0;
  #collisions = 0;
  #buckets: Uint32Array | undefined;
  readonly #width: number;

  /** @param width Number of buckets, a power of two; more buckets allow more texts */
  constructor(width: number) {
    this.#width = width;
  }

  /**
   * Counts one text, and returns whether the message is still acceptable.
   *
   * @param number The integer that the text represents
   */
  add(number: number): boolean {
    if (++this.#count <= UNCOUNTED) return true;
    const buckets = this.#buckets ??= new Uint32Array(this.#width);
    // V8's hash of an array index is the number without its highest bits.
    const bucket = number & this.#width - 1;
    this.#collisions += buckets[bucket]!;
    buckets[bucket]!++;
    return this.#collisions <= MAX_COLLISIONS;
  }
}
