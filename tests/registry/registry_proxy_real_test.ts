// A registry with a proxy before it, as the table in docs/REGISTRY.md has them: how clients hear of changes, long lists,
// registering, and the buttons of its page.

import { assertEquals } from "@std/assert";
import { RegistryDiscovery } from "../../discovery/registry_discovery.ts";
import { announce } from "../../registry/announce.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import { Browser, browserPresent, browserSkipped } from "../support/browser.ts";
import { readText, tableOf } from "../support/markdown.ts";
import { proxiesPresent, Proxy, type ProxyKind } from "../support/proxy_process.ts";
import { until } from "../support/waiting.ts";

const A = "tcp@10.0.0.1:1";
const B = "tcp@10.0.0.2:1";

/** The rows of the table: what is in front, its settings, and how clients hear of changes. */
const ROWS: readonly [command: ProxyKind["command"], settings: string, by: "stream" | "polling"][] = [
  ["nginx", "", "stream"],
  ["nginx", "gzip on; gzip_types *; gzip_proxied any;", "stream"],
  ["nginx", "proxy_ignore_headers X-Accel-Buffering;", "polling"],
  ["caddy", "", "stream"],
  ["caddy", "encode gzip", "stream"],
  ["haproxy", "", "stream"],
  ["haproxy", "compression algo gzip", "stream"],
];
const NAMES = { nginx: "nginx", caddy: "Caddy", haproxy: "HAProxy" };

function skipped(command: ProxyKind["command"]): string {
  return proxiesPresent[command] ? "" : ` [SKIPPED: ${command} cannot be run]`;
}

/** A registry and a proxy before it. */
async function open(kind: ProxyKind) {
  const store = new MemoryStore();
  const registry = new Registry({ store });
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const proxy = await Proxy.start(kind, http.addr.port);
  return {
    store,
    url: proxy.url,
    async [Symbol.asyncDispose]() {
      await registry.close();
      await proxy[Symbol.asyncDispose]();
      await http.shutdown();
    },
  };
}

Deno.test("REGISTRY.md: its table of proxies has those that are tested", () => {
  const tested = ROWS.map(([command, settings, by]) => [
    NAMES[command],
    settings === "" ? "none" : `\`${settings}\``,
    by === "stream" ? "at once, by the stream" : "each `refreshInterval`, by polling",
  ]);
  assertEquals(tableOf(readText("docs/REGISTRY.md"), "in front"), tested);
});

for (const [command, settings, by] of ROWS) {
  const name = `registry behind ${NAMES[command]}${settings === "" ? "" : ` with ${settings}`}`;
  Deno.test({
    name: `${name}: lists, changes, heartbeats and the page's buttons get through${skipped(command)}`,
    ignore: !proxiesPresent[command],
    async fn() {
      await using behind = await open({ command, settings });
      const { store, url } = behind;
      await store.grant({ address: A }, 0);
      // Of a stream the test hears in time only if it is the stream that brings the change.
      const refreshInterval = by === "stream" ? 600_000 : 100;
      const discovery = new RegistryDiscovery(url, { refreshInterval, timeout: 1_000 });
      const stop = new AbortController();
      let seen = "";
      const watching = (async () => {
        for await (const list of discovery.watch({ signal: stop.signal })) {
          seen = list.map(({ address }) => address).join();
        }
      })();
      await until(() => seen === A, "the first list");
      await using registration = await announce(url, { address: B });
      await until(() => seen === `${A},${B}`, "the change");
      assertEquals(discovery.failure, undefined);
      await registration.close();
      await until(() => seen === A, "the server to be gone");
      stop.abort();
      await watching;

      const pause = await fetch(`${url}/_rpc_/registry?address=${A}&state=paused`, {
        method: "POST",
        // As a browser sends it for a page that came from the proxy, here over HTTPS.
        headers: { origin: "https://registry.example", "sec-fetch-site": "same-origin" },
      });
      assertEquals([pause.status, (await pause.json()).state], [200, "paused"]);

      // A header of all these addresses would have 6 KiB, more than nginx takes.
      for (let i = 0; i < 150; i++) {
        await store.grant({ address: `tcp@registry-${i}.cluster.example:10000` }, 0);
      }
      const list = await fetch(`${url}/_rpc_/registry`);
      assertEquals([list.status, (await list.json()).servers.length], [200, 150]);
    },
  });
}

Deno.test({
  name: `registry behind nginx: the page works in a browser${browserSkipped}${skipped("nginx")}`,
  ignore: !browserPresent || !proxiesPresent.nginx,
  async fn() {
    await using behind = await open({ command: "nginx" });
    await behind.store.grant({ address: A }, 0);
    await using browser = await Browser.start();
    const page = await browser.open(`${behind.url}/`);
    await page.until(`document.querySelectorAll("#instances tr").length === 1`);
    await page.evaluate(`document.querySelector("#instances button").click()`);
    await page.until(`document.querySelectorAll("tr[data-state=paused]").length === 1`);
    assertEquals(page.complaints, []);
  },
});
