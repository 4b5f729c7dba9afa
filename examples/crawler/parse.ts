// Extracts a page's title, text and links from HTML. Uses the tokenizer of htmlparser2, not its parser, which
// keeps a stack of open elements and takes a minute for a page of 2 MiB that consists of opening <div> tags.

import { Tokenizer } from "npm:htmlparser2@12.0.0";
import { PRODUCT } from "./robots.ts";
import { normalizeUrl } from "./url.ts";

/** Maximum length of the title and text, in characters. */
const MAX_TITLE = 300;
const MAX_TEXT = 200_000;
/** Maximum number of links: together with the text, they fit in a message of 4 MiB. */
const MAX_LINKS = 1_500;

/** The extracted content of a page. */
export interface ParsedPage {
  readonly title: string;
  readonly text: string;
  /** Normalized, without duplicates, in order; empty if the page says `nofollow`. */
  readonly links: readonly string[];
  readonly noindex: boolean;
}

/** Elements whose content is not part of the text. */
const SKIPPED: ReadonlySet<string> = new Set(["script", "style", "iframe", "noembed", "noframes"]);
/** Elements that do not separate words. */
const INLINE: ReadonlySet<string> = new Set(
  "a abbr b bdi bdo cite code data del dfn em font i ins kbd mark q s samp small span strong sub sup time u var wbr"
    .split(" "),
);
/** The attribute of each element that links to another page. */
const LINKS: ReadonlyMap<string, string> = new Map([
  ["a", "href"],
  ["area", "href"],
  ["frame", "src"],
  ["iframe", "src"],
]);

/**
 * Parses a page, however broken.
 *
 * @param html The page
 * @param url Its URL, to resolve its links
 * @param directives The directives of its X-Robots-Tag
 */
export function parsePage(html: string, url: string, directives: readonly string[] = []): ParsedPage {
  const reader = new Reader(html, url);
  reader.obey(directives);
  const tokenizer = new Tokenizer({ xmlMode: false, decodeEntities: true }, reader);
  tokenizer.write(html);
  tokenizer.end();
  return reader.page();
}

/** Receives the events of the tokenizer, with offsets in the page. */
class Reader {
  readonly #html: string;
  #base: string;
  #hasBase = false;
  #title: string | undefined;
  /** The text inside the title element, while in it. */
  #inTitle: string[] | undefined;
  readonly #text: string[] = [];
  #length = 0;
  /** The element whose content is skipped, while in it. */
  #skipped: string | undefined;
  #tag = "";
  #attribute = "";
  #value = "";
  #attributes = new Map<string, string>();
  readonly #links = new Set<string>();
  #noindex = false;
  #nofollow = false;

  constructor(html: string, url: string) {
    this.#html = html;
    this.#base = url;
  }

  /** Applies directives for crawlers, such as `noindex`, in lower case. */
  obey(directives: readonly string[]): void {
    if (directives.includes("none") || directives.includes("noindex")) this.#noindex = true;
    if (directives.includes("none") || directives.includes("nofollow")) this.#nofollow = true;
  }

  page(): ParsedPage {
    const title = this.#title ?? this.#inTitle?.join("") ?? "";
    return {
      title: collapseSpaces(title).slice(0, MAX_TITLE).toWellFormed(),
      text: collapseSpaces(this.#text.join("")).slice(0, MAX_TEXT).toWellFormed(),
      links: this.#nofollow ? [] : [...this.#links],
      noindex: this.#noindex,
    };
  }

  ontext(start: number, end: number): void {
    this.#add(this.#html.slice(start, end));
  }

  ontextentity(codepoint: number): void {
    this.#add(String.fromCodePoint(codepoint));
  }

  onopentagname(start: number, end: number): void {
    this.#tag = this.#html.slice(start, end).toLowerCase();
    this.#attributes = new Map();
  }

  onattribname(start: number, end: number): void {
    this.#attribute = this.#html.slice(start, end).toLowerCase();
    this.#value = "";
  }

  onattribdata(start: number, end: number): void {
    this.#value += this.#html.slice(start, end);
  }

  onattribentity(codepoint: number): void {
    this.#value += String.fromCodePoint(codepoint);
  }

  onattribend(): void {
    // The first of duplicate attributes counts. No relevant element has more than a few attributes.
    if (!this.#attributes.has(this.#attribute) && this.#attributes.size < 32) {
      this.#attributes.set(this.#attribute, this.#value);
    }
  }

  onopentagend(): void {
    this.#opened();
    if (SKIPPED.has(this.#tag)) this.#skipped = this.#tag;
    if (this.#tag === "title" && this.#title === undefined) this.#inTitle = [];
  }

  onselfclosingtag(): void {
    this.#opened();
  }

  onclosetag(start: number, end: number): void {
    const tag = this.#html.slice(start, end).toLowerCase();
    if (tag === this.#skipped) this.#skipped = undefined;
    if (tag === "title" && this.#inTitle !== undefined) {
      this.#title = this.#inTitle.join("") || undefined;
      this.#inTitle = undefined;
    }
    if (!INLINE.has(tag)) this.#add(" ");
  }

  oncdata(): void {}
  oncomment(): void {}
  ondeclaration(): void {}
  onprocessinginstruction(): void {}
  onend(): void {}

  #add(text: string): void {
    if (this.#skipped !== undefined) return;
    if (this.#inTitle !== undefined) {
      this.#inTitle.push(text);
    } else if (this.#length < 2 * MAX_TEXT) {
      // Twice the limit, because white space is collapsed later.
      this.#text.push(text);
      this.#length += text.length;
    }
  }

  /** Called when a tag and its attributes are complete. */
  #opened(): void {
    if (!INLINE.has(this.#tag)) this.#add(" ");
    const link = this.#attributes.get(LINKS.get(this.#tag) ?? "");
    if (link !== undefined) this.#addLink(link);
    if (this.#tag === "base") this.#setBase(this.#attributes.get("href"));
    const name = this.#attributes.get("name")?.toLowerCase();
    if (this.#tag === "meta" && (name === "robots" || name === PRODUCT.toLowerCase())) {
      this.obey((this.#attributes.get("content") ?? "").toLowerCase().split(/[\s,]+/));
    }
  }

  #addLink(reference: string): void {
    if (this.#links.size >= MAX_LINKS) return;
    const url = normalizeUrl(reference.trim(), this.#base);
    if (url !== undefined) this.#links.add(url);
  }

  /** Applies the first <base> that has a URL. */
  #setBase(reference: string | undefined): void {
    if (this.#hasBase || reference === undefined) return;
    this.#base = normalizeUrl(reference.trim(), this.#base) ?? this.#base;
    this.#hasBase = true;
  }
}

/** Collapses white space and control characters to single spaces. */
function collapseSpaces(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}
