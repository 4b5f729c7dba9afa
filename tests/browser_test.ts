// The client in a browser: bundled for one, loaded into headless Chromium, over a WebSocket of this process.

import { assertEquals } from "@std/assert";
import { RpcError, Server } from "../server/mod.ts";
import { Browser, browserPresent, browserSkipped } from "./browser.ts";
import { soon } from "./raw_peer.ts";

/** The client and its test as one file for browsers. */
async function bundle(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: ["bundle", "--quiet", "--platform", "browser", "browser_client.ts"],
    cwd: new URL(".", import.meta.url),
  }).output();
  if (!success) throw new Error(`Cannot bundle: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

Deno.test({
  name: `browser: a bundled client calls over ws@${browserSkipped}`,
  ignore: !browserPresent,
  async fn() {
    await using server = new Server({ authenticate: (token) => token === "from a browser" });
    server.register("Arith", { sum: ({ a, b }: { a: number; b: number }) => a + b });
    server.register("Echo", {
      echo: (value: unknown) => value,
      fail: () => {
        throw new RpcError("not_found", "Nothing here");
      },
      never: () => new Promise(() => {}),
    });
    const script = await bundle();
    const report = Promise.withResolvers<unknown>();
    await using http = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request, info) => {
        switch (new URL(request.url).pathname) {
          case "/":
            return new Response('<!DOCTYPE html><script type="module" src="/client.js"></script>', {
              headers: { "content-type": "text/html" },
            });
          case "/client.js":
            return new Response(script, { headers: { "content-type": "text/javascript" } });
          case "/report":
            report.resolve(await request.json());
            return new Response();
          default:
            return server.fetch(request, info);
        }
      },
    );
    await using browser = await Browser.start();
    await browser.open(`http://127.0.0.1:${http.addr.port}/`);
    const seen = await soon(report.promise, "the browser's report", 30_000);
    assertEquals(seen, {
      deno: false,
      sum: 3,
      many: true,
      large: true,
      failed: ["not_found", "Nothing here"],
      late: "deadline_exceeded",
      json: [1, "x"],
      refused: "unauthenticated",
      plain: "unavailable",
    });
    await server.close();
  },
});
