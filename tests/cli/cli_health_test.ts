// `rpc health`: whether servers and services accept calls.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { cli } from "../support/cli_shell.ts";
import { CliServer } from "../support/cli_server.ts";

Deno.test("cli health: of a server and of a service, as text and as JSON", async () => {
  await using at = await CliServer.open();
  const whole = await cli(["health", at.address]);
  assertEquals([whole.code, whole.out], [0, `${at.address}  serving\n`]);
  at.server.setHealth("not_serving", "Numbers");
  const service = await cli(["health", at.address, "Numbers", "--json"]);
  assertEquals([service.code, JSON.parse(service.out)], [1, { address: at.address, status: "not_serving" }]);
  assertEquals((await cli(["health", at.address, "Echo"])).code, 0);
});

Deno.test("cli health: an unknown service, or a server that is away, is a failure", async () => {
  await using at = await CliServer.open();
  const unknown = await cli(["health", at.address, "Nothing"]);
  assertEquals(unknown.code, 1);
  assertStringIncludes(unknown.out, 'not_found: There is no service "Nothing"');
  const away = await cli(["health", "127.0.0.1:1", "--json"]);
  assertEquals([away.code, JSON.parse(away.out).error.code], [1, "unavailable"]);
});
