// Random values that CBOR can carry, the same ones every time for a seed.

import { Simple, Tagged } from "../../codec/tagged.ts";

/** A generator of random numbers with a seed (xorshift32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  /** One of `choices`. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

const TEXTS = [
  "",
  "a",
  "constructor",
  "toString",
  "ü",
  "水",
  "𐅑😀",
  "\0",
  "\ufeff",
  "x".repeat(23),
  "y".repeat(24),
];
const NUMBERS = [
  0,
  -0,
  1,
  23,
  24,
  255,
  256,
  65535,
  65536,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  NaN,
  Infinity,
];
const BIGINTS = [0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n, 2n ** 64n, 2n ** 200n + 1n];
const ALPHABET = ["a", "b", "Z", "0", " ", "é", "߿", "ࠀ", "€", "\uffff", "😀", "\u{10ffff}"];

/** A value of up to `depth` levels. */
export function randomValue(random: Random, depth: number): unknown {
  const kind = random.below(depth > 0 ? 18 : 11);
  switch (kind) {
    case 0:
    case 1:
      return randomText(random);
    case 2:
    case 3:
      return randomNumber(random);
    case 4:
      return random.pick([true, false, null, undefined]);
    case 5:
      return random.pick(BIGINTS) * random.pick([1n, -1n]);
    case 6:
      return randomBytes(random, random.pick([0, 1, 23, 24, 64, 65, 300]));
    case 7:
      return new Date((random.below(2 ** 32) - 2 ** 31) * random.pick([250, 1000, 4_000_000]));
    case 8:
      return randomTypedArray(random);
    case 9:
      return new Simple(random.pick([0, 19, 32, 255]));
    case 10:
      return random.below(1 << 20) - (1 << 19);
    case 11:
    case 12:
      return Array.from({ length: random.below(6) }, () => randomValue(random, depth - 1));
    case 13:
      return new Map(
        Array.from({ length: random.below(4) }, () => [randomKey(random), randomValue(random, depth - 1)]),
      );
    case 14:
      return new Set(Array.from({ length: random.below(4) }, () => randomKey(random)));
    case 15:
      return new Tagged(random.pick([6, 99, 60_000, 2n ** 60n]), randomValue(random, depth - 1));
    default:
      return Object.fromEntries(
        Array.from(
          { length: random.pick([0, 1, 3, 5, 30]) },
          () => [randomText(random), randomValue(random, depth - 1)],
        ),
      );
  }
}

/** A text without lone surrogates. */
export function randomText(random: Random): string {
  if (random.below(3) === 0) return random.pick(TEXTS);
  const length = random.below(random.pick([4, 30, 90, 400]));
  const alphabet = random.below(2) === 0 ? ALPHABET : ALPHABET.slice(0, 4);
  return Array.from({ length }, () => random.pick(alphabet)).join("");
}

function randomNumber(random: Random): number {
  const sign = random.pick([1, -1]);
  if (random.below(2) === 0) return sign * random.pick(NUMBERS);
  return sign * random.below(2 ** 32) * 2 ** (random.below(100) - 60);
}

// No small bigints: cbor2 writes them like numbers, so that both as keys would be duplicates.
function randomKey(random: Random): unknown {
  return random.pick([
    () => randomText(random),
    () => randomNumber(random),
    () => random.pick(BIGINTS.slice(3)),
  ])();
}

function randomBytes(random: Random, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, () => random.below(256));
}

function randomTypedArray(random: Random): ArrayBufferView {
  const { buffer } = randomBytes(random, 8 * random.below(5));
  const kinds = [
    Uint16Array,
    Int32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
    Int8Array,
  ];
  return new (random.pick<new (buffer: ArrayBuffer) => ArrayBufferView>(kinds))(buffer);
}
