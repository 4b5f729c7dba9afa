// requireToken with oneOfTokens remembers that a token was accepted, for calls with the same metadata on one connection.

import { assertEquals } from "@std/assert";
import { connect, oneOfTokens, requireToken, sendToken, Server } from "../../mod.ts";
import { fails } from "../support/session_pair.ts";

Deno.test("an accepted token does not let other tokens of the same connection through", async () => {
  await using server = new Server().use(requireToken(oneOfTokens(["right"])));
  server.register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  let token = "right";
  await using client = await connect(address, { interceptors: [sendToken(() => token)] });
  for (const next of ["right", "right", "wrong", "wrong", "right", "right2", "righ", "right"]) {
    token = next;
    if (token === "right") assertEquals(await client.call("Echo.echo", 5), 5);
    else await fails(client.call("Echo.echo", 5), "unauthenticated");
  }
});

Deno.test("requireToken calls any other check for each call", async () => {
  let checks = 0;
  await using server = new Server().use(requireToken((token) => ++checks > 0 && token === "right"));
  server.register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { interceptors: [sendToken(() => "right")] });
  for (let i = 0; i < 3; i++) await client.call("Echo.echo", i);
  assertEquals(checks, 3);
});
