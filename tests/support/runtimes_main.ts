// Runs the scenario of everywhere.ts in versions of Deno, Node and Bun from npm: clients over every transport, and servers where they are
// supported. Arguments: packages such as node@22 or deno@2.5.7, by default all versions that docs/RUNTIMES.md lists.

import { assertEquals } from "@std/assert";
import { seenBy, seenOf } from "./everywhere_run.ts";
import { EverywhereServer, SEEN } from "./everywhere_server.ts";
import { Program } from "./node.ts";

const DEFAULTS = [
  "deno@2.5.7",
  "deno@2.6.8",
  "deno@2.7.9",
  "deno@2.8.3",
  "deno@2.9.5",
  "deno@2.9.6",
  "node@20",
  "node@22",
  "node@24",
  "node@26",
  "bun@1.4.5",
];
/** Versions that are supported for clients alone: Deno before 2.9.5 and Node before 22. */
const CLIENT_ONLY = /^(?:deno@2\.(?:[5-8]\.|9\.[0-4]$)|node@20)/;

function programOf(name: string): Program {
  const flags = name.startsWith("deno@")
    ? ["run", "--quiet", "--allow-all"]
    : name === "node@20"
    ? ["--experimental-websocket"]
    : [];
  return new Program(["npx", "--yes", name, ...flags]);
}

/** What differs from the expected result, by transport; "ok" if nothing does. */
function outcomeOf(seen: Record<string, unknown>): string {
  const failed = Object.entries(seen).flatMap(([transport, each]) => {
    try {
      assertEquals(each, SEEN);
      return [];
    } catch {
      return [`${transport}: ${JSON.stringify(each).slice(0, 500)}`];
    }
  });
  return failed.length === 0 ? "ok" : `FAILED\n  ${failed.join("\n  ")}`;
}

let failures = 0;

async function report(what: string, run: () => Promise<Record<string, unknown>>): Promise<void> {
  const outcome = await run().then(outcomeOf, (error) => `FAILED\n  ${error}`);
  if (outcome !== "ok") failures++;
  // deno-lint-ignore no-console -- this is a program, and this is its output
  console.log(`${what}: ${outcome}`);
}

for (const name of Deno.args.length > 0 ? Deno.args : DEFAULTS) {
  const program = programOf(name);
  await report(`${name}, client`, async () => {
    await using served = await EverywhereServer.start({ unix: true });
    return await seenBy(program, served);
  });
  if (!CLIENT_ONLY.test(name)) await report(`${name}, server`, () => seenOf(program));
}
Deno.exit(failures === 0 ? 0 : 1);
