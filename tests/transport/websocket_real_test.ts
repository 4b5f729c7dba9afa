// WebSockets with peers and proxies that are not ours: Python's websockets, Node, Chromium, Firefox, nginx and HAProxy, and
// large messages over a slow line in each runtime. Each test is skipped, which its name says, where its part is missing.

import { assertEquals } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { Server } from "../../server/mod.ts";
import { dialWebSocketConn } from "../../transport/websocket_dial.ts";
import { Browser, browserPresent, browserSkipped } from "../support/browser.ts";
import { ALL_ANSWERED, bulk } from "../support/bulk.ts";
import { bundle } from "../support/bundle.ts";
import { firefoxSkipped, visitWithFirefox } from "../support/firefox.ts";
import { Program } from "../support/node.ts";
import { proxiesPresent, Proxy, type ProxyKind } from "../support/proxy_process.ts";
import { seeded } from "../support/random.ts";
import { SlowLine } from "../support/slow_line.ts";
import { soon } from "../support/waiting.ts";

/** Bytes a second. */
const SLOW = 8_000_000;
/** How long a runtime may take with its calls over a slow line, in ms. */
const PATIENCE = 60_000;

/** A command by `sh`, which finds Debian's Python although another one may come first. */
function command(...args: string[]): Deno.Command {
  return new Deno.Command("sh", {
    args: ["-c", 'PATH="/usr/bin:$PATH" exec "$@"', "sh", ...args],
    stdout: "piped",
    stderr: "null",
  });
}

async function works(...args: string[]): Promise<boolean> {
  return Deno.build.os !== "windows" && (await command(...args).output()).success;
}

/** A server that echoes, on an HTTP port. */
async function open() {
  const server = new Server({ origins: "*" }).register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("http@127.0.0.1:0");
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  return { server, port, [Symbol.asyncDispose]: () => server.close() };
}

const python = await works("python3", "-c", "import websockets");
const pythonSkipped = python ? "" : " [SKIPPED: Python's websockets is not installed]";
const PEER = new URL("../support/websocket_peer.py", import.meta.url).pathname;

Deno.test({
  name: `websocket: Python's websockets echoes what a client of this library sends${pythonSkipped}`,
  ignore: !python,
  async fn() {
    const process = command("python3", PEER, "serve").spawn();
    const output = process.stdout.getReader();
    try {
      const port = Number(new TextDecoder().decode((await soon(output.read(), "its port")).value));
      const address = { transport: "ws", hostname: "127.0.0.1", port, path: "/" } as const;
      const conn = await dialWebSocketConn(address, {}, 1_048_576, new AbortController().signal);
      const random = seeded(5);
      const sent = new Uint8Array(3_000_000).map(() => random() * 256);
      const writing = (async () => {
        for (let at = 0; at < sent.length;) {
          at += await conn.write(sent.subarray(at, at + 1 + Math.floor(random() * 100_000)));
        }
      })();
      const got = new Uint8Array(sent.length);
      for (let at = 0; at < got.length;) at += (await soon(conn.read(got.subarray(at)), "the echo"))!;
      await writing;
      assertEquals(got, sent);
      await conn.closeWrite();
      assertEquals(await soon(conn.read(got), "the answer to Close"), null);
      conn.close();
    } finally {
      process.kill("SIGTERM");
      await process.status;
      await output.cancel();
    }
  },
});

Deno.test({
  name: `websocket: Python's websockets reaches a server of this library${pythonSkipped}`,
  ignore: !python,
  async fn() {
    await using at = await open();
    const { stdout } = await soon(command("python3", PEER, "client", `${at.port}`).output(), "its report");
    const pong = [0x5a, 0, 0, 0, 3, 0x82, 9, 7];
    assertEquals(JSON.parse(new TextDecoder().decode(stdout)), { version: 1, pong, closed: 1000 });
  },
});

const TIMEOUTS = "timeout tunnel 1m";
const UPGRADE =
  "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
const PROXIES: ProxyKind[] = [
  { command: "nginx", settings: UPGRADE },
  { command: "haproxy", settings: TIMEOUTS },
];

for (const kind of PROXIES) {
  const present = proxiesPresent[kind.command];
  Deno.test({
    name: `websocket: behind ${kind.command}, calls go through${present ? "" : " [SKIPPED: not installed]"}`,
    ignore: !present,
    async fn() {
      await using at = await open();
      await using proxy = await Proxy.start(kind, at.port);
      await using client = await connect(proxy.url.replace("http://", "ws@"));
      assertEquals(await client.call("Echo.echo", { a: 1 }), { a: 1 });
      const large = new Uint8Array(3_000_000).fill(7);
      assertEquals(await client.call("Echo.echo", large), large);
      assertEquals(await bulk(proxy.url.replace("http://", "ws@")), ALL_ANSWERED);
    },
  });
}

/** Runs bulk.ts in one runtime. */
interface Runtime {
  readonly name: string;
  readonly skipped: string;
  run(address: string): Promise<unknown>;
}

/** Serves a page that runs the bundle, and waits for its report. */
async function inPage(address: string, visit: (url: string) => Promise<AsyncDisposable>): Promise<unknown> {
  const script = await bundle("bulk_client.ts");
  const report = Promise.withResolvers<unknown>();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/client.js") {
      return new Response(script, { headers: { "content-type": "text/javascript" } });
    }
    if (pathname === "/report") report.resolve(await request.json());
    const src = `/client.js?address=${encodeURIComponent(address)}`;
    return new Response(`<!DOCTYPE html><script type="module" src="${src}"></script>`, {
      headers: { "content-type": "text/html" },
    });
  });
  await using _ = await visit(`http://127.0.0.1:${web.addr.port}/`);
  return await soon(report.promise, "the page's report", PATIENCE);
}

const node = await Program.node();
const RUNTIMES: Runtime[] = [
  { name: "Deno", skipped: "", run: bulk },
  {
    name: "Node",
    skipped: node.skipped,
    run: async (address) => JSON.parse((await node.run(await bundle("bulk_client.ts"), [address])).stdout),
  },
  {
    name: "Chromium",
    skipped: browserPresent ? "" : browserSkipped,
    run: (address) =>
      inPage(address, async (url) => {
        const browser = await Browser.start();
        await browser.open(url);
        return browser;
      }),
  },
  {
    name: "Firefox",
    skipped: firefoxSkipped,
    run: (address) => inPage(address, visitWithFirefox),
  },
];

for (const { name, skipped, run } of RUNTIMES) {
  for (const kind of ["an http@ listener", "Deno.serve"]) {
    Deno.test({
      name: `websocket: ${name} gets all large answers of ${kind} over a slow line${skipped}`,
      ignore: skipped !== "",
      async fn() {
        await using at = await open();
        await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, at.server.fetch);
        await using line = new SlowLine(kind === "Deno.serve" ? web.addr.port : at.port, SLOW);
        assertEquals(await run(`ws@127.0.0.1:${line.port}`), ALL_ANSWERED);
        await at.server.close();
      },
    });
  }
}
