// The client in a browser: bundled for one, loaded into headless Chromium, over a WebSocket of this process.

import { assertEquals } from "@std/assert";
import { RpcError, Server } from "../server/mod.ts";
import { soon } from "./raw_peer.ts";

const CHROMIUM = "chromium";

/** Whether there is a browser to test with. */
async function installed(): Promise<boolean> {
  try {
    return (await new Deno.Command(CHROMIUM, { args: ["--version"], stdout: "null", stderr: "null" })
      .output()).success;
  } catch {
    return false;
  }
}

const present = await installed();
const skipped = present ? "" : ` [SKIPPED: ${CHROMIUM} is not installed]`;

/** The client and its test as one file for browsers. */
async function bundle(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: ["bundle", "--quiet", "--platform", "browser", "browser_client.ts"],
    cwd: new URL(".", import.meta.url),
  }).output();
  if (!success) throw new Error(`Cannot bundle: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Opens a page in a browser of its own until `done`, and returns what that is. */
async function browse<T>(url: string, done: Promise<T>): Promise<T> {
  const directory = await Deno.makeTempDir();
  const browser = new Deno.Command(CHROMIUM, {
    args: [
      ..."--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync".split(" "),
      "--disable-background-networking",
      "--disable-component-update",
      `--user-data-dir=${directory}`,
      url,
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    return await soon(done, "the browser's report", 30_000);
  } finally {
    browser.kill("SIGKILL");
    await browser.status;
    // Its children may be about to write something.
    await Deno.remove(directory, { recursive: true }).catch(() => {});
  }
}

Deno.test({
  name: `browser: a bundled client calls over ws@${skipped}`,
  ignore: !present,
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
    const seen = await browse(`http://127.0.0.1:${http.addr.port}/`, report.promise);
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
