// The package as JSR gets it: its files, what they import, and everything that JSR's score counts.

import { assert, assertEquals, assertLess } from "@std/assert";
import { deno, entryPoints, modulesOf, pathOf, readConfig, ROOT } from "../support/package.ts";

/** Programs, which are published although nothing imports them. */
const PROGRAMS = ["./registry/main.ts"];
const TEXTS = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "deno.json"];
/** The longest file, in bytes. */
const MAX_FILE = 40_000;
const MAX_PACKAGE = 1_700_000;

interface Doc {
  module_doc?: { doc?: string; tags?: { kind: string; doc?: string }[] };
  symbols: {
    name: string;
    declarations: { declarationKind: string; kind: string; jsDoc?: { doc?: string } }[];
  }[];
}

/** The files that would be published, with their sizes in bytes. */
async function publishedFiles(): Promise<Map<string, number>> {
  const { success, stdout, stderr } = await deno("publish", "--dry-run", "--allow-dirty", "--no-check");
  assert(success, stderr);
  const files = new Map<string, number>();
  for (const [, url = ""] of `${stdout}\n${stderr}`.matchAll(/(file:\S+) \([\d.]+[KM]?B\)/g)) {
    files.set(pathOf(url) ?? url, (await Deno.stat(new URL(url))).size);
  }
  return files;
}

Deno.test("package: what is published is what the entry points and programs need, and nothing else", async () => {
  const files = await publishedFiles();
  const modules = await modulesOf([...await entryPoints(), ...PROGRAMS]);
  assertEquals([...files.keys()].sort(), [...modules.keys(), ...TEXTS].sort());
  const large = [...files].filter(([, bytes]) => bytes > MAX_FILE);
  assertEquals(large, []);
  assertLess([...files.values()].reduce((sum, bytes) => sum + bytes, 0), MAX_PACKAGE);
});

Deno.test("package: every import is of a file that is published, of Deno, or of a declared dependency", async () => {
  const files = await publishedFiles();
  const { imports } = await readConfig();
  const wrong: string[] = [];
  for (
    const [path, { dependencies = [] }] of await modulesOf(
      [...files.keys()].filter((path) => path.endsWith(".ts")),
    )
  ) {
    for (const { specifier, code, type } of dependencies) {
      const target = pathOf(code?.specifier ?? type?.specifier ?? "");
      const isOurs = specifier.startsWith(".") && target !== undefined && files.has(target);
      const declared = /^[a-z@]/.test(specifier) && !specifier.includes(":")
        ? imports[specifier] ?? imports[specifier.split("/").slice(0, 2).join("/")] ?? ""
        : specifier;
      if (isOurs || declared.startsWith("node:")) continue;
      if (!/^(?:jsr|npm):@?[^@]+@[\^~]?\d/.test(declared)) wrong.push(`${path} imports ${specifier}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("package: every entry point begins with documentation and an example, every symbol is documented", async () => {
  const wrong: string[] = [];
  for (const entry of await entryPoints()) {
    const { nodes } = JSON.parse((await deno("doc", "--json", entry)).stdout) as {
      nodes: Record<string, Doc>;
    };
    const [doc] = Object.values(nodes);
    const { module_doc, symbols } = doc!;
    if (!module_doc?.doc) wrong.push(`${entry} does not say what it is for`);
    if (!module_doc?.tags?.some(({ kind, doc }) => kind === "example" && doc?.includes("```ts"))) {
      wrong.push(`${entry} has no example`);
    }
    assert(symbols.length > 0, entry);
    for (const { name, declarations } of symbols) {
      const undocumented = declarations.some(({ declarationKind, jsDoc }) =>
        declarationKind === "export" && !jsDoc?.doc
      );
      if (undocumented) wrong.push(`${entry} does not document ${name}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("package: it is described, has a readme with examples, and its versions agree", async () => {
  const { version, description } = await readConfig();
  assert(/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version), version);
  // What JSR takes at most.
  assert(description.length > 20 && description.length <= 250, description);
  assert((await Deno.readTextFile(new URL("README.md", ROOT))).includes("```ts"));
  for (const path of (await publishedFiles()).keys()) {
    const text = await Deno.readTextFile(new URL(path, ROOT));
    for (const [, named] of text.matchAll(/\bVERSION(?:: string)? = "([^"]*)"/g)) {
      assertEquals(named, version, `the version in ${path}`);
    }
  }
});

Deno.test("package: the client does not import the server", async () => {
  const modules = [...(await modulesOf(["client/mod.ts", "discovery/mod.ts"])).keys()];
  assert(modules.includes("client/client.ts"));
  assertEquals(modules.filter((path) => /^(?:server|registry|testing|cli)\//.test(path)), []);
});

Deno.test("package: the client uses no JavaScript that Node 20 lacks", async () => {
  const config = await Deno.makeTempFile({ suffix: ".json" });
  const lib = ["es2023", "dom", "dom.iterable", "dom.asynciterable", "esnext.disposable"];
  await Deno.writeTextFile(config, JSON.stringify({ compilerOptions: { lib } }));
  try {
    const files = ["client/mod.ts", "discovery/mod.ts", "codec/mod.ts"];
    const { stderr } = await deno("check", "--config", config, ...files);
    const errors = [...stderr.matchAll(/^TS\d+ \[ERROR\]: (.*)$/gm)].map(([, message = ""]) => message);
    // It knows nothing of Deno: were nothing amiss, nothing would have been checked.
    assert(errors.some((message) => message.startsWith("Cannot find name 'Deno'")), stderr);
    const newer = errors.filter((message) =>
      /does not exist on type|only refers to a type/.test(message) &&
      // Node 20 has these already.
      !/^Property '(?:isW|toW)ellFormed'/.test(message)
    );
    assertEquals(newer, []);
  } finally {
    await Deno.remove(config);
  }
  const using: string[] = [];
  for (const path of (await modulesOf(["client/mod.ts", "discovery/mod.ts", "codec/mod.ts"])).keys()) {
    const text = await Deno.readTextFile(new URL(path, ROOT));
    if (/^\s*(?:await )?using \w+ =/m.test(text)) using.push(path);
  }
  assertEquals(using, []);
});
