// What a schema found wrong, as it may leave the server: few issues, short texts, and nothing in them but what was said
// and where. Called by contract_methods.ts.

import type { StandardIssue } from "./standard_schema.ts";

/** One thing that is wrong with a value. */
export interface Issue {
  readonly message: string;
  /** Keys and indexes from the outside in; empty = the value itself. */
  readonly path: (string | number)[];
}

const MOST_ISSUES = 20;
const LONGEST_MESSAGE = 256;
const LONGEST_PATH = 16;
const LONGEST_KEY = 64;

/**
 * The first issues, cut to what can be sent.
 *
 * @throws {TypeError} If they are none
 */
export function issuesOf(issues: readonly StandardIssue[]): Issue[] {
  if (!Array.isArray(issues)) throw new TypeError("Cannot read issues: expected an array");
  // They may be of a class of their own, of which slice() would make another.
  return Array.from({ length: Math.min(issues.length, MOST_ISSUES) }, (_, i) => {
    const { message, path = [] } = (issues as readonly StandardIssue[])[i]!;
    const keys = [...path].slice(0, LONGEST_PATH);
    return {
      message: short(message, LONGEST_MESSAGE),
      path: keys.map((key) => keyOf(typeof key === "object" ? key.key : key)),
    };
  });
}

/** The first issue in words, such as `at items[2].price: expected a number`. */
export function textOfIssues([first]: readonly Issue[]): string {
  if (first === undefined) return "it does not fit its schema";
  const where = first.path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? key : `${text}.${key}`;
  }, "");
  return where === "" ? first.message : `at ${where}: ${first.message}`;
}

function keyOf(key: PropertyKey): string | number {
  return typeof key === "number" ? key : short(key, LONGEST_KEY);
}

/** Cut at a length, and well-formed: a lone surrogate cannot be sent. */
function short(text: unknown, longest: number): string {
  const whole = String(text);
  return (whole.length > longest ? `${whole.slice(0, longest)}…` : whole).toWellFormed();
}
