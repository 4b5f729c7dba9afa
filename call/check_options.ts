// Options as they are handed in: an object with names that are known. What is misspelt would otherwise be left out in
// silence. Used wherever options are taken once; those of single calls have a faster look first (call_options.ts).

import { nearest } from "./nearest.ts";

/** The names of an `XOptions` interface: the compiler sees to it that none is missing. */
export type Names<Options> = Readonly<Record<keyof Options, true>>;

/** How many names a message lists at most, where none is near. */
const MOST_LISTED = 12;

/**
 * Checks that options are an object and that every name in it is known.
 *
 * @param doing What they are for, such as "connect"
 * @throws {TypeError} Naming the option that is unknown, and the nearest that is not
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

/** What was given for an option, for a message: text in quotes, so that "5" is not taken for 5. */
export function shownOption(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
  return typeof value === "number" ? String(value) : `of type ${value === null ? "null" : typeof value}`;
}

/**
 * The items of an option that is a list.
 *
 * @throws {TypeError} If it is none
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
  const more = known.length > MOST_LISTED ? ", …" : "";
  return `known are ${known.slice(0, MOST_LISTED).join(", ")}${more}`;
}
