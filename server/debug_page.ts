// The page at /debug/rpc: services, methods, counts, errors, calls in flight and latencies, for people in a browser and
// as JSON for programs. Read-only; shows names and figures, never arguments.

import type { MethodStats } from "../call/stats.ts";
import type { ServerStats } from "./stats.ts";

/** Where the page is. */
export const DEBUG_PATH = "/debug/rpc";

const HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
};

/** Answers a request for the page. */
export function debugPage(request: Request, stats: ServerStats): Response {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("The page is read-only\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  if (request.headers.get("accept")?.includes("application/json")) {
    return Response.json(stats, { headers: HEADERS });
  }
  return new Response(html(stats), { headers: { ...HEADERS, "content-type": "text/html; charset=utf-8" } });
}

function html({ connections, accepted, refused, inFlight, limits, methods }: ServerStats): string {
  const met = Object.entries(limits).filter(([, count]) => count > 0);
  const services = Map.groupBy(methods, ({ method }) => method.slice(0, method.lastIndexOf(".")));
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>RPC services</title>
<style>
  :root { color-scheme: light dark }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums }
  th { font-weight: 600 } th:first-child, td:first-child { text-align: left }
</style>
<h1>RPC services</h1>
<p>${connections} connections, ${inFlight} calls in flight; ${accepted} connections accepted, ${refused} refused.</p>
<p>Limits met: ${met.map(([limit, count]) => `${limit} ${count}`).join(", ") || "none"}.</p>
${[...services].map(([service, methods]) => serviceTable(service, methods)).join("")}</html>
`;
}

function serviceTable(service: string, methods: MethodStats[]): string {
  const rows = methods.map(({ method, calls, errors, inFlight, latency }) => {
    const name = escape(method.slice(service.length + 1));
    const times = [latency.mean, latency.p50, latency.p99, latency.max].map((ms) => ms.toFixed(3));
    return `<tr><td>${[name, calls, errors, inFlight, ...times].join("</td><td>")}</td></tr>\n`;
  });
  return `<h2>${escape(service)}</h2>
<table>
<thead><tr><th>Method</th><th>Calls</th><th>Errors</th><th>In flight</th>
<th>Mean ms</th><th>p50 ms</th><th>p99 ms</th><th>Max ms</th></tr></thead>
<tbody>
${rows.join("")}</tbody>
</table>
`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
