// The documentation hangs together: links lead somewhere, every page is found from the index, pictures need nothing
// from elsewhere, and nothing names the machine on which it was written.

import { assert, assertEquals } from "@std/assert";
import { anchorsOf, blocksOf, linksOf, markdownFiles, readText } from "../support/markdown.ts";

const INDEX = "docs/README.md";

function exists(path: string): boolean {
  try {
    Deno.statSync(new URL(`../../${path}`, import.meta.url));
    return true;
  } catch {
    return false;
  }
}

/** Where a relative link of a file leads: a path in the repository, and an anchor. Undefined for the web. */
function resolve(file: string, link: string): { path: string; anchor: string } | undefined {
  if (/^[a-z]+:/.test(link)) return undefined;
  const { pathname, hash } = new URL(link, `file:///${file}`);
  return { path: decodeURIComponent(pathname.slice(1)), anchor: decodeURIComponent(hash.slice(1)) };
}

/** What is wrong with the links of one file. */
function brokenIn(file: string): string[] {
  const broken: string[] = [];
  for (const link of linksOf(readText(file))) {
    const target = resolve(file, link);
    if (target === undefined) continue;
    const { path, anchor } = target;
    if (!exists(path)) broken.push(`${file}: ${link}: there is no ${path}`);
    else if (anchor !== "" && !anchorsOf(readText(path)).has(anchor)) {
      broken.push(`${file}: ${link}: ${path} has no such heading`);
    }
  }
  return broken;
}

/** The Markdown files that a file links to. */
function pagesFrom(file: string): string[] {
  const targets = linksOf(readText(file)).map((link) => resolve(file, link)?.path);
  return targets.filter((path) => path !== undefined && path.endsWith(".md") && exists(path)) as string[];
}

Deno.test("docs: every relative link and every anchor leads somewhere", () => {
  assertEquals(markdownFiles().flatMap(brokenIn), []);
});

Deno.test("docs: the index has every page, and the README leads to the index", () => {
  const listed = new Set(pagesFrom(INDEX));
  const pages = markdownFiles("docs/").filter((path) => path !== INDEX);
  assert(pages.length > 15, "pages are found");
  assertEquals(pages.filter((path) => !listed.has(path)), []);
  assert(pagesFrom("README.md").includes(INDEX));
  const reached = new Set(["README.md"]);
  for (const page of reached) for (const next of pagesFrom(page)) reached.add(next);
  assertEquals(markdownFiles().filter((path) => !reached.has(path)), [], "reached from README.md");
});

Deno.test("docs: every file of the repository that ARCHITECTURE.md and CONTRIBUTING.md name is there", () => {
  const named = ["docs/ARCHITECTURE.md", "CONTRIBUTING.md"].flatMap((file) =>
    Array.from(
      readText(file).matchAll(/`([\w.]+\/[\w./]+\.(?:ts|py|md|json|svg|cddl))`/g),
      ([, path]) => path!,
    )
  );
  assert(named.length > 60, `${named.length} names are found`);
  assertEquals(named.filter((path) => !exists(path)), []);
});

Deno.test("docs: no page names a folder of the machine on which it was written", () => {
  const local = /\/(?:work|home|root|Users)\/\w+|\bhbin\b/;
  const named = markdownFiles().flatMap((file) =>
    readText(file).split("\n").filter((line) => local.test(line)).map((line) => `${file}: ${line}`)
  );
  assertEquals(named, []);
});

Deno.test("docs: pictures are drawn for light and dark, say what they show, and load nothing", () => {
  const pictures = markdownFiles().flatMap((file) =>
    linksOf(readText(file)).map((link) => resolve(file, link)?.path ?? "").filter((path) =>
      /\.svg$/.test(path)
    )
  );
  assert(pictures.length > 1);
  for (const path of new Set(pictures)) {
    const svg = readText(path);
    assert(svg.includes("prefers-color-scheme: dark"), `${path} has colours for the dark`);
    assert(/<title>[^<]{10,}<\/title>/.test(svg), `${path} has a title`);
    const without = svg.replace('xmlns="http://www.w3.org/2000/svg"', "");
    assert(!/https?:|url\((?!#)|<image|<script|@import|@font-face/.test(without), `${path} loads nothing`);
  }
});

Deno.test("docs: every TypeScript example is run, by deno test --doc or by the test of its page", () => {
  /** Pages whose blocks are files of a program, which a test of their own runs. */
  const programs = ["docs/CLI.md", "docs/DEPLOYING.md", "docs/HTTP.md", "docs/QUICK_START.md"];
  const unrun = markdownFiles().filter((file) => !programs.includes(file)).flatMap((file) =>
    blocksOf(readText(file)).filter(({ info }) => /^(ts|tsx|typescript)\b.*ignore/.test(info))
      .map(({ lead }) => `${file}: ${lead}`)
  );
  assertEquals(unrun, []);
});
