// The figures of Client.stats() and Server.stats().

import { assert, assertEquals } from "@std/assert";
import { connect, MultiServers, RpcError, Server } from "../../mod.ts";
import { simulate } from "../../testing/mod.ts";
import { LimitCounters } from "../../session/limit_counters.ts";
import { freePort } from "../support/programs.ts";
import { RawServer } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

Deno.test("stats of a server: connections, calls, errors and calls in flight", async () => {
  const began = performance.now();
  const waiting = new Patient();
  await using server = new Server({ maxConnections: 2, authenticate: (token) => token !== "wrong" });
  server.register("A", {
    ok: () => "ok",
    fail: () => {
      throw new RpcError("aborted", "No");
    },
    wait: waiting.wait,
  }).register("B", { later: () => Promise.resolve("ok") });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const { uptime, ...stats } = server.stats();
  assert(uptime >= 0 && uptime <= performance.now() - began + 1, `${uptime} ms`);
  assertEquals(stats, {
    draining: false,
    connections: 0,
    handshakes: 0,
    accepted: 0,
    refused: 0,
    refusals: {
      maxConnections: 0,
      maxConnectionsPerPeer: 0,
      handshakeTimeout: 0,
      option: 0,
      codec: 0,
      unauthenticated: 0,
      closing: 0,
      http: 0,
      proxyHeader: 0,
      tls: 0,
      lost: 0,
    },
    probes: 0,
    acceptErrors: 0,
    inFlight: 0,
    unknownMethods: 0,
    unsentBytes: 0,
    limits: new LimitCounters().stats(),
    methods: ["A.ok", "A.fail", "A.wait", "B.later"].map((method) => ({
      method,
      calls: 0,
      errors: 0,
      errorCodes: {},
      inFlight: 0,
      latency: { mean: 0, p50: 0, p99: 0, max: 0, count: 0, sum: 0, spans: [] },
    })),
  });
  {
    await using one = await connect(address);
    await using two = await connect(address);
    await fails(connect(address), "resource_exhausted", "More than 2 connections");
    for (let n = 0; n < 10; n++) await one.call("A.ok");
    for (let n = 0; n < 5; n++) await fails(two.call("A.fail"), "aborted");
    for (let n = 0; n < 3; n++) await two.call("B.later");
    await fails(one.call("A.nope"), "unimplemented");
    const stop = new AbortController();
    const held = Array.from(
      { length: 4 },
      () => fails(one.call("A.wait", null, { signal: stop.signal }), "canceled"),
    );
    await until(() => waiting.started === 4, "they run");
    const { connections, accepted, refused, inFlight } = server.stats();
    assertEquals({ connections, accepted, refused, inFlight }, {
      connections: 2,
      accepted: 2,
      refused: 1,
      inFlight: 4,
    });
    const { limits: _, ...rest } = one.stats();
    assertEquals(rest, {
      balancer: "round_robin",
      endpoints: [{ address, state: "ready", connections: 1, pending: 4, weight: 1, failures: 0 }],
      pending: 4,
      retries: 0,
      refusedRetries: 0,
    });
    stop.abort();
    await Promise.all(held);
    assertEquals(one.stats().pending, 0);
  }
  await until(() => server.stats().connections === 0, "the connections are gone");
  await fails(connect(address, { token: "wrong" }), "unauthenticated");
  const { accepted, refused, inFlight, methods } = server.stats();
  assertEquals({ accepted, refused, inFlight }, { accepted: 2, refused: 2, inFlight: 0 });
  assertEquals(methods.map(({ calls, errors, inFlight }) => [calls, errors, inFlight]), [
    [10, 0, 0],
    [5, 5, 0],
    [4, 4, 0],
    [3, 0, 0],
  ]);
  assertEquals(methods.map(({ errorCodes }) => errorCodes), [{}, { aborted: 5 }, { canceled: 4 }, {}]);
});

Deno.test("stats of a server: how long calls took", () =>
  simulate(async ({ network, sleep }) => {
    await using server = new Server({ network: network.host("server") }).register("S", { sleep });
    const { address } = await server.listen("tcp@server:0");
    await using client = await connect(address, { network: network.host("client") });
    await Promise.all(Array.from({ length: 50 }, () => client.call("S.sleep", 20)));
    await client.call("S.sleep", 100);
    const { mean, p50, p99, max, count } = server.stats().methods[0]!.latency;
    assertEquals([count, mean, p99, max], [51, 1_100 / 51, 100, 100]);
    assert(p50 >= 20 && p50 < 23, `p50 ${p50}`);
  }));

Deno.test("stats of a client: the state of each server", async () => {
  await using silent = new RawServer();
  await using server = new Server().register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const down = `tcp@127.0.0.1:${freePort()}`;
  const addresses = [address, down, silent.address];
  const servers = new MultiServers(addresses);
  const client = await connect(servers);
  const states = () => client.stats().endpoints.map(({ state }) => state);
  assertEquals(client.stats().endpoints.map(({ address }) => address), addresses);
  assertEquals([states(), client.stats().pending], [["idle", "idle", "idle"], 0]);
  const calls = [1, 2, 3].map(() => client.call("S.ok").catch(() => {}));
  await until(() => states().join() === "ready,failing,connecting", "each stands as it does");
  await client.close();
  await Promise.all(calls);
  assertEquals([states(), client.stats().pending], [["closed", "closed", "closed"], 0]);
});

Deno.test("stats of a client: a call that waits for a connection is one that is not settled", async () => {
  await using silent = new RawServer();
  await using client = await connect(new MultiServers([silent.address]));
  const stop = new AbortController();
  const calls = Array.from(
    { length: 7 },
    () => fails(client.call("S.ok", null, { signal: stop.signal }), "canceled"),
  );
  await until(() => silent.accepted.length === 1, "it is connecting");
  assertEquals(client.stats().pending, 7);
  stop.abort();
  await Promise.all(calls);
  assertEquals(client.stats().pending, 0);
});
