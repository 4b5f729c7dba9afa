// Finds the encoding of a page as the HTML standard does (section "Determining the character encoding"): a byte order
// mark, the header, a <meta> in the first 1024 bytes. Without any of them it is UTF-8.

/** How many bytes are searched for a <meta>. */
const PRESCAN_BYTES = 1_024;

/** A comment, a tag with its name and attributes, or another piece of markup. */
const MARKUP = /<!(?=--)[^]*?-->|<\/?([a-z][^\s/>]*)(?=[\s/>])((?:[^>"']|"[^"]*"|'[^']*')*)>|<[!/?][^>]*>/gi;
const ATTRIBUTE = /([^\s/>=]+)\s*(?:=\s*("[^"]*"|'[^']*'|[^\s>]*))?/g;

/** Decodes a page. */
export function decodePage(body: Uint8Array<ArrayBuffer>, contentType: string | null): string {
  const encoding = byMark(body) ?? encodingOf(charsetIn(contentType ?? "")) ?? prescan(body) ?? "utf-8";
  return new TextDecoder(encoding).decode(body);
}

function byMark([first, second, third]: Uint8Array): string | undefined {
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  return first === 0xff && second === 0xfe ? "utf-16le" : undefined;
}

/** The encoding that a <meta> names or, failing that, an XML declaration. */
function prescan(body: Uint8Array<ArrayBuffer>): string | undefined {
  const begin = new TextDecoder("latin1").decode(body.subarray(0, PRESCAN_BYTES));
  for (const [markup, name, attributes = ""] of begin.matchAll(MARKUP)) {
    if (name?.toLowerCase() !== "meta" || markup.startsWith("</")) continue;
    const encoding = encodingOf(charsetOf(attributesOf(attributes)));
    // The page has been read as ASCII so far, so it cannot be UTF-16.
    if (encoding !== undefined) return encoding.startsWith("utf-16") ? "utf-8" : encoding;
  }
  return encodingOf(/^<\?xml[^>]*\sencoding\s*=\s*["']([^"']*)["']/.exec(begin)?.[1]);
}

function charsetOf(attributes: ReadonlyMap<string, string>): string | undefined {
  const charset = attributes.get("charset");
  if (charset !== undefined) return charset;
  const isType = attributes.get("http-equiv")?.toLowerCase() === "content-type";
  return isType ? charsetIn(attributes.get("content") ?? "") : undefined;
}

/** Attributes by name in lower case; the first of duplicate ones counts. */
function attributesOf(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name = "", value = ""] of text.matchAll(ATTRIBUTE)) {
    const key = name.toLowerCase();
    if (!found.has(key)) found.set(key, value.replace(/^(["'])([^]*)\1$/, "$2"));
  }
  return found;
}

/** The label given by `charset=` in a text. */
function charsetIn(text: string): string | undefined {
  const [, double, single, plain] = /charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"']+))/i.exec(text) ?? [];
  return double ?? single ?? plain;
}

/** The encoding with a label (Encoding standard, section 4.2), or undefined if the label is unknown. */
function encodingOf(label: string | undefined): string | undefined {
  if (label?.trim().toLowerCase() === "x-user-defined") return "windows-1252";
  try {
    return label === undefined ? undefined : new TextDecoder(label).encoding;
  } catch {
    return undefined;
  }
}
