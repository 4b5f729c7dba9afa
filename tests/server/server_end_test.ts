// The end of a server as its user sees it: shutdown() in good order, close() at once, and both any number of times.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect, RpcError, Server, type ServerOptions } from "../../mod.ts";
import { Link } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";

/** A grace that no test lives to see the end of, in ms. */
const HOUR = 3_600_000;

Deno.test("shutdown: called three times, with a handler that never returns, it ends at the grace and aborts the handler", async () => {
  const reasons: unknown[] = [];
  await using link = await Link.open({
    never: (_: unknown, { signal }: { signal: AbortSignal }) => {
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      return new Promise(() => {});
    },
  });
  const call = fails(link.call("never"), "unavailable", "The other side shut down before it answered");
  await until(() => link.counts("never").inFlight === 1, "it runs");
  const began = performance.now();
  const endings = [150, HOUR, 0].map((grace) => link.server.shutdown({ grace }));
  await Promise.all(endings);
  const elapsed = performance.now() - began;
  assert(elapsed >= 149, `it took ${elapsed} ms`);
  assertEquals((reasons[0] as RpcError).code, "unavailable");
  assertEquals((reasons[0] as RpcError).message, "The server shut down, after a grace of 150 ms");
  assertEquals((await call).notStarted, false);
  await link.server.shutdown();
  await link.server.close();
  assertEquals({ reasons: reasons.length, connections: link.server.stats().connections }, {
    reasons: 1,
    connections: 0,
  });
});

Deno.test("shutdown: lets accepted calls finish, and ends as soon as they have", async () => {
  const gate = Promise.withResolvers<string>();
  await using link = await Link.open({ later: () => gate.promise });
  const calls = Array.from({ length: 50 }, () => link.call("later"));
  await until(() => link.counts("later").inFlight === 50, "all run");
  const ending = link.server.shutdown({ grace: HOUR });
  await until(() => link.client.stats().endpoints[0]!.state !== "ready", "the client to notice the end");
  await assertRejects(() => connect(link.address), RpcError, "Cannot connect");
  gate.resolve("done");
  assertEquals(await Promise.all(calls), Array(50).fill("done"));
  await soon(ending, "the end");
});

Deno.test("close: cuts a shutdown's grace short", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait });
  const call = fails(link.call("wait"), "unavailable");
  await until(() => waiting.started === 1, "it runs");
  const ending = link.server.shutdown({ grace: HOUR });
  await link.server.close();
  await soon(Promise.all([ending, call]), "the end");
  assertEquals((waiting.reasons[0] as RpcError).code, "unavailable");
});

Deno.test("close: ends calls at once, may be repeated, and works on a server that never listened", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait });
  const calls = Array.from({ length: 100 }, () => fails(link.call("wait"), "unavailable"));
  await until(() => waiting.started === 100, "all run");
  await Promise.all([link.server.close(), link.server.close(), link.server[Symbol.asyncDispose]()]);
  await soon(Promise.all(calls), "all calls to end");
  await link.server.close();
  assertEquals(waiting.reasons.length, 100);
  await new Server().close();
  await new Server().shutdown();
});

Deno.test("listen: refuses a closed server and invalid addresses", async () => {
  await using server = new Server();
  for (
    const address of [
      "",
      "127.0.0.1:0",
      "tcp@127.0.0.1",
      "tls@127.0.0.1:0",
      "ws@127.0.0.1:0",
      "unix@relative",
    ]
  ) {
    await assertRejects(() => server.listen(address), TypeError);
  }
  await assertRejects(() => server.listen(5 as unknown as string), TypeError, "address");
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await assertRejects(() => server.listen(address), Deno.errors.AddrInUse);
  await server.close();
  await assertRejects(() => server.listen("tcp@127.0.0.1:0"), TypeError, "closed");
});

Deno.test("listening: closing it keeps its connections, and frees the port", async () => {
  await using server = new Server().register("S", { ok: () => "ok" });
  const listening = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(listening.address);
  await Promise.all([listening.close(), listening.close()]);
  await listening.close();
  await assertRejects(() => connect(listening.address), RpcError);
  assertEquals(await client.call("S.ok"), "ok");
  await using again = await server.listen(listening.address);
  assertEquals(again.address, listening.address);
});

Deno.test("server: options out of their range are named", () => {
  const wrong: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [{ maxInFlight: 15 }, RangeError, "maxInFlight"],
    [{ maxConnections: 0 }, RangeError, "maxConnections"],
    [{ handshakeTimeout: 0 }, RangeError, "handshakeTimeout"],
    [{ handshakeTimeout: 2 ** 31 }, RangeError, "handshakeTimeout"],
    [{ handleTimeout: -1 }, RangeError, "handleTimeout"],
    [{ maxFrameBytes: 1 }, RangeError, "maxFrameBytes"],
    [{ maxUnsentBytes: NaN }, RangeError, "maxUnsentBytes"],
    [{ frameTimeout: 0 }, RangeError, "frameTimeout"],
    [{ heartbeatTimeout: "5" }, TypeError, "heartbeatTimeout"],
    [{ codecs: [{ name: "x" }] }, TypeError, "codec"],
    [{ log: "console" }, TypeError, "log"],
  ];
  for (const [options, type, name] of wrong) {
    assertThrows(() => new Server(options as ServerOptions), type, name);
  }
});

Deno.test("shutdown: a grace out of its range is named, and nothing ends", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  for (const grace of [-1, NaN, Infinity, 2 ** 31, "5"]) {
    await assertRejects(
      async () => await link.server.shutdown({ grace: grace as number }),
      typeof grace === "string" ? TypeError : RangeError,
      "grace",
    );
  }
  assertEquals(await link.call("ok"), "ok");
});
