// Random numbers from a seed, the same in every run.

import type { Replacement } from "./globals.ts";

/** A number, a random number between two bounds, or a function that computes one from a source of random numbers. */
export type RandomValue =
  | number
  | readonly [min: number, max: number]
  | ((random: () => number) => number);

/** The finalizer of MurmurHash3 by Austin Appleby: every input bit affects half of the bits of the result. */
function mix(x: number): number {
  x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
  x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
  return (x ^ x >>> 16) >>> 0;
}

/**
 * Creates a source of random numbers from 0 to, but not including, 1: a mixed counter (Steele, Lea, Flood: "Fast splittable
 * pseudorandom number generators", OOPSLA 2014).
 *
 * @param seed An integer
 * @param stream Sources with the same seed and different streams are independent
 */
export function seeded(seed: number, stream = 0): () => number {
  let state = mix(seed ^ mix(stream + 1));
  return () => mix(state = state + 0x9e3779b9 | 0) / 2 ** 32;
}

/**
 * Replacements of `crypto`'s random functions.
 *
 * @param random The source of randomness
 */
export function seededCrypto(random: () => number): Replacement[] {
  const real = crypto.getRandomValues.bind(crypto);
  const getRandomValues = <T extends ArrayBufferView<ArrayBuffer>>(array: T): T => {
    // Throws for invalid arguments.
    real(array as ArrayBufferView<ArrayBuffer>);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at++) bytes[at] = 256 * random();
    return array;
  };
  const randomUUID = () => {
    const bytes = getRandomValues(new Uint8Array(16));
    // Version 4, with the variant of RFC 9562.
    bytes[6] = 0x40 | bytes[6]! & 0x0f;
    bytes[8] = 0x80 | bytes[8]! & 0x3f;
    return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  return [[crypto, "getRandomValues", getRandomValues], [crypto, "randomUUID", randomUUID]];
}

/** Draws a number. */
export function draw(from: RandomValue, random: () => number): number {
  if (typeof from === "number") return from;
  if (typeof from === "function") return from(random);
  return from[0] + (from[1] - from[0]) * random();
}

/**
 * Validates a {@linkcode RandomValue}. The result of a function is validated at each draw.
 *
 * @param name The name of the option, for the message
 * @param min The minimum
 * @throws {TypeError} If it is not a number, two bounds or a function
 * @throws {RangeError} If a bound is below `min`, or the bounds are in the wrong order
 */
export function checkDraw(name: string, value: RandomValue, min: number): RandomValue {
  if (typeof value === "function") {
    return (random) => {
      const drawn = value(random);
      if (typeof drawn === "number" && drawn >= min) return drawn;
      throw new RangeError(
        `Cannot use ${name} ${String(drawn)} returned by its function: expected ${min} or more`,
      );
    };
  }
  const bounds = typeof value === "number" ? [value, value] : value;
  if (!Array.isArray(bounds) || bounds.length !== 2 || bounds.some((bound) => typeof bound !== "number")) {
    throw new TypeError(`Cannot use ${name}: expected a number, two bounds, or a function`);
  }
  const [low, high] = bounds as [number, number];
  if (low >= min && high >= low && low < Infinity) return value;
  throw new RangeError(
    `Cannot use ${name} of ${low} to ${high}: expected ${min} or more, in ascending order`,
  );
}
