// The registry's web page: services and instances, updated live. A self-contained response under a content
// security policy that allows nothing else.

import { htmlResponse } from "../monitoring/html_page.ts";
import { PAGE_SCRIPT } from "./registry_page_script.ts";
import { PAGE_STYLE } from "./registry_page_style.ts";

const HTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Registry</title>
<link rel="icon" href="data:,">
<style>${PAGE_STYLE}</style>
<header>
  <h1>Registry</h1>
  <p><span id="status" role="status" data-live="no">connecting</span> · revision <b id="revision">–</b></p>
</header>
<form id="token-form" hidden>
  <label>Token <input id="token" type="password" autocomplete="off" required></label>
  <button>Use</button>
</form>
<p id="problem" role="alert" hidden></p>
<h2>Services</h2>
<table>
  <thead><tr><th>Service</th><th class="n">Taking calls</th><th class="n">Paused, draining</th><th class="n">Weight</th></tr></thead>
  <tbody id="services"></tbody>
</table>
<h2>Instances <label class="filter">Filter <input id="filter" type="search"></label></h2>
<div class="wide">
<table>
  <thead><tr><th>Address</th><th>Services</th><th>Version</th><th class="n">Weight</th><th>State</th>
  <th class="n">Age</th><th class="n">Heartbeat</th><th class="n">Lease</th><th>Metadata</th><th></th></tr></thead>
  <tbody id="instances"></tbody>
</table>
</div>
<p id="rest" hidden></p>
<noscript>This page needs JavaScript. <a href="/_rpc_/registry?all">The list as JSON</a></noscript>
<script>${PAGE_SCRIPT}</script>
</html>
`;

/** Responds with the page. It contains no data: its script requests the list as any client does. */
export function answerPage(): Promise<Response> {
  return htmlResponse(HTML, PAGE_SCRIPT, PAGE_STYLE);
}
