// The door with Chromium: fetch from pages of the server's own origin and of others, and EventSource.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { Browser, browserPresent, browserSkipped, type Page } from "../support/browser.ts";
import type { Server } from "../../server/mod.ts";
import { web } from "../../web/mod.ts";
import { probeServer } from "./probe.ts";

/** A page at an origin of its own. */
function servePage(): Deno.HttpServer<Deno.NetAddr> {
  const page = () => new Response("<title>page</title>", { headers: { "content-type": "text/html" } });
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, page);
}

function call(url: string, init = ""): string {
  return `fetch("${url}/vectors.v1.Probe/sum", {
    method: "POST",
    headers: { "content-type": "application/json", "connect-timeout-ms": "5000" },
    body: '{"a":1,"b":2}',
    ${init}
  }).then((response) => response.json(), (error) => error.message)`;
}

function testBrowser(
  name: string,
  test: (page: Page, url: string, server: Server) => Promise<void>,
  isAllowed = true,
): void {
  Deno.test({
    name: `web in a browser: ${name}${browserSkipped}`,
    ignore: !browserPresent,
    fn: async () => {
      await using pages = servePage();
      const origin = `http://127.0.0.1:${pages.addr.port}`;
      await using server = probeServer();
      await using http = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen() {} },
        web(server, { cors: isAllowed ? [origin] : [] }),
      );
      await using browser = await Browser.start();
      const page = await browser.open(origin);
      await page.until("document.title === 'page'");
      await test(page, `http://127.0.0.1:${http.addr.port}`, server);
    },
  });
}

testBrowser("a page of an allowed origin calls, and reads errors, trailers and hints", async (page, url) => {
  assertEquals(await page.evaluate(call(url)), { sum: 3 });
  const failed = await page.evaluate(`fetch("${url}/vectors.v1.Probe/fail", {
    method: "POST",
    headers: { "content-type": "application/json", "x-want-trailer": "1" },
    body: '{"code":"unavailable","details":{"retryAfter":1}}',
  }).then(async (response) => [
    response.status, (await response.json()).code, response.headers.get("trailer-x-trail"), response.headers.get("retry-after"),
  ])`);
  assertEquals(failed, [503, "unavailable", "2", "3"]);
});

testBrowser("a page of another origin can neither call nor read", async (page, url) => {
  assertEquals(await page.evaluate(call(url)), "Failed to fetch");
  // Without a preflight, as any page may send it: refused, and so not executed.
  await page.evaluate(`fetch("${url}/vectors.v1.Probe/nothing", { method: "POST", mode: "no-cors" })`);
  await page.evaluate(`navigator.sendBeacon("${url}/vectors.v1.Probe/nothing", new Uint8Array([1]))`);
  await page.evaluate(`new Promise((resolve) => {
    const image = new Image();
    image.onload = image.onerror = resolve;
    image.src = "${url}/vectors.v1.Probe/look?encoding=json&message={}";
  })`);
  const { methods } = (await (await fetch(`${url}/debug/rpc?as=json`)).json()) as {
    methods: { method: string; calls: number }[];
  };
  assertEquals(methods.filter(({ calls }) => calls > 0), []);
}, false);

testBrowser("EventSource receives a stream, and stops at its end", async (page, url, server) => {
  const query = encodeURIComponent('{"service":"vectors.v1.Probe"}');
  await page.evaluate(`globalThis.seen = [];
    globalThis.source = new EventSource("${url}/rpc.Health/watch?message=${query}");
    source.onmessage = ({ data }) => seen.push(data);
    undefined`);
  await page.until("seen.length === 1");
  assertStringIncludes(String(await page.evaluate("seen[0]")), '{"status":"serving"}');
  await server.shutdown();
  await page.until("seen.length === 2");
  assertStringIncludes(String(await page.evaluate("seen[1]")), '{"status":"not_serving"}');
  // It asks once more, and gets 204.
  await page.until("source.readyState === EventSource.CLOSED");
});
