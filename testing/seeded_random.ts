// Random numbers that are the same ones every time for a seed.

import type { Replacement } from "./globals.ts";

/** A number, one between two bounds, or whatever a function makes of a random number source. */
export type RandomValue =
  | number
  | readonly [least: number, most: number]
  | ((random: () => number) => number);

/** Murmur3's last step, by Austin Appleby: every bit of the input moves half of the bits of the result. */
function mix(x: number): number {
  x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
  x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
  return (x ^ x >>> 16) >>> 0;
}

/**
 * A source of random numbers from 0 up to but not 1: a counter, mixed (Steele, Lea, Flood: "Fast splittable
 * pseudorandom number generators", OOPSLA 2014).
 *
 * @param seed A whole number
 * @param stream Sources with one seed and different streams have nothing to do with each other
 */
export function seeded(seed: number, stream = 0): () => number {
  let state = mix(seed ^ mix(stream + 1));
  return () => mix(state = state + 0x9e3779b9 | 0) / 2 ** 32;
}

/**
 * What takes the place of `crypto`'s random numbers.
 *
 * @param random What they are made of
 */
export function seededCrypto(random: () => number): Replacement[] {
  const real = crypto.getRandomValues.bind(crypto);
  const getRandomValues = <T extends ArrayBufferView<ArrayBuffer>>(array: T): T => {
    // Refuses what it does not take.
    real(array as ArrayBufferView<ArrayBuffer>);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at++) bytes[at] = 256 * random();
    return array;
  };
  const randomUUID = () => {
    const bytes = getRandomValues(new Uint8Array(16));
    // Version 4, of the variant of RFC 9562.
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
 * Checks a {@linkcode RandomValue}. Of a function, what it returns is checked when it is drawn from.
 *
 * @param name What it is called, for the message
 * @param least The least that makes sense
 * @throws {TypeError} If it is none
 * @throws {RangeError} If a bound is below `least`, or they are the wrong way round
 */
export function checkDraw(name: string, value: RandomValue, least: number): RandomValue {
  if (typeof value === "function") {
    return (random) => {
      const drawn = value(random);
      if (typeof drawn === "number" && drawn >= least) return drawn;
      throw new RangeError(
        `Cannot use ${name} of ${String(drawn)}, which its function returned: ${least} or more`,
      );
    };
  }
  const bounds = typeof value === "number" ? [value, value] : value;
  if (!Array.isArray(bounds) || bounds.length !== 2 || bounds.some((bound) => typeof bound !== "number")) {
    throw new TypeError(`Cannot use ${name}: expected a number, two bounds, or a function`);
  }
  const [low, high] = bounds as [number, number];
  if (low >= least && high >= low && low < Infinity) return value;
  throw new RangeError(
    `Cannot use ${name} of ${low} to ${high}: expected ${least} or more, the smaller first`,
  );
}
