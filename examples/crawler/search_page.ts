// The search page over the stored pages. Its content is untrusted: everything is escaped and no script may
// run. Served by the saver.

import type { Found } from "./contract.ts";
import type { Store } from "./store.ts";

const PER_PAGE = 20;
const MAX_QUERY = 200;
const MAX_PAGE = 500;

const STYLE = `
  :root { color-scheme: light dark }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
  input { font: inherit; width: 70%; padding: .3rem; } button { font: inherit; padding: .3rem 1rem; }
  li { margin: 1rem 0; } cite { color: light-dark(#375, #8c9); font-style: normal; overflow-wrap: anywhere; }
`;
const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/** Handles `/?q=WORDS&page=N`. */
export function searchPage(store: Store, request: Request): Response {
  // Deno joins Host and path, so a Host with a path, query or fragment would change both.
  const url = /[/?#\\]/.test(request.headers.get("host") ?? "") ? null : URL.parse(request.url);
  if (url === null) return refuse(400, "The header Host is invalid");
  const { pathname, searchParams } = url;
  if (pathname !== "/") return refuse(404, "Not found: the search is at /");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return refuse(405, "Method not allowed: expected GET");
  }
  const query = (searchParams.get("q") ?? "").trim();
  if (query.length > MAX_QUERY) return refuse(400, `The query may have at most ${MAX_QUERY} characters`);
  const page = Number(searchParams.get("page") ?? "1");
  if (!Number.isInteger(page) || page < 1 || page > MAX_PAGE) {
    return refuse(400, `page: expected a whole number from 1 to ${MAX_PAGE}`);
  }
  const found = store.search(query, PER_PAGE + 1, (page - 1) * PER_PAGE);
  return new Response(render(query, page, found, store), { headers: HEADERS });
}

function refuse(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

function render(query: string, page: number, found: readonly Found[], store: Store): string {
  const link = (to: number, text: string) => {
    const url = `/?${new URLSearchParams({ q: query, page: String(to) })}`;
    return `<a href="${escape(url)}">${text}</a>`;
  };
  const navigation = [
    page > 1 ? link(page - 1, "previous") : "",
    found.length > PER_PAGE ? link(page + 1, "next") : "",
  ];
  const emptyMessage = query === "" ? "No pages are stored yet" : "No page contains all of these words";
  return `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${query === "" ? "" : `${escape(query)} · `}Crawler search</title><style>${STYLE}</style>
<form><input name="q" value="${
    escape(query)
  }" autofocus maxlength="${MAX_QUERY}"> <button>Search</button></form>
<p>${
    query === ""
      ? `${pages(store.count())} stored, the latest first`
      : `${pages(store.matches(query))} of ${store.count()} found`
  }</p>
<ol start="${(page - 1) * PER_PAGE + 1}">${found.slice(0, PER_PAGE).map(item).join("\n")}</ol>
${found.length === 0 ? `<p>${emptyMessage}.</p>` : ""}<p>${navigation.join(" ")}</p>
</html>
`;
}

function pages(count: number): string {
  return `${count} ${count === 1 ? "page" : "pages"}`;
}

function item({ url, title, snippet }: Found): string {
  const marked = escape(snippet).replaceAll("\u0002", "<mark>").replaceAll("\u0003", "</mark>");
  return `<li><a href="${escape(url)}" rel="noreferrer nofollow">${
    escape(title || url)
  }</a><br>${marked}<br><cite>${escape(url)}</cite></li>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
