// Numbers as the code states them: defaults in the documentation of options, and constants that are not exported. Used by
// the tests that hold documents against the code.

import { assert } from "@std/assert";
import { readText } from "./markdown.ts";

/** The options that a file declares with a number, each with the default that its documentation names. */
export function defaultsIn(path: string): [string, string][] {
  const found = readText(path).matchAll(/@default \{([\d_.]+|Infinity)\}\n\s*\*\/\n\s*(\w+)\??:/g);
  return Array.from(found, ([, value, name]) => [name!, value!]);
}

/** The values of all constants of a file that are numbers. For those that are not exported, and may be renamed. */
export function constantsIn(path: string): ReadonlySet<number> {
  const found = readText(path).matchAll(/^(?:export )?const \w+ = (\d[\d_]*(?: \* \d[\d_]*)*);/gm);
  return new Set(Array.from(found, ([, value]) => {
    return value!.replaceAll("_", "").split(" * ").reduce((product, factor) => product * Number(factor), 1);
  }));
}

/** A number with its digits in groups of three, from five digits on as in `32 768`. */
export function grouped(value: number): string {
  return value.toLocaleString("en").replaceAll(",", " ");
}

/** A number of bytes in the largest binary unit that divides it, such as `4 MiB`. */
export function binary(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; bytes >= 1_024 && bytes % 1_024 === 0 && unit < 3; unit++) bytes /= 1_024;
  return `${bytes} ${units[unit]}`;
}

/** Options whose default is a number, from all files that declare some; two files may use one name. */
export const DEFAULTS = Map.groupBy(
  [
    "session/limits.ts",
    "server/server_options.ts",
    "client/connect_options.ts",
    "client/retry_budget.ts",
    "discovery/ejection.ts",
    "discovery/registry_discovery.ts",
    "registry/announce.ts",
    "codec/cbor.ts",
  ].flatMap(defaultsIn).map(([name, value]) => ({ name, value: Number(value.replaceAll("_", "")) })),
  ({ name }) => name,
);

/** The default of an option of connections, servers or clients. */
export function defaultOf(name: string): number {
  const [first] = DEFAULTS.get(name) ?? [];
  assert(first !== undefined, `no option ${name} has a number as its default`);
  return first.value;
}
