// The client in headless Chromium (in a page and in a worker), in Node and in Bun. Each runs everywhere.ts against servers of this
// process, and has to see what a client in Deno sees.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, RpcError } from "../../client/mod.ts";
import { Browser, browserSkipped } from "../support/browser.ts";
import { bundle } from "../support/bundle.ts";
import { pem } from "../support/certs.ts";
import { EverywhereServer, SEEN } from "../support/everywhere_server.ts";
import { seenBy, seenOf, TRANSPORTS } from "../support/everywhere_run.ts";
import { firefoxSkipped, visitWithFirefox } from "../support/firefox.ts";
import { Program } from "../support/node.ts";
import { soon } from "../support/waiting.ts";

/** What a browser reports. */
interface Report {
  deno: boolean;
  worker?: boolean;
  calls: unknown;
  notDialed: Record<string, string>;
  error?: string;
}

function assertReport({ deno, calls, notDialed, error }: Report, host: string): void {
  assertEquals([error, deno], [undefined, false]);
  assertEquals(calls, SEEN);
  const advice = "use ws@ or wss@, which Deno.serve(server.fetch) accepts";
  assertEquals(notDialed, {
    tcp: `Cannot connect to tcp@${host}: only Deno, Node and Bun can dial tcp@; ${advice}`,
    unix: `Cannot connect to unix@/run/app.sock: only Deno, Node and Bun can dial unix@; ${advice}`,
    wss:
      `Cannot connect to wss@${host}: the option tls is not possible for wss@ in this runtime, which decides itself ` +
      "which authorities to trust; Node reads NODE_EXTRA_CA_CERTS",
  });
}

/** Opens pages of the scenario in browsers. */
const BROWSERS = [
  { name: "Chromium, in a page", path: "page", skipped: browserSkipped, visit: visitWithChromium },
  { name: "Chromium, in a worker", path: "worker", skipped: browserSkipped, visit: visitWithChromium },
  { name: "Firefox, in a page", path: "page", skipped: firefoxSkipped, visit: visitWithFirefox },
];

async function visitWithChromium(url: string): Promise<AsyncDisposable> {
  const browser = await Browser.start();
  await browser.open(url);
  return browser;
}

for (const { name, path, skipped, visit } of BROWSERS) {
  Deno.test({
    name: `everywhere: a client in ${name}${skipped}`,
    ignore: skipped !== "",
    async fn() {
      const script = await bundle("everywhere_browser.ts");
      const report = Promise.withResolvers<Report>();
      await using served: EverywhereServer = await EverywhereServer.start({ pages: respond });
      async function respond(request: Request): Promise<Response | undefined> {
        const src = `/client.js?where=${encodeURIComponent(JSON.stringify(served.where))}`;
        switch (new URL(request.url).pathname) {
          case "/page":
            return html(`<script type="module" src="${src}"></script>`);
          case "/worker":
            return html(`<script>new Worker("${src}", { type: "module" })</script>`);
          case "/client.js":
            return new Response(script, { headers: { "content-type": "text/javascript" } });
          case "/report":
            report.resolve(await request.json());
            return new Response();
          default:
            return undefined;
        }
      }
      await using _ = await visit(`http://${served.where.host}/${path}`);
      const seen = await soon(report.promise, "the browser's report");
      assertReport(seen, served.where.host);
      assertEquals(seen.worker, path === "worker");
    },
  });
}

function html(text: string): Response {
  return new Response(`<!DOCTYPE html>${text}`, { headers: { "content-type": "text/html" } });
}

const [node, servingNode, bun] = [await Program.node(), await Program.servingNode(), await Program.bun()];

const ALL = Object.fromEntries(TRANSPORTS.map((each) => [each, SEEN]));

for (const [name, runtime] of Object.entries({ Node: node, Bun: bun })) {
  Deno.test({
    name: `everywhere: a client in ${name}, over every transport${runtime.skipped}`,
    ignore: !runtime.present,
    async fn() {
      await using served = await EverywhereServer.start({ unix: true });
      assertEquals(await seenBy(runtime, served), ALL);
    },
  });
}

for (const [name, runtime] of Object.entries({ Node: servingNode, Bun: bun })) {
  Deno.test({
    name:
      `everywhere: a server in ${name}, over every transport; its fetch refuses WebSockets${runtime.skipped}`,
    ignore: !runtime.present,
    async fn() {
      const seen = await seenOf(runtime, async ({ web }) => {
        const response = await fetch(`${web}/elsewhere`);
        assertEquals([response.status, await response.text()], [
          404,
          "Nothing is served at /elsewhere; see /debug/rpc\n",
        ]);
        const refused = await assertRejects(() => connect(web.replace("http://", "ws@")), RpcError);
        assertStringIncludes(refused.message, "in Node and Bun, server.fetch opens no WebSockets");
      });
      assertEquals(seen, ALL);
    },
  });

  Deno.test({
    name: `everywhere: a server in ${name} requires a valid client certificate${runtime.skipped}`,
    ignore: !runtime.present,
    async fn() {
      const script = await bundle("everywhere_mutual_tls.ts");
      const { stdout } = await runtime.run(script, [JSON.stringify(await allPems())]);
      assertEquals(JSON.parse(stdout), {
        none: "unavailable",
        client: "URI:spiffe://example.org/alice",
        client_expired: "unavailable",
        client_early: "unavailable",
        client_self: "unavailable",
        client_twin: "unavailable",
        client_server: "unavailable",
        elsewhere: "unavailable",
        again: "URI:spiffe://example.org/alice",
        "unknown server": "unavailable",
        "other name": "unavailable",
        calls: 2,
      });
    },
  });
}

Deno.test({
  name: `everywhere: the error in Node without WebSockets says how to enable them${node.skipped}`,
  ignore: !node.present,
  async fn() {
    const script = await bundle("everywhere_node.ts");
    const where = { host: "127.0.0.1:1", registry: "http://127.0.0.1:1", addresses: [], ca: "" };
    const { stdout } = await node.run(`delete globalThis.WebSocket;\n${script}`, [
      JSON.stringify(where),
      "ws",
    ]);
    assertStringIncludes(
      JSON.parse(stdout).ws,
      "Cannot connect to ws@127.0.0.1:1: this runtime has no WebSocket; with Node 20 start it as " +
        "node --experimental-websocket, or set globalThis.WebSocket",
    );
  },
});

/** The certificates and keys of `certs/` by file name. */
async function allPems(): Promise<Record<string, string>> {
  const pems: Record<string, string> = {};
  for await (const { name } of Deno.readDir(new URL("../certs", import.meta.url))) {
    if (!name.endsWith(".sh")) pems[name] = pem(name);
  }
  return pems;
}
