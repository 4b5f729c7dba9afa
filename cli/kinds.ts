// Methods as `list` and `describe` show them.

import type { MethodDescription } from "../call/reflection.ts";

const WORDS: ReadonlyMap<string, string> = new Map([
  ["call", "unary"],
  ["serverStream", "server stream"],
  ["clientStream", "client stream"],
  ["conversation", "conversation"],
]);

/** What a method takes and gives, in words. */
export function kindOf({ kind }: MethodDescription): string {
  return WORDS.get(kind) ?? "unknown";
}

/** Whether it may be called again, in a word. */
export function repeats({ idempotent, readOnly }: MethodDescription): string {
  return readOnly ? "read-only" : idempotent ? "idempotent" : "";
}
