// A page's title, text and links out of its HTML. The tokenizer is htmlparser2's. Its parser is not used: it keeps a
// stack of open elements, for which a page of 2 MiB that opens nothing but <div> takes it a minute.

import { Tokenizer } from "npm:htmlparser2@12.0.0";
import { normalizeUrl } from "./url.ts";

/** What is kept of a page's title and text, in characters. */
const MAX_TITLE = 300;
const MAX_TEXT = 200_000;
/** What is kept of its links: with the text they fit in a message of 4 MiB, whatever they are. */
const MAX_LINKS = 1_500;

/** What a page says. */
export interface ParsedPage {
  readonly title: string;
  readonly text: string;
  /** Normalised, each once, in their order; empty if the page says `nofollow`. */
  readonly links: readonly string[];
  readonly noindex: boolean;
}

/** Elements whose content is no text of the page. */
const UNREAD: ReadonlySet<string> = new Set(["script", "style", "iframe", "noembed", "noframes"]);
/** Elements that do not part the words on their two sides. */
const INLINE: ReadonlySet<string> = new Set(
  "a abbr b bdi bdo cite code data del dfn em font i ins kbd mark q s samp small span strong sub sup time u var wbr"
    .split(" "),
);
/** Which attribute of which element leads to another page. */
const LINKS: ReadonlyMap<string, string> = new Map([
  ["a", "href"],
  ["area", "href"],
  ["frame", "src"],
  ["iframe", "src"],
]);

/**
 * Reads a page, however broken.
 *
 * @param html The page
 * @param url Where it was found, for its links
 */
export function parsePage(html: string, url: string): ParsedPage {
  const reader = new Reader(html, url);
  const tokenizer = new Tokenizer({ xmlMode: false, decodeEntities: true }, reader);
  tokenizer.write(html);
  tokenizer.end();
  return reader.page();
}

/** Hears of tags and texts by their places in the page. */
class Reader {
  readonly #html: string;
  #base: string;
  #hasBase = false;
  #title: string | undefined;
  /** What is inside the title, while in it. */
  #inTitle: string[] | undefined;
  readonly #text: string[] = [];
  #length = 0;
  /** The element whose content is passed over, while in it. */
  #unread: string | undefined;
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

  page(): ParsedPage {
    const title = this.#title ?? this.#inTitle?.join("") ?? "";
    return {
      title: tidy(title).slice(0, MAX_TITLE).toWellFormed(),
      text: tidy(this.#text.join("")).slice(0, MAX_TEXT).toWellFormed(),
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
    // Of attributes of one name the first counts, and nobody has more than a few that matter.
    if (!this.#attributes.has(this.#attribute) && this.#attributes.size < 32) {
      this.#attributes.set(this.#attribute, this.#value);
    }
  }

  onopentagend(): void {
    this.#opened();
    if (UNREAD.has(this.#tag)) this.#unread = this.#tag;
    if (this.#tag === "title" && this.#title === undefined) this.#inTitle = [];
  }

  onselfclosingtag(): void {
    this.#opened();
  }

  onclosetag(start: number, end: number): void {
    const tag = this.#html.slice(start, end).toLowerCase();
    if (tag === this.#unread) this.#unread = undefined;
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
    if (this.#unread !== undefined) return;
    if (this.#inTitle !== undefined) {
      this.#inTitle.push(text);
    } else if (this.#length < 2 * MAX_TEXT) {
      // Twice, since white space is not yet taken out.
      this.#text.push(text);
      this.#length += text.length;
    }
  }

  /** A tag is complete with its attributes. */
  #opened(): void {
    if (!INLINE.has(this.#tag)) this.#add(" ");
    const link = this.#attributes.get(LINKS.get(this.#tag) ?? "");
    if (link !== undefined) this.#addLink(link);
    if (this.#tag === "base") this.#setBase(this.#attributes.get("href"));
    if (this.#tag === "meta" && this.#attributes.get("name")?.toLowerCase() === "robots") {
      const wishes = (this.#attributes.get("content") ?? "").toLowerCase();
      if (/\b(noindex|none)\b/.test(wishes)) this.#noindex = true;
      if (/\b(nofollow|none)\b/.test(wishes)) this.#nofollow = true;
    }
  }

  #addLink(reference: string): void {
    if (this.#links.size >= MAX_LINKS) return;
    const url = normalizeUrl(reference.trim(), this.#base);
    if (url !== undefined) this.#links.add(url);
  }

  /** The first <base> with a URL counts. */
  #setBase(reference: string | undefined): void {
    if (this.#hasBase || reference === undefined) return;
    this.#base = normalizeUrl(reference.trim(), this.#base) ?? this.#base;
    this.#hasBase = true;
  }
}

/** White space and control characters become single spaces. */
function tidy(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}
