// The page at /debug/rpc as one HTML document with its style and its script. Loaded by Monitoring when it is asked for.

import { pageOf } from "./debug_page.ts";
import { htmlHeaders } from "./html_page.ts";
import { PAGE_SCRIPT } from "./page_script.ts";
import { PAGE_STYLE } from "./page_style.ts";
import { toHtml } from "./page_tree.ts";
import type { ServerSnapshot, ServerStats } from "./server_stats.ts";

export { pageOf };

/** The headers that the document is sent with. */
export function documentHeaders(): Promise<Record<string, string>> {
  return htmlHeaders(PAGE_SCRIPT, PAGE_STYLE);
}

/** The page as a document, which its script keeps up to date. */
export function documentOf(stats: ServerStats | ServerSnapshot): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>RPC server</title>
<link rel="icon" href="data:,">
<style>${PAGE_STYLE}</style>
<header>
  <h1>RPC server</h1>
  <p><span id="status" role="status" data-live="no"></span></p>
  <button id="pause" type="button" aria-pressed="false" hidden>Pause</button>
  <p><a href="?as=json">JSON</a> · <a href="../metrics">Metrics</a></p>
</header>
<noscript><p class="rest">As it was when this page was loaded. <a href="">Load it again</a></p></noscript>
${toHtml(pageOf(stats))}
<script>${PAGE_SCRIPT}</script>
</html>
`;
}
