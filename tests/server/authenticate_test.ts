// Who may come in: the server's `authenticate`, from raw sockets.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { connect } from "../../client/mod.ts";
import { Server } from "../../server/mod.ts";
import { enter, open, refused } from "../support/handshake_live.ts";
import { call } from "../support/frames.ts";
import { soon, until } from "../support/waiting.ts";
import { assertLives } from "../support/wire_harness.ts";

const TOKEN_OPTION = '{"magicNumber":3927900,"token":"right"}\n';

Deno.test("authenticate: the right token is accepted, a wrong or missing one is refused, and no call is started", async () => {
  const asked: unknown[] = [];
  await using at = await open({
    authenticate: (token, peer) => {
      asked.push([token, peer.startsWith("tcp@127.0.0.1:")]);
      return token === "right";
    },
  });
  using right = await enter(at.port, TOKEN_OPTION);
  await assertLives(right, 1);
  for (const token of ["wrong", "", "right ", undefined]) {
    using peer = await at.dial();
    await peer.send(`${JSON.stringify({ magicNumber: 3_927_900, token })}\n`, call(1, "Echo.echo"));
    const { code, message } = await refused(peer);
    assertEquals(code, "unauthenticated");
    assert(token === "" || !message.includes(token ?? "undefined"), message);
  }
  assertEquals(asked, ["right", "wrong", "", "right ", undefined].map((token) => [token, true]));
  assertEquals(at.server.stats().methods[0]!.calls, 1);
  assert(!at.log.join().includes("wrong"), "a token is never in the log");
});

Deno.test("authenticate: a function that throws refuses the client; an RpcError says why", async () => {
  const thrown = [
    new Error("database password is 123"),
    "text",
    undefined,
    new RpcError("permission_denied", "Not from here"),
  ];
  let next = 0;
  await using at = await open({
    authenticate: () => {
      const error = thrown[next++];
      if (next % 2 === 0) return Promise.reject(error);
      throw error;
    },
  });
  for (const code of ["unauthenticated", "unauthenticated", "unauthenticated", "permission_denied"]) {
    using peer = await at.dial();
    await peer.send(TOKEN_OPTION);
    const error = await refused(peer);
    assertEquals(error.code, code);
    assert(!error.message.includes("123"));
  }
});

Deno.test("authenticate: a result that is neither true nor an identity refuses the client", async () => {
  const answers = ["", 1, {}, { name: 1 }, null, undefined];
  let next = 0;
  // A user without types may return anything.
  await using at = await open({ authenticate: () => answers[next++] as unknown as boolean });
  for (const _ of answers) {
    using peer = await at.dial();
    await peer.send(TOKEN_OPTION);
    assertEquals((await refused(peer)).code, "unauthenticated");
  }
});

Deno.test("authenticate: a result after handshakeTimeout accepts no client", async () => {
  const answers: ((welcome: boolean) => void)[] = [];
  await using at = await open({
    handshakeTimeout: 500,
    authenticate: () => new Promise((resolve) => answers.push(resolve)),
  });
  using late = await at.dial();
  await late.send(TOKEN_OPTION, call(1, "Echo.echo"));
  assertEquals((await refused(late)).code, "deadline_exceeded");
  answers[0]!(true);
  late.close();
  await until(() => at.server.stats().refused === 1, "the refusal to be counted");
  assertEquals({ accepted: at.server.stats().accepted, calls: at.server.stats().methods[0]!.calls }, {
    accepted: 0,
    calls: 0,
  });
});

Deno.test("authenticate: a function that never settles delays neither its connection's end nor the server's", async () => {
  let asked = 0;
  await using at = await open({
    handshakeTimeout: 1_000,
    maxConnections: 1,
    authenticate: () => {
      asked++;
      return new Promise(() => {});
    },
  });
  using first = await at.dial();
  await first.send(TOKEN_OPTION);
  assertEquals((await refused(first)).code, "deadline_exceeded");
  await until(() => at.server.stats().refused === 1, "the first to be let go");
  using second = await at.dial();
  await second.send(TOKEN_OPTION);
  await until(() => asked === 2, "the second to be asked about");
  await soon(at.server.close(), "the server's end");
  assertEquals((await refused(second)).code, "unavailable");
});

Deno.test("authenticate: a client whose timeout is shorter than the check fails", async () => {
  await using at = await open({
    authenticate: () => new Promise((resolve) => setTimeout(() => resolve(true), 60)),
  });
  using peer = await at.dial();
  await peer.send('{"magicNumber":3927900,"connectTimeout":20}\n');
  assertEquals((await refused(peer)).code, "deadline_exceeded");
});

Deno.test("token: a function is called for each dial, and may return a promise", async () => {
  await using server = new Server({ authenticate: (token) => token === "right" });
  server.register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  for (const token of [() => "right", () => Promise.resolve("right")]) {
    await using client = await connect(address, { token });
    assertEquals(await client.call("Echo.echo", 1), 1);
  }
});

Deno.test("token: reconnecting uses the token of that moment", async () => {
  let valid = "first";
  const seen: unknown[] = [];
  const make = () =>
    new Server({ authenticate: (token) => (seen.push(token), token === valid) })
      .register("Echo", { echo: (value: unknown) => value });
  const first = make();
  const { address } = await first.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { token: () => valid });
  assertEquals(await client.call("Echo.echo", 1), 1);
  await first.close();
  valid = "second";
  await using second = make();
  await second.listen(address);
  await until(() => client.stats().endpoints[0]!.state === "ready", "the client is connected again");
  assertEquals(await client.call("Echo.echo", 2), 2);
  assertEquals(seen, ["first", "second"]);
});

Deno.test("token: a function that fails, hangs or returns no text fails the dial, and says why", async () => {
  await using server = new Server({ authenticate: () => true }).register("Echo", {
    echo: (value: unknown) => value,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const broken = () => {
    throw new Error("the identity provider is away");
  };
  const dialled = (token: () => string | Promise<string>, connectTimeout = 5_000) =>
    assertRejects(() => connect(address, { token, connectTimeout }), RpcError);
  const error = await dialled(broken);
  assertEquals({ code: error.code, notStarted: error.notStarted }, {
    code: "unauthenticated",
    notStarted: true,
  });
  assert(error.message.includes("the identity provider is away"), error.message);
  assertEquals((await dialled(() => Promise.reject(new Error("no")))).code, "unauthenticated");
  // deno-lint-ignore no-explicit-any -- what the types do not allow
  assert((await dialled(() => 7 as any)).message.includes("it did not return text"));
  assert((await dialled(() => new Promise(() => {}), 50)).message.includes("within 50 ms"));
  // deno-lint-ignore no-explicit-any -- likewise
  await assertRejects(() => connect(address, { token: 7 as any }), TypeError, "Cannot use token");
});

Deno.test("token: a token from a function is sent unencrypted to this machine only, like a string", async () => {
  let asked = 0;
  const error = await assertRejects(
    () => connect("tcp@192.0.2.1:9", { token: () => (asked++, "secret"), connectTimeout: 1_000 }),
    RpcError,
  );
  assertEquals({ code: error.code, asked }, { code: "failed_precondition", asked: 0 });
});
