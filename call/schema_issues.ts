// Schema issues in the form that is sent to callers: few issues, short texts, message and path only. Called by
// contract_methods.ts.

import type { StandardIssue } from "./standard_schema.ts";

/** One problem with a value. */
export interface Issue {
  readonly message: string;
  /** Keys and indexes from the outermost inward; empty = the value itself. */
  readonly path: (string | number)[];
}

const MAX_ISSUES = 20;
const MAX_MESSAGE = 256;
const MAX_PATH = 16;
const MAX_KEY = 64;

/**
 * The first issues, cut to a size that can be sent.
 *
 * @throws {TypeError} If `issues` is not an array of issues
 */
export function issuesOf(issues: readonly StandardIssue[]): Issue[] {
  if (!Array.isArray(issues)) throw new TypeError("Cannot read issues: expected an array");
  // `issues` may be a subclass of Array, whose slice() would create another instance of that subclass.
  return Array.from({ length: Math.min(issues.length, MAX_ISSUES) }, (_, i) => {
    const { message, path = [] } = (issues as readonly StandardIssue[])[i]!;
    const keys = [...path].slice(0, MAX_PATH);
    return {
      message: short(message, MAX_MESSAGE),
      path: keys.map((key) => keyOf(typeof key === "object" ? key.key : key)),
    };
  });
}

/** Text of the first issue, such as `at items[2].price: expected a number`. */
export function textOfIssues([first]: readonly Issue[]): string {
  if (first === undefined) return "the value does not fit its schema";
  const where = first.path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? key : `${text}.${key}`;
  }, "");
  return where === "" ? first.message : `at ${where}: ${first.message}`;
}

function keyOf(key: PropertyKey): string | number {
  return typeof key === "number" ? key : short(key, MAX_KEY);
}

/** Cuts text at a length and makes it well-formed: a lone surrogate cannot be sent. */
function short(text: unknown, max: number): string {
  const full = String(text);
  return (full.length > max ? `${full.slice(0, max)}…` : full).toWellFormed();
}
