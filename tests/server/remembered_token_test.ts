// requireToken remembers that a token was accepted, for calls with the same metadata on one connection: without limit if the
// check is oneOfTokens, and as long as `remember` allows if it is another one.

import { assertEquals, assertThrows } from "@std/assert";
import {
  type CallContext,
  connect,
  type Identity,
  oneOfTokens,
  requireToken,
  sendToken,
  Server,
} from "../../mod.ts";
import { shared } from "../../call/metadata.ts";
import { RememberedTokens } from "../../call/remembered_tokens.ts";
import { simulate } from "../../testing/mod.ts";
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

interface Remembering {
  call(method?: string): Promise<unknown>;
  sleep(ms: number): Promise<void>;
  /** The methods that the check was called for. */
  readonly checks: string[];
}

/** A server in simulated time that remembers tokens, and a client whose metadata it has seen twice, so that calls share it. */
function remembering(
  remember: number | false | undefined,
  check: () => boolean | Identity,
  test: (at: Remembering) => Promise<void>,
): Promise<void> {
  return simulate(async ({ network, sleep }) => {
    const checks: string[] = [];
    const counted = (_token: string, method: string) => {
      checks.push(method);
      return check();
    };
    await using server = new Server({ network: network.host("server") });
    server.use(requireToken(counted, { remember }));
    const me = (_: unknown, { peer }: CallContext) => peer.identity;
    server.register("Who", { me, too: me });
    await server.listen("tcp@server:9000");
    await using client = await connect("tcp@server:9000", {
      network: network.host("client"),
      interceptors: [sendToken(() => "right")],
      secure: false,
    });
    const call = (method = "me") => client.call(`Who.${method}`);
    await call();
    await test({ call, sleep, checks });
  });
}

Deno.test("requireToken remembers an accepted token for `remember` ms from its check, not from its use", () =>
  remembering(1_000, () => ({ name: "ada" }), async ({ call, sleep, checks }) => {
    for (let i = 0; i < 5; i++) {
      assertEquals(await call(), { name: "ada" });
      await sleep(150);
    }
    assertEquals(checks.length, 2);
    await sleep(400);
    await call();
    assertEquals(checks.length, 3);
  }));

Deno.test("requireToken remembers a token for the method that it was accepted for", () =>
  remembering(1_000, () => true, async ({ call, checks }) => {
    for (const method of ["me", "too", "me", "too", "me"]) await call(method);
    assertEquals(checks, ["Who.me", "Who.me", "Who.too"]);
  }));

Deno.test("requireToken does not remember refusals", () => {
  let accepts = true;
  return remembering(1_000, () => accepts, async ({ call, sleep, checks }) => {
    await call();
    await sleep(1_100);
    accepts = false;
    for (let i = 0; i < 3; i++) await fails(call(), "unauthenticated");
    accepts = true;
    await call();
    assertEquals(checks.length, 6);
  });
});

Deno.test("requireToken remembers no identity for longer than until its `exp`", () =>
  remembering(
    Infinity,
    () => ({ name: "ada", exp: Math.floor(Date.now() / 1_000) + 2 }),
    async ({ call, sleep, checks }) => {
      for (let i = 0; i < 5; i++) await call();
      assertEquals(checks.length, 2);
      await sleep(2_100);
      await call();
      assertEquals(checks.length, 3);
    },
  ));

for (const remember of [false, undefined] as const) {
  Deno.test(`requireToken remembers nothing with remember: ${remember}`, () =>
    remembering(remember, () => true, async ({ call, checks }) => {
      for (let i = 0; i < 3; i++) await call();
      assertEquals(checks.length, 4);
    }));
}

Deno.test("requireToken refuses options that cannot be meant", () => {
  for (const remember of [0, -1, NaN]) assertThrows(() => requireToken(() => true, { remember }), RangeError);
  assertThrows(() => requireToken(() => true, { remember: "1 s" as unknown as number }), TypeError);
  assertThrows(() => requireToken(() => true, { remembr: 1 } as object), TypeError, "remember");
});

Deno.test("requireToken remembers a bounded number of methods, and nothing for metadata that may change", () => {
  const tokens = new RememberedTokens(60_000, true);
  const metadata = shared(new Map([["authorization", "Bearer right"]]));
  const now = Date.now();
  for (let i = 0; i <= 64; i++) tokens.add(metadata, `S.m${i}`, true, now);
  const known = Array.from({ length: 65 }, (_, i) => tokens.find(metadata, `S.m${i}`)).filter((as) => as);
  assertEquals([known.length, tokens.find(metadata, "S.m64")], [1, true]);
  const changeable = new Map(metadata);
  tokens.add(changeable, "S.m", true, now);
  assertEquals(tokens.find(changeable, "S.m"), undefined);
});

Deno.test("requireToken forgets tokens if the system's clock is set back", () => {
  const tokens = new RememberedTokens(60_000, true);
  const metadata = shared(new Map([["authorization", "Bearer right"]]));
  tokens.add(metadata, "S.m", true, Date.now() + 10_000);
  assertEquals(tokens.find(metadata, "S.m"), undefined);
});
