// Fuzzes the limits of the CBOR encoder: what it accepts, a decoder with the same limits must accept too, and return as an
// equal value. A case is the seed of a value.

import { assertEquals } from "@std/assert";
import { ByteBuffer } from "../codec/bytes.ts";
import { CborCodec, type CborOptions } from "../codec/cbor.ts";
import { CborError } from "../codec/cbor_error.ts";
import { Simple, Tagged } from "../codec/tagged.ts";
import { Random, randomValue } from "../tests/support/cbor_random.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

const SEED_BYTES = 8;
/** So low that many values exceed them. */
const LIMITS = { maxDepth: 5, maxBignumBytes: 12, maxKeyBytes: 40, maxNumericKeys: 6 };

/** The target of values. */
export function valuesTarget(): Target {
  const out = new ByteBuffer(8_192);
  const seed = new Uint8Array(SEED_BYTES);
  return {
    name: "values",
    concurrency: 1,
    next(random) {
      for (let i = 0; i < SEED_BYTES; i++) seed[i] = random.below(256);
      return seed;
    },
    check(bytes) {
      const random = new Random(hashOf(bytes));
      const limits = { ...LIMITS, maxItems: random.pick([1, 10, 100, 100_000]) };
      return roundTrip(limits, oddValue(random, 4), out);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function roundTrip(limits: CborOptions, value: unknown, out: ByteBuffer): string {
  out.length = 0;
  let warning: string | undefined;
  try {
    warning = new CborCodec(limits).encode(value, out);
  } catch (error) {
    if (error instanceof TypeError && error.message.startsWith("Cannot encode value")) return "refused";
    throw new Finding(`Encoding threw ${described(error)}`);
  }
  let decoded: unknown;
  try {
    // Another codec: one that has seen the keys of the value counts them less.
    decoded = new CborCodec(limits).decode(out.bytes, 0, out.length);
  } catch (error) {
    if (error instanceof CborError && error.message.includes("(maxItems)")) {
      // Where only some keys of objects differ, the encoder may expect that the decoder predicts all of them.
      return warning === undefined ? "too many items, without a warning" : "too many items, with a warning";
    }
    throw new Finding(`Cannot decode the encoded value: ${described(error)}`);
  }
  if (warning !== undefined) throw new Finding(`Decoded in spite of the warning: ${warning}`);
  try {
    assertEquals(decoded, value);
  } catch {
    throw new Finding("The decoded value is not equal to the encoded one");
  }
  return "decoded";
}

/** A random value, with what encoders may forget to refuse. */
function oddValue(random: Random, depth: number): unknown {
  const within = () => oddValue(random, depth - 1);
  switch (random.below(depth > 0 ? 12 : 2)) {
    case 0:
      return randomValue(random, Math.min(depth, 2));
    case 1:
      return oddKey(random);
    case 2:
      return new Map(Array.from({ length: random.below(6) }, () => [oddKey(random), within()]));
    case 3:
      return new Map(Array.from({ length: random.below(3) }, () => [within(), within()]));
    case 4:
      return new Set(Array.from({ length: random.below(8) }, () => oddKey(random)));
    case 5:
      return new Set(Array.from({ length: random.below(3) }, within));
    case 6:
      return new Tagged(random.pick([0, 1, 2, 3, 6, 64, 69, 86, 258, 259, 55_799, 258n]), within());
    case 7:
      return new Tagged(random.pick([0, 1, 2, 69, 258, 259]), random.pick(["2020-01-01T00:00:00Z", 5]));
    case 8:
      return [within(), within()];
    case 9:
      return { ["k".repeat(random.below(60))]: within(), ["é".repeat(random.below(90))]: within() };
    case 10:
      return Object.fromEntries(Array.from({ length: random.below(90) }, (_, i) => [`k${i}`, i]));
    default:
      return Array.from(
        { length: random.below(20) },
        (_, i) => ({ [`k${random.below(2) * i}`]: i, last: i }),
      );
  }
}

function oddKey(random: Random): unknown {
  return random.pick([
    () => random.below(4),
    () => BigInt(random.below(4)),
    () => 2n ** BigInt(random.below(120)),
    () => -(2n ** BigInt(random.below(70))),
    () => "x".repeat(random.below(50)),
    () => String(random.below(4) * 65_536),
    () => random.pick([NaN, -0, 0, 1.5, null, undefined, true]),
    () => ({ a: random.below(2) }),
    () => [random.below(2)],
    () => new Date(random.below(2)),
    () => new Uint8Array(random.below(3) * 20),
    () => new Simple(random.below(2)),
    () => new Map([[random.below(2), 1]]),
  ])();
}
