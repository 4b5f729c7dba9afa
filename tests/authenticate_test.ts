// Who may come in: the server's `authenticate`, from raw sockets.

import { assert, assertEquals } from "@std/assert";
import { RpcError } from "../call/error.ts";
import { enter, open, refused } from "./handshake_live.ts";
import { call, soon } from "./raw_peer.ts";
import { assertLives, until } from "./wire_harness.ts";

const TOKEN_OPTION = '{"magicNumber":3927900,"token":"right"}\n';

Deno.test("authenticate: the right token is let in, a wrong one and none are not, and no call is started", async () => {
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

Deno.test("authenticate: one that throws lets nobody in; an RpcError says why", async () => {
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

Deno.test("authenticate: only true is true", async () => {
  const answers = ["yes", 1, {}, null];
  let next = 0;
  // A user without types may return anything.
  await using at = await open({ authenticate: () => answers[next++] as unknown as boolean });
  for (const _ of answers) {
    using peer = await at.dial();
    await peer.send(TOKEN_OPTION);
    assertEquals((await refused(peer)).code, "unauthenticated");
  }
});

Deno.test("authenticate: one that takes too long is not waited for, and its late answer lets nobody in", async () => {
  const answers: ((welcome: boolean) => void)[] = [];
  await using at = await open({
    handshakeTimeout: 100,
    authenticate: () => new Promise((resolve) => answers.push(resolve)),
  });
  using late = await at.dial();
  await late.send(TOKEN_OPTION, call(1, "Echo.echo"));
  assertEquals((await refused(late)).code, "deadline_exceeded");
  answers[0]!(true);
  late.close();
  await until(() => at.server.stats().refused === 1, "the refusal to be counted");
  assertEquals([at.server.stats().accepted, at.server.stats().methods[0]!.calls], [0, 0]);
});

Deno.test("authenticate: one that never answers keeps neither its connection nor the server's end waiting", async () => {
  let asked = 0;
  await using at = await open({
    handshakeTimeout: 50,
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
  await soon(at.server.close(), "the server's end", 2_000);
  assertEquals((await refused(second)).code, "unavailable");
});

Deno.test("authenticate: a client that waits for less time than it takes is refused", async () => {
  await using at = await open({
    authenticate: () => new Promise((resolve) => setTimeout(() => resolve(true), 60)),
  });
  using peer = await at.dial();
  await peer.send('{"magicNumber":3927900,"connectTimeout":20}\n');
  assertEquals((await refused(peer)).code, "deadline_exceeded");
});
