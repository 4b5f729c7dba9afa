// docs/LIMITS.md says which limits there are: its tables are held against what the code says of itself.

import { assertEquals, assertMatch } from "@std/assert";
import { readText } from "./markdown.ts";

/** What the options of each section are declared in. */
const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  "Connections and calls": ["transport/limits.ts", "server/options.ts"],
  "Clients": ["client/options.ts"],
  "Sending again, and setting aside": ["client/retry_budget.ts", "discovery/ejection.ts"],
  "Ending": ["server/server.ts"],
  "Messages": ["codec/json.ts", "codec/cbor.ts"],
  "Following a registry": ["discovery/registry_discovery.ts"],
};

/** The options that a file declares with a figure, each with the default that its documentation names. */
function defaultsIn(path: string): [string, string][] {
  const found = readText(path).matchAll(/@default \{([\d_.]+|Infinity)\}\n\s*\*\/\n\s*(\w+)\??:/g);
  return Array.from(found, ([, value, name]) => [name!, value!]);
}

/** The rows of a table: the option's name and its default. */
function rowsOf(text: string): [string, string][] {
  return Array.from(text.matchAll(/^\| `(\w+)` +\| (\S+) +\|/gm), ([, name, value]) => [name!, value!]);
}

Deno.test("LIMITS.md: every option that is a limit is in its tables, with its default", () => {
  const sections = new Map(
    readText("docs/LIMITS.md").split("\n## ").map((section) => [section.split("\n", 1)[0], section]),
  );
  for (const [title, paths] of Object.entries(SECTIONS)) {
    const declared = new Map(paths.flatMap(defaultsIn));
    assertEquals(declared.size >= 1, true, `the code's defaults of "${title}" are found`);
    const documented = rowsOf(sections.get(title) ?? "");
    assertEquals(Object.fromEntries(documented), Object.fromEntries(declared), title);
    assertEquals(documented.length, declared.size, `"${title}" names an option twice`);
  }
});

Deno.test("SECURITY.md: it leads to the limits", () => {
  assertMatch(readText("SECURITY.md"), /\]\(docs\/LIMITS\.md\)/);
});
