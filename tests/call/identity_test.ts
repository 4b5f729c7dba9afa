// Who a caller is: what `authenticate` returns is what handlers, logs, the snapshot and the page show.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { CallContext, Identity } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { logCalls, requireToken, sendToken } from "../../call/standard_interceptors.ts";
import { connect } from "../../client/mod.ts";
import { Server, type ServerOptions } from "../../server/mod.ts";

const who = {
  me: (_: unknown, { peer }: CallContext) => peer.identity,
  hang: (_: unknown, { signal }: CallContext) =>
    new Promise((resolve) => signal.addEventListener("abort", resolve)),
  crash: () => {
    throw new Error("private");
  },
};

/** A server that accepts what `identify` accepts, and a client with a token. */
async function open(identify: ServerOptions["authenticate"], options: ServerOptions = {}) {
  const log: string[] = [];
  const server = new Server({ authenticate: identify, log: (line) => log.push(line), ...options });
  server.register("Who", who);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = await connect(address, { token: "secret" });
  return {
    client,
    server,
    log,
    address,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
    },
  };
}

for (
  const [what, identity] of [["text", "alice"], ["an object with a name", {
    name: "alice",
    admin: true,
  }]] as const
) {
  Deno.test(`identity: ${what} that authenticate returns is what handlers see`, async () => {
    for (const answer of [identity, Promise.resolve(identity)]) {
      await using at = await open(() => answer);
      assertEquals(await at.client.call<Identity>("Who.me"), identity);
    }
  });
}

Deno.test("identity: undefined if authenticate returned true, or without authenticate", async () => {
  for (const identify of [() => true, undefined]) {
    await using at = await open(identify);
    assertEquals(await at.client.call("Who.me"), undefined);
    assertEquals("identity" in (await at.server.snapshot()).peers.list[0]!, false);
  }
});

Deno.test("identity: a result of authenticate that is neither a boolean nor an identity refuses the client and is logged", async () => {
  for (const answer of [1, "", {}, { name: "" }, { name: 7 }, []]) {
    const log: unknown[] = [];
    // deno-lint-ignore no-explicit-any -- what the types do not allow
    const authenticate = () => answer as any;
    await using server = new Server({ authenticate, log: (_, error) => log.push(error) }).register(
      "Who",
      who,
    );
    const { address } = await server.listen("tcp@127.0.0.1:0");
    const error = await assertRejects(() => connect(address), RpcError);
    assertEquals(error.code, "unauthenticated");
    assertStringIncludes(String(log[0]), "expected true, false, or an identity");
  }
});

Deno.test("identity: its name is in the snapshot, on the page and in the log, cut if it is long", async () => {
  await using at = await open(() => ({ name: `alice${"x".repeat(500)}` }));
  const shown = `alice${"x".repeat(95)}…`;
  const stop = new AbortController();
  const hanging = assertRejects(
    () => at.client.call("Who.hang", undefined, { signal: stop.signal }),
    RpcError,
  );
  await assertRejects(() => at.client.call("Who.crash"), RpcError);
  const { peers, calls } = at.server.snapshot();
  assertEquals([peers.list[0]!.identity, calls.list[0]!.identity], [shown, shown]);
  const page = await at.server.fetch(
    new Request("http://localhost/debug/rpc", { headers: { host: "localhost" } }),
    {
      remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    },
  );
  assertStringIncludes(await page.text(), `(${shown})`);
  assert(at.log.includes(`Handler of Who.crash failed, called by ${shown}`), at.log.join("; "));
  stop.abort();
  await hanging;
});

Deno.test("identity: what requireToken's check returns is what later interceptors, handlers and logs see", async () => {
  const log: string[] = [];
  const seen: unknown[] = [];
  const server = new Server({ log: (line) => log.push(line) });
  server.use(requireToken((token) => token === "right" && { name: "alice", admin: true }));
  server.use((call, next) => {
    seen.push(call.identity);
    return next(call);
  });
  server.use(logCalls((line) => log.push(line.replace(/[\d.]+ ms/, "N ms").replace(/1:\d+/, "1:N"))));
  server.register("Who", who);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { interceptors: [sendToken(() => "right")] });
  assertEquals(await client.call("Who.me"), { name: "alice", admin: true });
  assertEquals(seen, [{ name: "alice", admin: true }]);
  const stop = new AbortController();
  const hanging = assertRejects(() => client.call("Who.hang", undefined, { signal: stop.signal }), RpcError);
  await assertRejects(() => client.call("Who.crash"), RpcError);
  assertEquals(server.snapshot().calls.list[0]!.identity, "alice");
  assertEquals("identity" in server.snapshot().peers.list[0]!, false);
  assertEquals(log, [
    "Who.me ok N ms from tcp@127.0.0.1:N (alice)",
    "Who.crash failed N ms from tcp@127.0.0.1:N (alice)",
    "Handler of Who.crash failed, called by alice",
  ]);
  stop.abort();
  await hanging;
  await server.close();
});

Deno.test("identity: a check of requireToken that returns nonsense refuses the call", async () => {
  for (const [answer, code] of [[undefined, "unauthenticated"], [7, "internal"], ["", "internal"]] as const) {
    // A user without types may return anything.
    await using server = new Server().use(requireToken(() => answer as unknown as boolean)).register(
      "Who",
      who,
    );
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address, { interceptors: [sendToken(() => "right")] });
    assertEquals((await assertRejects(() => client.call("Who.me"), RpcError)).code, code);
  }
});
