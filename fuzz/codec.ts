// Fuzzes the codecs with malformed input: decoding must throw only the codec's own error, and a decoded value
// must survive re-encoding.

import { assertEquals } from "@std/assert";
import { ByteBuffer } from "../codec/bytes.ts";
import { CborCodec } from "../codec/cbor.ts";
import { CborError } from "../codec/cbor_error.ts";
import type { Codec } from "../codec/codec.ts";
import { JsonCodec } from "../codec/json.ts";
import { type Random, randomText, randomValue } from "../tests/support/cbor_random.ts";
import { Mutator } from "./mutate.ts";
import { described, Finding, type Target } from "./target.ts";

/** Number of valid values to mutate. */
const CORPUS = 1_000;
/** Maximum length in bytes of most values: small values reveal the same faults, faster. */
const SMALL = 80;

/** A codec under test. */
class CodecTarget implements Target {
  readonly name: string;
  readonly concurrency = 1;
  readonly #codec: Codec;
  readonly #classify: (error: unknown) => string | undefined;
  readonly #mutator: Mutator;
  readonly #first = new ByteBuffer(8_192);
  readonly #second = new ByteBuffer(8_192);

  /** @param classify Returns the class of an error that decoding may throw, undefined for any other */
  constructor(
    name: string,
    codec: Codec,
    values: readonly unknown[],
    classify: (error: unknown) => string | undefined,
  ) {
    this.name = name;
    this.#codec = codec;
    this.#classify = classify;
    const corpus = values.map((value) => this.#encodeValid(value));
    this.#mutator = new Mutator(corpus.filter(({ length }, i) => length <= SMALL || i % 32 === 0));
  }

  next(random: Random): Uint8Array<ArrayBuffer> {
    return this.#mutator.next(random);
  }

  check(bytes: Uint8Array): string {
    let value: unknown;
    try {
      value = this.#codec.decode(bytes, 0, bytes.length);
    } catch (error) {
      const outcome = this.#classify(error);
      if (outcome === undefined) throw new Finding(`Decoding threw ${described(error)}`);
      return outcome;
    }
    try {
      this.#checkRoundTrip(value);
    } catch (error) {
      if (error instanceof Finding) throw error;
      // JSON.parse returns Infinity for a number outside the range of doubles.
      if (this.name === "json" && error instanceof TypeError && error.message.includes("Infinity")) {
        return "decoded, with an infinite number";
      }
      throw new Finding(`Cannot re-encode the decoded value: ${described(error)}`);
    }
    return "decoded";
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** Checks that re-encoding a decoded value is stable. */
  #checkRoundTrip(value: unknown): void {
    const [first, second] = [this.#first, this.#second];
    first.length = second.length = 0;
    this.#codec.encode(value, first);
    this.#codec.encode(this.#codec.decode(first.bytes, 0, first.length), second);
    let same = first.length === second.length;
    for (let i = 0; same && i < first.length; i++) same = first.bytes[i] === second.bytes[i];
    // The bits of a NaN may change each time.
    if (!same && !equal(value, this.#codec.decode(second.bytes, 0, second.length))) {
      throw new Finding("The decoded value changes when it is re-encoded");
    }
  }

  /** Encodes a value, and checks that the encoding decodes to the value. */
  #encodeValid(value: unknown): Uint8Array {
    const out = new ByteBuffer();
    this.#codec.encode(value, out);
    assertEquals(this.#codec.decode(out.bytes, 0, out.length), value);
    return out.written().slice();
  }
}

/** The CBOR target. */
export function cborTarget(random: Random): Target {
  const values = Array.from({ length: CORPUS }, () => randomValue(random, random.below(4)));
  return new CodecTarget(
    "cbor",
    new CborCodec(),
    values,
    (error) => error instanceof CborError ? error.code : undefined,
  );
}

/** The JSON target. */
export function jsonTarget(random: Random): Target {
  const values = Array.from({ length: CORPUS }, () => randomJson(random, random.below(4)));
  return new CodecTarget(
    "json",
    new JsonCodec(),
    values,
    (error) =>
      error instanceof SyntaxError && error.message.startsWith("Cannot decode JSON: ")
        ? "rejected"
        : undefined,
  );
}

function equal(a: unknown, b: unknown): boolean {
  try {
    assertEquals(a, b);
    return true;
  } catch {
    return false;
  }
}

function randomJson(random: Random, depth: number): unknown {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return random.pick([null, true, false]);
    case 1:
      return random.below(2 ** 32) * random.pick([1, -0.5, 1e-9, 1e290]) + 0;
    case 2:
    case 3:
      return randomText(random);
    case 4:
      return random.below(1_000);
    case 5:
      return Array.from({ length: random.below(6) }, () => randomJson(random, depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(6) }, () => [randomText(random), randomJson(random, depth - 1)]),
      );
  }
}
