// Tables of the documentation that list what the code has: held against what it says of itself.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CODES } from "../../call/error.ts";
import { type BalancerName, createBalancer } from "../../discovery/create_balancer.ts";
import { MAX_PIECE } from "../../discovery/json_pieces.ts";
import { MAX_SERVERS } from "../../discovery/registry_list.ts";
import { SHORT_ANSWER } from "../../transport/unread_responses.ts";
import { readText } from "../support/markdown.ts";
import { defaultsIn, grouped } from "../support/stated.ts";

/** What the options of each section are declared in. */
const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  "Connections and calls": ["session/limits.ts", "server/server_options.ts"],
  "Clients": ["client/connect_options.ts"],
  "Retries and ejection": ["client/retry_budget.ts", "discovery/ejection.ts"],
  "Graceful shutdown": ["server/server.ts"],
  "Messages": ["codec/json.ts", "codec/cbor.ts"],
  "Slow start": ["balancing/slow_start.ts"],
  "DNS discovery": ["discovery/dns_options.ts"],
  "Registry discovery": ["discovery/registry_discovery.ts"],
};

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

Deno.test("LIMITS.md: it names the limits that are fixed for lists and for long answers", () => {
  const text = readText("docs/LIMITS.md").replace(/\s+/g, " ");
  for (
    const [value, of] of [[MAX_SERVERS, "servers"], [MAX_PIECE, "characters"], [
      SHORT_ANSWER,
      "bytes",
    ]] as const
  ) {
    assertStringIncludes(text, `${grouped(value)} ${of}`);
  }
});

Deno.test("SECURITY.md: it links to LIMITS.md", () => {
  assertMatch(readText("SECURITY.md"), /\]\(docs\/LIMITS\.md\)/);
});

/** The first column of a table, by its heading. */
function columnOf(text: string, heading: string): string[] {
  const [, rows = ""] = new RegExp(`^\\| ${heading} .*\\n\\|[ :|-]+\\n((?:\\|.*\\n)+)`, "m").exec(text) ?? [];
  return Array.from(rows.matchAll(/^\| `"?(\w+)"?` /gm), ([, name]) => name!);
}

Deno.test("ERRORS.md: its table has every code, in their order", () => {
  assertEquals(columnOf(readText("docs/ERRORS.md"), "code"), [...CODES]);
});

Deno.test("BALANCING.md: its table has all balancers and no other", () => {
  const names = columnOf(readText("docs/BALANCING.md"), "`balancer`");
  for (const name of names) createBalancer(name as BalancerName);
  const [, list = ""] = /export type BalancerName =([^;]+);/.exec(readText("discovery/create_balancer.ts")) ??
    [];
  assertEquals(names.sort(), Array.from(list.matchAll(/"(\w+)"/g), ([, name]) => name!).sort());
});

Deno.test("SERVICES.md: its table has the fields of a handler's context", () => {
  const [, fields = ""] = /export interface CallContext \{([^]*?)\n\}/.exec(readText("call/handler.ts")) ??
    [];
  const declared = Array.from(fields.matchAll(/^ {2}readonly (\w+)\??:/gm), ([, name]) => name!);
  assertEquals(columnOf(readText("docs/SERVICES.md"), "in the context").sort(), declared.sort());
});

Deno.test("README.md and QUICK_START.md: they name the oldest Deno that will do, as CONTRIBUTING.md does", () => {
  const oldest = /Deno (\d+\.\d+\.\d+) is\s+the oldest/.exec(readText("CONTRIBUTING.md"))?.[1];
  assertMatch(readText("docs/QUICK_START.md"), new RegExp(`${oldest} or later`));
  assertMatch(readText("README.md"), new RegExp(`${oldest} or later`));
});
