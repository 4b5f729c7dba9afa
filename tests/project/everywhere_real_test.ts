// The client in headless Chromium (in a page and in a worker), and in Node. Each does everywhere.ts over WebSockets of
// this process, and has to see what a client in Deno sees.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { Browser, browserPresent, browserSkipped } from "../support/browser.ts";
import { bundle } from "../support/bundle.ts";
import { Everywhere, SEEN } from "../support/everywhere_server.ts";
import { Node } from "../support/node.ts";
import { soon } from "../support/waiting.ts";

/** What runs outside of Deno reports. */
interface Report {
  deno: boolean;
  worker?: boolean;
  calls: unknown;
  notDialled: Record<string, string>;
  error?: string;
}

function assertReport({ deno, calls, notDialled, error }: Report, host: string): void {
  assertEquals([error, deno], [undefined, false]);
  assertEquals(calls, SEEN);
  assertEquals(notDialled, {
    tcp: `Cannot connect to tcp@${host}: only Deno can dial tcp@; use ws@ or wss@, which ` +
      "Deno.serve(server.fetch) accepts",
    unix: "Cannot connect to unix@/run/app.sock: only Deno can dial unix@; use ws@ or wss@, which " +
      "Deno.serve(server.fetch) accepts",
    wss: `Cannot connect to wss@${host}: the option tls requires Deno; elsewhere the runtime decides which ` +
      "authorities to trust, Node by NODE_EXTRA_CA_CERTS",
  });
}

for (const place of ["page", "worker"]) {
  Deno.test({
    name: `everywhere: a client in a browser, in a ${place}${browserSkipped}`,
    ignore: !browserPresent,
    async fn() {
      const script = await bundle("everywhere_browser.ts");
      const report = Promise.withResolvers<Report>();
      await using served: Everywhere = new Everywhere(async (request) => {
        const src = `/client.js?registry=${encodeURIComponent(served.registry)}`;
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
      });
      await served.list();
      await using browser = await Browser.start();
      await browser.open(`http://${served.host}/${place}`);
      const seen = await soon(report.promise, "the browser's report", 30_000);
      assertReport(seen, served.host);
      assertEquals(seen.worker, place === "worker");
    },
  });
}

function html(text: string): Response {
  return new Response(`<!DOCTYPE html>${text}`, { headers: { "content-type": "text/html" } });
}

const node = await Node.find();

Deno.test({
  name: `everywhere: a client in Node${node.skipped}`,
  ignore: !node.present,
  async fn() {
    await using served = new Everywhere();
    await served.list();
    const script = await bundle("everywhere_node.ts");
    const { code, stdout, stderr } = await node.run(script, [served.host, served.registry]);
    assertEquals([code, stderr.replace(/^.*(?:Experimental|Use `node).*\n/gm, "")], [0, ""]);
    assertReport(JSON.parse(stdout), served.host);
  },
});

Deno.test({
  name: `everywhere: the error in Node without WebSockets says how to enable them${node.skipped}`,
  ignore: !node.present,
  async fn() {
    const script = await bundle("everywhere_node.ts");
    const { stdout } = await node.run(`delete globalThis.WebSocket;\n${script}`, ["127.0.0.1:1"], []);
    assertStringIncludes(
      JSON.parse(stdout).missing,
      "Cannot connect to ws@127.0.0.1:1: this runtime has no WebSocket; with Node 20 start it as " +
        "node --experimental-websocket, or set globalThis.WebSocket",
    );
  },
});
