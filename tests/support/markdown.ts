// The project's Markdown as the tests of the documentation see it: files, headings with their anchors, links and blocks
// of code. Used by the docs_*_test.ts.

const ROOT = new URL("../..", import.meta.url);

/** A block between fences. */
export interface Block {
  /** The text after the opening fence, such as `ts ignore`. */
  readonly info: string;
  readonly code: string;
  /** The last line of prose in front of it. */
  readonly lead: string;
}

/** Reads a file by its path in the repository. */
export function readText(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

/** The paths of all Markdown files, but for what was installed. */
export function markdownFiles(folder = ""): string[] {
  const found: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder || ".", ROOT))) {
    if (name === "node_modules" || name.startsWith(".")) continue;
    if (isDirectory) found.push(...markdownFiles(`${folder}${name}/`));
    else if (name.endsWith(".md")) found.push(folder + name);
  }
  return found.sort();
}

const FENCED = /^([ \t]*)```([^\n]*)\n([^]*?)^\1```[ \t]*$/gm;

/** The blocks of code in their order. */
export function blocksOf(text: string): Block[] {
  return Array.from(text.matchAll(FENCED), (match) => {
    const [, , info = "", code = ""] = match;
    const lead = text.slice(0, match.index).trimEnd();
    return { info: info.trim(), code, lead: lead.slice(lead.lastIndexOf("\n") + 1) };
  });
}

/** The text without code, whether in blocks or in lines. */
export function proseOf(text: string): string {
  return text.replace(FENCED, "").replace(/(`+)[^`]+\1/g, "");
}

/** The anchors that GitHub gives to the headings of a text. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, title = ""] of text.replace(FENCED, "").matchAll(/^#{1,6} +(.+)$/gm)) {
    const plain = title.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-");
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** Where the links and images of a text point to. */
export function linksOf(text: string): string[] {
  const prose = proseOf(text);
  const inline = prose.matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g);
  const named = prose.matchAll(/^ *\[[^\]]+\]: +(\S+)/gm);
  return Array.from([...inline, ...named], ([, target = ""]) => target);
}

/** The rows below the heading row that begins with `first`, cell by cell. */
export function tableOf(text: string, first: string): string[][] {
  const lines = text.split("\n");
  const from = lines.findIndex((line) => line.startsWith(`| ${first} `));
  const end = lines.findIndex((line, i) => i > from && !line.startsWith("|"));
  return lines.slice(from + 2, end).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}
