// What the fuzzer runs: a target makes cases and says what came of each. A case is nothing but bytes, so that
// those bytes alone repeat it.

import type { Random } from "../tests/support/cbor_random.ts";

/** Something that is told bytes from anybody. */
export interface Target extends AsyncDisposable {
  readonly name: string;
  /** How many cases run side by side; 1 = one after the other. */
  readonly atOnce: number;
  /** Makes the next case, valid until the next call. */
  next(random: Random): Uint8Array<ArrayBuffer>;
  /**
   * Runs a case.
   *
   * @returns What came of it, in a word or two: outcomes are counted by it
   * @throws {Finding} If a promise was broken
   */
  check(bytes: Uint8Array<ArrayBuffer>): string | Promise<string>;
  /**
   * Called when all cases are over.
   *
   * @throws {Finding} If anything is left of them
   */
  finish?(): Promise<void>;
}

/** A promise that was broken. */
export class Finding extends Error {
  override readonly name = "Finding";
}

/** A number that is the same for the same bytes: what a case decides besides them, such as where it is cut. */
export function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

/** Whatever was thrown, in one line. */
export function described(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : `a thrown ${typeof error}`;
}
