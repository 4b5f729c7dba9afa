// The client in Deno, over every transport, and its bundle for browsers. everywhere_real_test.ts does the same in Chromium, Node and
// Bun.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { bundle } from "../support/bundle.ts";
import { Everywhere } from "../support/everywhere.ts";
import { EverywhereServer, SEEN } from "../support/everywhere_server.ts";

for (const transport of ["ws", "tcp", "tls", "http", ...Deno.build.os === "windows" ? [] : ["unix"]]) {
  Deno.test(`everywhere: a client in Deno over ${transport}@`, async () => {
    await using served = await EverywhereServer.start({ unix: transport === "unix" });
    assertEquals(await new Everywhere(connect, served.where, transport).run(), SEEN);
  });
}

/** What the client loads when an option needs it: bundlers that split code put it into files of its own. */
const ON_DEMAND = ["client_services", "observers", "create_balancer", "table", "http", "session_pool"];

Deno.test("everywhere: bundled for browsers, the client is small and asks for no Deno when it is loaded", async () => {
  const onDemand = ON_DEMAND.map((name) => `*/${name}.ts`);
  const script = await bundle("../../client/browser.ts", "--minify", "--external", ...onDemand);
  const gzipped = new Blob([script]).stream().pipeThrough(new CompressionStream("gzip"));
  const { byteLength } = await new Response(gzipped).arrayBuffer();
  assert(byteLength < 54_000, `${byteLength} bytes with gzip`);
  // Bundlers look for modules that are imported by name, and find no node:net for a browser. A message names "ws".
  assert(!/(?:^|[;\n])import[\s{*"]|\bimport\(["'`](?!\.|ws"\)\))/.test(script), "it imports something");
  const imported = Array.from(script.matchAll(/\bimport\("[^"]+\/(\w+)\.ts"\)/g), ([, name]) => name!);
  assertEquals(imported.toSorted(), ON_DEMAND.toSorted());
  assert(!/resolveDns|refreshInterval/.test(script), "it contains the discovery by DNS");
  // Loading it fails if anything of these is asked for on the way.
  const names = "const { Deno, process, Buffer, require, window, document, self } = {};";
  const loaded = await import(
    `data:text/javascript,${encodeURIComponent(`${names}\n${script}`)}`
  );
  assertEquals(typeof loaded.connect, "function");
});
