// Counts the texts of one message that are whole numbers, where V8 would look for them in a table. Used by the decoders
// of CBOR and JSON.

/** The longest text of digits that could be an array's index. */
export const LONGEST_NUMERAL = 10;

/** So many are not counted: small messages pay next to nothing. */
const UNCOUNTED = 1_024;
/** How often one may find another one in its place. */
const MOST_COLLISIONS = 1_048_576;

/**
 * The texts of one message that are whole numbers. V8 hashes texts with a secret, but not those that could be an
 * array's index: a peer can choose them so that all have one place in a table, which would take quadratic time. Those
 * of an honest peer have many.
 */
export class Numerals {
  #count = 0;
  #collisions = 0;
  #places: Uint32Array | undefined;
  readonly #width: number;

  /** @param width How many places are told apart, a power of two; the more, the more texts may come */
  constructor(width: number) {
    this.#width = width;
  }

  /**
   * Counts one, and returns whether there may be more.
   *
   * @param number What the text stands for
   */
  add(number: number): boolean {
    if (++this.#count <= UNCOUNTED) return true;
    const places = this.#places ??= new Uint32Array(this.#width);
    // The hash is the number, but for its highest bits.
    const place = number & this.#width - 1;
    this.#collisions += places[place]!;
    places[place]!++;
    return this.#collisions <= MOST_COLLISIONS;
  }
}
