// The words for method kinds in `list` and `describe`.

import type { MethodDescription } from "../call/reflection.ts";

const WORDS: ReadonlyMap<string, string> = new Map([
  ["call", "unary"],
  ["serverStream", "server stream"],
  ["clientStream", "client stream"],
  ["conversation", "conversation"],
]);

/** The kind of a method: which side streams. */
export function kindOf({ kind }: MethodDescription): string {
  return WORDS.get(kind) ?? "unknown";
}

/** The word for an idempotent or read-only method, or "". */
export function idempotence({ idempotent, readOnly }: MethodDescription): string {
  return readOnly ? "read-only" : idempotent ? "idempotent" : "";
}
