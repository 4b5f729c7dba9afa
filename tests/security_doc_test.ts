// SECURITY.md says which limits there are: its tables are held against what the code says of itself.

import { assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

/** The options that a file declares, each with the default that its documentation names; switches are no limits. */
function defaultsIn(path: string): Map<string, string> {
  const found = read(path).matchAll(/@default \{(.*?)\}\n\s*\*\/\n\s*(\w+)\??:/g);
  return new Map(
    [...found].filter(([, value]) => value !== "true").map(([, value, name]) => [name!, value!]),
  );
}

/** The rows of a table: the option's name and its default. */
function rowsOf(text: string): Map<string, string> {
  const rows = text.matchAll(/^\| `(\w+)` +\| (\S+) +\|/gm);
  return new Map([...rows].map(([, name, value]) => [name!, value!]));
}

Deno.test("SECURITY.md: every limit of connections and codecs is in its tables, with its default", () => {
  const [, limits = ""] = read("SECURITY.md").split("\n## Limits\n");
  const documented = rowsOf(limits);
  const declared = new Map([
    ...defaultsIn("transport/limits.ts"),
    ...defaultsIn("server/options.ts"),
    ...defaultsIn("codec/json.ts"),
    ...defaultsIn("codec/cbor.ts"),
  ]);
  assertEquals(declared.size >= 15, true, "the code's defaults are found");
  assertEquals(Object.fromEntries([...documented].sort()), Object.fromEntries([...declared].sort()));
});
