// The interface between the fuzzer and its targets: a target generates cases and classifies their outcomes. A
// case is fully determined by its bytes, so it can be repeated from them.

import type { Random } from "../tests/support/cbor_random.ts";

/** A component that parses untrusted bytes. */
export interface Target extends AsyncDisposable {
  readonly name: string;
  /** How many cases run concurrently; 1 = sequentially. */
  readonly concurrency: number;
  /** Generates the next case. The bytes are valid until the next call. */
  next(random: Random): Uint8Array<ArrayBuffer>;
  /**
   * Runs a case.
   *
   * @returns The outcome in a few words; outcomes are counted by it
   * @throws {Finding} If the case found a fault
   */
  check(bytes: Uint8Array<ArrayBuffer>): string | Promise<string>;
  /**
   * Called after the last case.
   *
   * @throws {Finding} If resources have not been released
   */
  finish?(): Promise<void>;
}

/** A fault found by a case. */
export class Finding extends Error {
  override readonly name = "Finding";
}

/** Hash of a case, which seeds its other decisions, such as where the bytes are split. */
export function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

/** Describes a thrown value in one line. */
export function described(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : `a thrown ${typeof error}`;
}
