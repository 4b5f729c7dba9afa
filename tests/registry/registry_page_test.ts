// The registry's page: what its one answer holds, and under which policy.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Registry } from "../../registry/registry.ts";

Deno.test("registry page: one response that loads nothing else, under a policy that allows nothing else", async () => {
  const registry = new Registry();
  const response = await registry.fetch(new Request("http://registry.test/"));
  const html = await response.text();
  assertEquals([response.status, response.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
  const policy = response.headers.get("content-security-policy")!;
  assertMatch(
    policy,
    /^default-src 'none'; script-src 'sha256-[\w+/=]{44}'; style-src 'sha256-[\w+/=]{44}'; connect-src 'self'; /,
  );
  assertStringIncludes(policy, "frame-ancestors 'none'");
  assertEquals(html.match(/(?:src|href)="(?!data:,"|\/_rpc_\/registry\?all")/g), null);
  assertEquals(/innerHTML|insertAdjacentHTML|document\.write|eval\(|style="|onclick="/.test(html), false);
  const head = await registry.fetch(new Request("http://registry.test/", { method: "HEAD" }));
  assertEquals(head.status, 200);
  await head.body?.cancel();
  assertEquals((await registry.fetch(new Request("http://registry.test/", { method: "POST" }))).status, 405);
});
