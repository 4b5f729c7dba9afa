// Counts the numbers among the keys of maps and the elements of sets in one CBOR message. Used by CborDecoder and CborEncoder.

import { LONGEST_NUMERAL, Numerals } from "./numerals.ts";

// A Map or Set of more than 8192 texts has at least as many places as this.
const NUMERAL_PLACES = 4_096;

const NINE = 0x39;
const DIGITS = /^\d+$/;

/**
 * The numeric keys that one message may still have. V8 hashes numbers without a secret, and only 64 bits of big ones,
 * so a peer can choose any number of them that collide and take quadratic time.
 */
export class NumericKeys {
  readonly #most: number;
  #left: number;
  #numerals: Numerals | undefined;

  /** @param most How many one message may have: `maxNumericKeys` */
  constructor(most: number) {
    this.#most = this.#left = most;
  }

  /** Charges a key of a Map or an element of a Set; returns why it is refused, or undefined. */
  charge(key: unknown): string | undefined {
    if (typeof key === "string") {
      return key.length > LONGEST_NUMERAL || key.charCodeAt(0) > NINE ? undefined : this.#chargeNumeral(key);
    }
    if (typeof key === "number") this.#left--;
    // Comparing two bigints takes longer the more bytes they have, up to maxBignumBytes.
    else if (typeof key === "bigint") this.#left -= key >> 64n === 0n || key >> 64n === -1n ? 2 : 8;
    else return undefined;
    return this.#left >= 0
      ? undefined
      : `more than ${this.#most} numbers as keys or in sets (maxNumericKeys)`;
  }

  /** Charges a text that is a whole number: V8 hashes these without a secret too. */
  #chargeNumeral(text: string): string | undefined {
    if (!DIGITS.test(text)) return undefined;
    if ((this.#numerals ??= new Numerals(NUMERAL_PLACES)).add(Number(text))) return undefined;
    return "too many keys are numbers that differ by multiples of a power of two";
  }
}
