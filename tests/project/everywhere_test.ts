// The client in Deno, over WebSockets of this process, and its bundle for browsers. everywhere_real_test.ts does the same in
// Chromium and in Node.

import { assert, assertEquals } from "@std/assert";
import { bundle } from "../support/bundle.ts";
import { everywhere } from "../support/everywhere.ts";
import { Everywhere, SEEN } from "../support/everywhere_server.ts";

Deno.test("everywhere: a client in Deno", async () => {
  await using served = new Everywhere();
  await served.list();
  assertEquals(await everywhere(served), SEEN);
});

Deno.test("everywhere: bundled for browsers, the client is small and asks for no Deno when it is loaded", async () => {
  const script = await bundle("../../client/mod.ts", "--minify");
  const gzipped = new Blob([script]).stream().pipeThrough(new CompressionStream("gzip"));
  const { byteLength } = await new Response(gzipped).arrayBuffer();
  assert(byteLength < 60_000, `${byteLength} bytes with gzip`);
  // Bundlers look for modules that are imported by name, and find no node:net for a browser. A message names "ws".
  assert(!/(?:^|[;\n])import[\s{*"]|\bimport\(["'`](?!ws"\)\))/.test(script), "it imports something");
  assert(!/resolveDns|refreshInterval/.test(script), "it contains the discovery by DNS");
  // Loading it fails if anything of these is asked for on the way.
  const names = "const { Deno, process, Buffer, require, window, document, self } = {};";
  const loaded = await import(
    `data:text/javascript,${encodeURIComponent(`${names}\n${script}`)}`
  );
  assertEquals(typeof loaded.connect, "function");
});
