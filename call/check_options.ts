// Checks of option objects: unknown names throw, since a misspelled option would otherwise be ignored silently. Used
// wherever options are read once; call_options.ts has a faster check for single calls.

import { nearest } from "./nearest.ts";

/** The names of an `XOptions` interface. The compiler checks that the list is complete. */
export type Names<Options> = Readonly<Record<keyof Options, true>>;

/** Maximum number of names that a message lists if no name is similar. */
const MAX_LISTED = 12;

/**
 * Checks that options are an object and that every name in it is known.
 *
 * @param doing What the options are for, such as "connect"
 * @throws {TypeError} If an option is unknown; the message names the most similar one
 */
export function checkOptions<Options extends object>(
  doing: string,
  options: Options,
  names: Names<Options>,
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`Cannot ${doing}: expected an object with options`);
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue;
    throw new TypeError(
      `Cannot ${doing}: unknown option ${JSON.stringify(name)}; ${suggestion(name, Object.keys(names))}`,
    );
  }
}

/** The value of an option for a message. Text is quoted, so that "5" is not mistaken for 5. */
export function shownOption(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
  return typeof value === "number" ? String(value) : `of type ${value === null ? "null" : typeof value}`;
}

/**
 * The items of an option that is a list.
 *
 * @throws {TypeError} If the value is not a list
 */
export function listed<T>(name: string, items: Iterable<T> | undefined): T[] {
  if (items === undefined) return [];
  if (typeof items !== "object" || typeof items?.[Symbol.iterator] !== "function") {
    throw new TypeError(`Cannot use ${name}: expected a list, such as an array`);
  }
  return [...items];
}

function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  if (near !== undefined) return `did you mean "${near}"?`;
  const more = known.length > MAX_LISTED ? ", …" : "";
  return `known options: ${known.slice(0, MAX_LISTED).join(", ")}${more}`;
}
