// broadcast(): every server at once; the first error cancels the rest and is thrown, else one of the results.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type CallContext, connect, MultiServers, RpcError } from "../../mod.ts";
import { simulate } from "../../testing/mod.ts";
import { freePort } from "../support/programs.ts";
import { Fleet } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

Deno.test("broadcast: reaches every server once, and gives one of the results", async () => {
  const seen: unknown[] = [];
  await using fleet = await Fleet.open(4, (index) => ({
    note: (args: { list: number[] }, { metadata }: CallContext) => {
      seen.push([index, args, metadata.get("who")]);
      args.list.push(index);
      return args;
    },
  }));
  await using client = await connect(new MultiServers(fleet.addresses));
  const args = { list: [9] };
  for (let round = 1; round <= 3; round++) {
    const result = await client.broadcast<typeof args>("S.note", args, { metadata: { who: "me" } });
    // Each has its own copy: changes of one do not affect the others.
    assertEquals(result.list.length, 2);
    assert(result.list[1]! >= 0 && result.list[1]! < 4);
    assertEquals(fleet.calls, Array(4).fill(round));
  }
  assertEquals(args, { list: [9] });
  assertEquals(new Set(seen.map((each) => (each as [number])[0])), new Set([0, 1, 2, 3]));
  assert(seen.every((each) => (each as unknown[])[2] === "me"));
});

Deno.test("broadcast: the first error is thrown at once and cancels the rest", async () => {
  const waiting = new Patient();
  await using fleet = await Fleet.open(3, (index) => ({
    go: index < 2 ? waiting.wait : async () => {
      await until(() => waiting.started === 2, "the others run");
      throw new RpcError("aborted", "Not here", { details: { index } });
    },
  }));
  await using client = await connect(new MultiServers(fleet.addresses));
  const error = await fails(client.broadcast("S.go", null, { timeout: Infinity }), "aborted", "Not here");
  assertEquals({ details: error.details, remote: error.remote }, { details: { index: 2 }, remote: true });
  await until(() => waiting.reasons.length === 2, "the others are cancelled");
  assertEquals(waiting.reasons.map((reason) => (reason as RpcError).code), ["canceled", "canceled"]);
  assertEquals(client.stats().pending, 0);
});

Deno.test("broadcast: fails if no servers are known", async () => {
  await using client = await connect(new MultiServers([]));
  assertEquals((await fails(client.broadcast("S.go"), "unavailable", "No server is known")).notStarted, true);
});

Deno.test("broadcast: a server that is down fails it, and the others hear of it", async () => {
  const waiting = new Patient();
  await using fleet = await Fleet.open(2, () => ({ go: waiting.wait }));
  const down = `tcp@127.0.0.1:${freePort()}`;
  await using client = await connect(new MultiServers([...fleet.addresses, down]));
  await fails(client.broadcast("S.go"), "unavailable", down);
  await until(() => waiting.reasons.length === waiting.started, "every started handler to be aborted");
  await until(() => client.stats().pending === 0, "all to end");
});

Deno.test("broadcast: a timeout ends it everywhere", () =>
  simulate(async ({ network }) => {
    const waiting = new Patient();
    await using fleet = await Fleet.open(
      3,
      (index) => ({
        go: index === 0 ? () => "quick" : waiting.wait,
      }),
      undefined,
      network,
    );
    await using client = await connect(new MultiServers(fleet.addresses), {
      network: network.host("client"),
    });
    const began = performance.now();
    await fails(client.broadcast("S.go", null, { timeout: 80 }), "deadline_exceeded");
    const elapsed = performance.now() - began;
    assert(elapsed >= 80, `it took ${elapsed} ms`);
    await until(() => waiting.reasons.length === 2, "the handlers hear of it");
    await fails(client.broadcast("S.go", null, { timeout: 0 }), "deadline_exceeded");
    assertEquals(fleet.calls, [1, 1, 1]);
  }));

Deno.test("broadcast: a signal ends it everywhere, and keeps no listener", async () => {
  const waiting = new Patient();
  await using fleet = await Fleet.open(3, () => ({ go: waiting.wait, ok: () => "ok" }));
  await using client = await connect(new MultiServers(fleet.addresses));
  const stop = new AbortController();
  const { signal } = stop;
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  for (let n = 0; n < 20; n++) assertEquals(await client.broadcast("S.ok", null, { signal }), "ok");
  assertEquals(listeners, 0);
  const call = fails(client.broadcast("S.go", null, { signal }), "canceled");
  await until(() => waiting.started === 3, "all run");
  stop.abort("enough");
  assertEquals((await call).cause, "enough");
  await until(() => waiting.reasons.length === 3, "all hear of it");
  assertEquals(listeners, 0);
  assertEquals((await fails(client.broadcast("S.ok", null, { signal }), "canceled")).cause, "enough");
  assertEquals(fleet.servers.map((server) => server.stats().methods[1]!.calls), [20, 20, 20]);
});

Deno.test("broadcast: invalid arguments of broadcast() are refused, with the argument's name", async () => {
  await using fleet = await Fleet.open(1, () => ({ ok: () => "ok" }));
  await using client = await connect(new MultiServers(fleet.addresses));
  await assertRejects(() => client.broadcast(5 as unknown as string), TypeError, "method");
  await assertRejects(() => client.broadcast("S.ok", null, { timeout: -1 }), RangeError, "timeout");
  await assertRejects(() => client.broadcast("S.ok", null, { metadata: { A: "x" } }), TypeError, "metadata");
  await fails(client.broadcast("S.ok", () => 1), "invalid_argument");
  assertEquals(fleet.calls, [0]);
});
