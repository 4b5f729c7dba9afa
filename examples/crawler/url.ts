// Normalizes URLs, so that the set of seen URLs and the store can compare them.

/** Maximum length of a URL, in characters. */
export const MAX_URL = 2_000;

/**
 * Normalizes a URL for comparison (RFC 3986 section 6.2): scheme and host in lower case, no default port, no
 * dot segments, no unnecessary escapes, no empty query, no fragment, no user and password.
 *
 * @param text A URL or, with a base, a reference in a page
 * @param base The URL of the page
 * @returns The normalized URL; undefined if it is invalid, too long, or neither http nor https
 */
export function normalizeUrl(text: string, base?: string): string | undefined {
  // A long reference may become shorter when it is resolved, but not one of a megabyte.
  if (text.length > 4 * MAX_URL) return undefined;
  const url = URL.parse(text, base);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  url.hash = "";
  url.username = "";
  url.password = "";
  if (url.hostname.endsWith(".")) url.hostname = url.hostname.slice(0, -1);
  url.pathname = normalizeEscapes(url.pathname);
  url.search = normalizeEscapes(url.search); // which also drops the `?` of an empty one
  return url.href.length > MAX_URL ? undefined : url.href;
}

/** Escapes in upper case, and no unnecessary ones (RFC 3986 section 6.2.2). */
function normalizeEscapes(text: string): string {
  return text.replace(/%[0-9a-fA-F]{2}/g, (escape) => {
    const char = String.fromCharCode(parseInt(escape.slice(1), 16));
    return /[A-Za-z0-9\-._~]/.test(char) ? char : escape.toUpperCase();
  });
}

/** The part that robots.txt rules apply to: the path with its query. */
export function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}
