// docs/QUICK_START.md as a newcomer follows it: every file is written unchanged, every line is typed, and what is
// printed is held against the page. Only the port is another one, so that no other program is disturbed.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Block, blocksOf, readText } from "../support/markdown.ts";
import { Shell } from "../support/docs_shell.ts";
import { testOnPosix } from "../support/platform.ts";
import { freePort } from "../support/programs.ts";

const PAGE = readText("docs/QUICK_START.md");
const { tasks } = JSON.parse(readText("deno.json")) as { tasks: Record<string, unknown> };
const hasCommand = "rpc" in tasks;

/** Runs the page from its first block to its last in a new folder, and returns how often something was to be printed. */
async function follow(blocks: readonly Block[]): Promise<number> {
  const folder = await Deno.makeTempDir();
  await using shell = new Shell(folder);
  try {
    // The clone, where the page says that it is.
    await Deno.symlink(new URL("../..", import.meta.url), `${folder}/troodon`);
    let printed = 0;
    for (const [i, { info, code, lead }] of blocks.entries()) {
      const [, name] = /file `([\w.]+)`/.exec(lead) ?? [];
      if (info.startsWith("ts")) {
        assert(name !== undefined, `a block of TypeScript without the name of its file: ${lead}`);
        await Deno.writeTextFile(`${shell.folder}/${name}`, code);
      } else if (info === "sh" && !code.startsWith("alias ")) {
        if (code.includes(" rpc ") && !hasCommand) continue;
        const expected = blocks[i + 1]?.info === "text" ? blocks[i + 1]!.code : "";
        if (expected !== "") printed++;
        if (code.includes("server.ts")) await shell.start(code, expected);
        else assertEquals(await shell.run(code), expected, code);
      }
    }
    // The one mistake that the page says is found, and no other.
    const wrong = (await Deno.readTextFile(`${shell.folder}/client.ts`)).replace('greet("Ada")', "greet(42)");
    await Deno.writeTextFile(`${shell.folder}/wrong.ts`, wrong);
    const found = await shell.run("NO_COLOR=1 deno check *.ts 2>&1 | grep '^TS'");
    assertMatch(found, /^TS2345 \[ERROR\]: Argument of type 'number' is not assignable[^\n]+\n$/);
    return printed;
  } finally {
    await shell[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
}

const skipped = hasCommand ? "" : ", but for the command line [SKIPPED: there is no task rpc yet]";

testOnPosix(`docs: every command of the quick start prints what the page shows${skipped}`, async () => {
  const blocks = blocksOf(PAGE.replaceAll("127.0.0.1:9000", `127.0.0.1:${freePort()}`));
  const expected = blocks.filter(({ info }) => info === "text").length;
  const left = hasCommand ? 0 : blocks.filter(({ code }) => code.includes(" rpc ")).length;
  assert(expected >= 5);
  assertEquals(await follow(blocks), expected - left);
});

Deno.test("docs: the quick start and the README name the same Deno", () => {
  const [, command = ""] = /alias deno='([^']+)'/.exec(PAGE) ?? [];
  assertStringIncludes(readText("README.md"), `${command} task demo`);
});
