// Checks the prose: that comments and documents use the field's terms and name who acts, that the spelling is American,
// and that no two files of the library have the same name. Run by `deno task ok`; `--list` prints every finding.

const ROOT = new URL("../../", import.meta.url);
const LIBRARY =
  "call codec discovery balancing telemetry transport session monitoring server client web registry testing cli"
    .split(
      " ",
    );
const OTHERS = "bench conformance examples findings fuzz soak tests docs .".split(" ");

/** Marker words that are allowed in every 10 000 words. */
const MAX_RATE = 3;

/**
 * Words and phrases that hide who acts or which term is meant. "Behind" a proxy is the field's term; "behind" for "after"
 * is not.
 */
const MARKERS = new RegExp(
  [
    "nobody(?:'s)?",
    "somebody(?:'s)?",
    "whoever",
    "whomever",
    "told",
    "anew",
    "beside",
    "behind(?! (?:an? |the |such an? |one |this |that |our |its |your |their |several |two )?(?:\\w+ )?" +
    "(?:proxy|proxies|NATs?|load balancers?|balancers?|nginx|Caddy|HAProxy|gateways?|front|firewalls?|tunnels?|registry))",
    "owe[ds]?",
    "(?<!there )(?:is|are|was) none",
    "stands|stood",
    "lets? (?:it|them|him|her|others|one|more) in|lets? in",
    "sets? (?:it|them) aside|sets? aside",
    "in vain",
    "for ever",
    "lately",
    "(?:goes|went|gone) on",
    "comes? round",
    "tells? of",
    "sees? to it",
    "of (?:theirs|somebody else's)",
    "as it were",
    "makes? up for",
    "thereof|thereby|whereby|wherein",
  ].map((word) => `\\b(?:${word})\\b`).join("|"),
  "gi",
);

const BRITISH =
  /\b(?:behaviou?rs?(?<=iours?)|cancell(?:ed|ing)|labell(?:ed|ing)|licence|colours?|favou?rs?(?<=ours?)|neighbours?|honours?|centre|grey|catalogue|analys(?:e|es|ed|ing)|\w{3,}(?:ours|ising|ised)(?<=(?:organ|real|initial|serial|normal|recogn|optim|author|summar|synchron|categor|special|util)is(?:ing|ed)))\b/gi;

interface Text {
  readonly path: string;
  readonly line: number;
  readonly text: string;
}

function* filesIn(folder: string): Generator<string> {
  for (const { name, isDirectory, isFile } of Deno.readDirSync(new URL(folder, ROOT))) {
    const path = folder === "." ? name : `${folder}/${name}`;
    if (isDirectory && folder !== "." && name !== "node_modules" && name !== "vectors") yield* filesIn(path);
    if (isFile && /\.(?:ts|md)$/.test(name) && name !== "CHANGELOG.md") yield path;
  }
}

/** The comments of a source file. A `//` in a text, such as a URL, follows a colon or a quotation mark. */
function* commentsOf(path: string, source: string): Generator<Text> {
  let block = false;
  let example = false;
  for (const [index, line] of source.split("\n").entries()) {
    const start = block ? 0 : line.search(/^\s*\/\*\*?/);
    const comment = start >= 0 ? line : /(?:^|\s)\/\/(?! deno-)\s(.*)$/.exec(line)?.[1];
    if (start >= 0) block = !line.includes("*/");
    if (comment === undefined) continue;
    if (comment.includes("```")) example = !example;
    else if (!example) yield { path, line: index + 1, text: comment };
  }
}

/** The prose of a document: without code, whose words are not ours to choose. */
function* proseOf(path: string, document: string): Generator<Text> {
  let code = false;
  for (const [index, line] of document.split("\n").entries()) {
    if (/^\s*(?:>\s*)?```/.test(line)) code = !code;
    else if (!code) {
      yield { path, line: index + 1, text: line.replace(/`[^`]*`/g, "").replace(/\]\([^)]*\)/g, "]") };
    }
  }
}

function textsIn(folder: string): Text[] {
  return Array.from(filesIn(folder)).flatMap((path) => {
    const content = Deno.readTextFileSync(new URL(path, ROOT));
    return [...path.endsWith(".md") ? proseOf(path, content) : commentsOf(path, content)];
  }).filter(({ path }) => path !== "tests/support/prose_main.ts");
}

function exists(folder: string): boolean {
  try {
    return Deno.statSync(new URL(folder, ROOT)).isDirectory;
  } catch {
    return false;
  }
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const list = Deno.args.includes("--list");
const wrong: string[] = [];
for (const folder of [...LIBRARY, ...OTHERS].filter(exists)) {
  const texts = textsIn(folder);
  const words = texts.reduce((sum, { text }) => sum + (text.match(/[\p{L}']+/gu)?.length ?? 0), 0);
  const found = texts.flatMap((each) =>
    Array.from(each.text.matchAll(MARKERS), ([word]) => ({ ...each, word }))
  );
  const rate = words === 0 ? 0 : found.length / words * 10_000;
  if (list || rate > MAX_RATE) {
    print(`${folder}: ${found.length} marker words in ${words}, ${rate.toFixed(1)} per 10 000`);
  }
  if (rate > MAX_RATE) wrong.push(`${folder} has more than ${MAX_RATE} marker words per 10 000`);
  if (list) { for (const { path, line, word } of found) print(`  ${path}:${line}: ${word}`); }
  for (const { path, line, text } of texts) {
    for (const [word] of text.matchAll(BRITISH)) {
      wrong.push(`${path}:${line}: "${word}" is not American spelling`);
    }
  }
}

const names = new Map<string, string>();
for (const path of LIBRARY.filter(exists).flatMap((folder) => [...filesIn(folder)])) {
  const name = path.split("/").at(-1)!;
  if (name === "mod.ts" || name === "main.ts") continue;
  if (names.has(name)) wrong.push(`${path} has the name of ${names.get(name)}`);
  names.set(name, path);
}

wrong.forEach(print);
if (wrong.length > 0) Deno.exit(1);
