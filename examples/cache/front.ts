// The HTTP interface of a peer: values at /api, statistics at /stats, and a web page of them at /. Passed to
// Deno.serve by node.ts.

import { type Code, RpcError } from "@troodon/rpc";
import { checkKey } from "./contract.ts";
import type { Group, GroupStats, Lookup, Source } from "./group.ts";

/** The sources of the statistics. */
export interface StatsSources {
  /** This peer's address. */
  readonly self: string;
  readonly groups: ReadonlyMap<string, Group>;
  /** The peers on the ring. */
  peers(): readonly { address: string; state: string }[];
}

/** HTTP statuses of errors; others are 502, because the getter failed, not this program. */
const STATUS: ReadonlyMap<Code, number> = new Map<Code, number>([
  ["not_found", 404],
  ["invalid_argument", 400],
  ["unavailable", 503],
  ["resource_exhausted", 503],
  ["deadline_exceeded", 503],
]);

/** Maximum characters of untrusted input quoted in a message. */
const MAX_QUOTED = 64;

/** Created once, so that cache hits are fast. */
const HEADERS: Readonly<Record<Source, [string, string][]>> = {
  main: valueHeaders("main"),
  hot: valueHeaders("hot"),
  peer: valueHeaders("peer"),
  getter: valueHeaders("getter"),
};

function valueHeaders(from: Source): [string, string][] {
  return [["content-type", "application/octet-stream"], ["x-content-type-options", "nosniff"], [
    "x-cache",
    from,
  ]];
}

/** Creates the request handler. */
export function front(sources: StatsSources): (request: Request) => Response | Promise<Response> {
  return (request) => {
    const { method, url, headers } = request;
    // Deno joins Host and path, so a Host with a path, query or fragment would change both.
    if (/[/?#\\]/.test(headers.get("host") ?? "")) {
      return refuse(400, "invalid_argument", "Cannot read the header Host: expected HOST or HOST:PORT");
    }
    const [path, query] = split(url);
    if (path !== "/api" && path !== "/stats" && path !== "/") {
      return refuse(
        404,
        "not_found",
        "Cannot find this page: the pages are /, /stats and /api?group=GROUP&key=KEY",
      );
    }
    if (method !== "GET" && method !== "HEAD") {
      return refuse(405, "unimplemented", "Cannot use this method: expected GET", { allow: "GET, HEAD" });
    }
    if (path === "/api") return answerValue(sources.groups, new URLSearchParams(query));
    return path === "/stats" ? answerStats(sources) : answerPage(sources);
  };
}

/**
 * The path and the query of an absolute URL. The URL parser would take longer than the rest of a cache hit.
 */
function split(url: string): [path: string, query: string] {
  const begin = url.indexOf("/", url.indexOf("://") + 3);
  const mark = url.indexOf("?", begin);
  return mark < 0 ? [url.slice(begin), ""] : [url.slice(begin, mark), url.slice(mark + 1)];
}

function answerValue(
  groups: ReadonlyMap<string, Group>,
  query: URLSearchParams,
): Response | Promise<Response> {
  const name = query.get("group") ?? "";
  const group = groups.get(name);
  if (group === undefined) {
    const known = [...groups.keys()].join(", ");
    if (name === "") {
      return refuse(
        400,
        "invalid_argument",
        `Cannot look up a value without a group: expected one of ${known}`,
      );
    }
    return refuse(404, "not_found", `Cannot find the group ${quote(name)}: the groups are ${known}`);
  }
  try {
    const got = group.get(checkKey(query.get("key")));
    return got instanceof Promise ? got.then(answerGot, answerError) : answerGot(got);
  } catch (error) {
    return answerError(error);
  }
}

function answerGot({ value, from }: Lookup): Response {
  return new Response(value, { headers: HEADERS[from] });
}

function answerError(error: unknown): Response {
  if (!(error instanceof RpcError)) throw error;
  const status = STATUS.get(error.code) ?? 502;
  return refuse(status, error.code, error.message, status === 503 ? { "retry-after": "1" } : {});
}

function refuse(status: number, code: Code, message: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ error: { code, message } }) + "\n", {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...headers,
    },
  });
}

function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}

function answerStats({ self, groups, peers }: StatsSources): Response {
  const figures = Object.fromEntries([...groups].map(([name, group]) => [name, group.stats()]));
  const text = JSON.stringify({ self, peers: peers(), groups: figures }) + "\n";
  return new Response(text, { headers: { "content-type": "application/json", "cache-control": "no-store" } });
}

const COLUMNS: readonly [name: keyof GroupStats, title: string][] = [
  ["gets", "Gets"],
  ["mainHits", "Hits, own keys"],
  ["hotHits", "Hits, other keys"],
  ["misses", "Misses"],
  ["loads", "Loads"],
  ["loadErrors", "Load errors"],
  ["peerFetches", "From peers"],
  ["peerFailures", "Unreachable peers"],
  ["served", "Served to peers"],
  ["entries", "Entries"],
  ["bytes", "Size"],
  ["maxBytes", "Maximum size"],
  ["evicted", "Evicted"],
];

const counts = new Intl.NumberFormat("en");

/** A size with a binary unit and three digits, such as 1.25 MiB. */
function bytesText(bytes: number): string {
  const unit = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 3);
  if (unit === 0) return `${bytes} B`;
  return `${(bytes / 2 ** (10 * unit)).toPrecision(3)} ${["KiB", "MiB", "GiB"][unit - 1]}`;
}

function answerPage({ self, groups, peers }: StatsSources): Response {
  const rows = [...groups].map(([name, group]) => {
    const stats = group.stats();
    const shown = (column: keyof GroupStats) =>
      column.endsWith("ytes") ? bytesText(stats[column]) : counts.format(stats[column]);
    return row([name, ...COLUMNS.map(([column]) => shown(column))]);
  });
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="2">
<title>Cache at ${escape(self)}</title>
<style>
  :root { color-scheme: light dark }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
  table { border-collapse: collapse }
  th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums }
  th:first-child, td:first-child { text-align: left }
  td { white-space: nowrap }
  .wide { overflow-x: auto }
</style>
<h1>Cache at ${escape(self)}</h1>
<h2>Groups</h2>
<div class="wide"><table>
<thead><tr><th>Group</th>${COLUMNS.map(([, title]) => `<th>${escape(title)}</th>`).join("")}</tr></thead>
<tbody>
${rows.join("")}</tbody>
</table></div>
<h2>Peers</h2>
<div class="wide"><table>
<thead><tr><th>Address</th><th>Connection</th></tr></thead>
<tbody>
${peers().map(({ address, state }) => row([address, state])).join("")}</tbody>
</table></div>
<p><a href="/stats">As JSON</a></p>
</html>
`;
  return new Response(html, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    },
  });
}

function row(cells: readonly string[]): string {
  return `<tr>${cells.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>\n`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
