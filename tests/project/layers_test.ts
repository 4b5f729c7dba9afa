// Who may import whom, held against what the files import. The folders are the architecture only as long as this holds.

import { assertEquals } from "@std/assert";
import { deno, type Module, ROOT as PACKAGE } from "../support/package.ts";

/** Each folder may import from itself and from those named. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  call: [],
  codec: ["call"],
  discovery: ["call"],
  balancing: ["call", "discovery"],
  telemetry: ["call"],
  transport: ["call", "codec", "discovery"],
  session: ["call", "codec", "discovery", "transport"],
  monitoring: ["call", "codec", "discovery", "transport", "session"],
  server: ["call", "codec", "discovery", "telemetry", "transport", "session", "monitoring"],
  web: ["call", "codec", "discovery", "transport", "session", "monitoring", "server"],
  client: ["call", "codec", "discovery", "telemetry", "transport", "session"],
  registry: ["call", "codec", "discovery", "transport", "monitoring"],
  testing: ["call", "codec", "discovery", "transport"],
  cli: ["call", "codec", "discovery", "client", "registry"],
};

const ROOT = PACKAGE.href;

Deno.test("layers: the table of folders in ARCHITECTURE.md lists what each folder may import", async () => {
  const text = await Deno.readTextFile(new URL("docs/ARCHITECTURE.md", PACKAGE));
  const rows = [...text.matchAll(/^\| `(\w+)\/` +\|.*\| ([^|]+?) +\|$/gm)];
  const listed = rows.map(([, folder = "", from = ""]) => [
    folder,
    from === "nothing" ? [] : from.split(", ").map((name) => name.replaceAll("`", "")),
  ]);
  assertEquals(Object.fromEntries(listed), MAY_IMPORT);
});

/** What `deno info` knows of a module and everything it imports, type imports included. */
async function modulesOf(entry: string): Promise<Module[]> {
  return JSON.parse((await deno("info", "--json", entry)).stdout).modules;
}

function folderOf(specifier: string): string | undefined {
  return specifier.startsWith(ROOT) ? specifier.slice(ROOT.length).split("/", 1)[0] : undefined;
}

Deno.test("layers: a folder imports only from itself and from lower ones, and names files", async () => {
  const entries = [
    "mod.ts",
    "web/mod.ts",
    "registry/main.ts",
    "testing/mod.ts",
    "cli/main.ts",
    "balancing/mod.ts",
  ];
  const modules = (await Promise.all(entries.map(modulesOf))).flat();
  const wrong: string[] = [];
  for (const { specifier, dependencies = [] } of modules) {
    const allowed = MAY_IMPORT[folderOf(specifier) ?? ""];
    if (allowed === undefined) continue;
    for (const dependency of dependencies) {
      const target = dependency.code?.specifier ?? dependency.type?.specifier ?? "";
      const folder = folderOf(target);
      if (folder === undefined || folder === "links") continue;
      const from = specifier.slice(ROOT.length);
      if (folder !== folderOf(specifier) && !allowed.includes(folder)) {
        wrong.push(`${from} imports ${folder}/`);
      }
      if (target.endsWith("/mod.ts")) wrong.push(`${from} imports ${dependency.specifier}, not a file`);
    }
  }
  assertEquals(wrong, []);
  const seen = new Set(modules.map(({ specifier }) => folderOf(specifier)));
  for (const folder of Object.keys(MAY_IMPORT)) {
    assertEquals(seen.has(folder), true, `${folder} was not looked at`);
  }
});

Deno.test("layers: the conformance tools share no code with the library", async () => {
  const modules = (await Promise.all(["conformance/run.ts", "conformance/process.ts"].map(modulesOf))).flat();
  const folders = new Set(modules.map(({ specifier }) => folderOf(specifier)));
  assertEquals([...folders].sort(), ["conformance", "docs"]);
});

Deno.test("layers: no file of the library imports in a circle", async () => {
  const imports = new Map<string, string[]>();
  for (
    const { specifier, dependencies = [] } of [
      ...await modulesOf("mod.ts"),
      ...await modulesOf("web/mod.ts"),
      ...await modulesOf("testing/mod.ts"),
      ...await modulesOf("cli/main.ts"),
      ...await modulesOf("balancing/mod.ts"),
    ]
  ) {
    if (folderOf(specifier) === undefined) continue;
    const targets = dependencies.map(({ code, type }) => code?.specifier ?? type?.specifier ?? "");
    imports.set(specifier, targets.filter((target) => folderOf(target) !== undefined));
  }
  const done = new Set<string>();
  const path: string[] = [];
  const circles: string[] = [];
  const visit = (file: string) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" → "));
    if (done.has(file) || path.includes(file)) return;
    path.push(file);
    for (const target of imports.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of imports.keys()) visit(file);
  assertEquals(circles.map((circle) => circle.replaceAll(ROOT, "")), []);
});
