// A client over many servers: who gets which call, and what happens when the list changes.

import { assert, assertEquals } from "@std/assert";
import { type Balancer, connect, type Endpoint, MultiServers } from "../../mod.ts";
import { simulate } from "../../testing/mod.ts";
import { Fleet } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

const who = (index: number) => ({ who: () => index });

Deno.test("round_robin: every server gets the same number of calls, one after the other", async () => {
  await using fleet = await Fleet.open(3, who);
  await using client = await connect(new MultiServers(fleet.addresses));
  // All are connected before anything is counted: a server that is slow to connect is passed over.
  await client.broadcast("S.who");
  const order: number[] = [];
  for (let n = 0; n < 30; n++) order.push(await client.call("S.who"));
  const first = order[0]!;
  assertEquals(order, Array.from({ length: 30 }, (_, n) => (first + n) % 3));
  assertEquals(fleet.calls, [11, 11, 11]);
});

Deno.test("round_robin: every server gets the same number of calls made at once, the first ones too", () =>
  simulate(async ({ network }) => {
    await using fleet = await Fleet.open(4, who, undefined, network);
    const options = { balancer: "round_robin", network: network.host("client") } as const;
    await using client = await connect(new MultiServers(fleet.addresses), options);
    await Promise.all(Array.from({ length: 400 }, () => client.call("S.who")));
    assertEquals(fleet.calls, [100, 100, 100, 100]);
    assertEquals(fleet.servers.map((server) => server.stats().accepted), [1, 1, 1, 1]);
  }));

Deno.test("random: every server gets its share, in no order", async () => {
  await using fleet = await Fleet.open(3, who);
  await using client = await connect(new MultiServers(fleet.addresses), { balancer: "random" });
  // Calls do not wait for a server that is slow to connect, as all are on a machine that is busy with other things.
  while (client.stats().endpoints.some(({ state }) => state !== "ready")) await client.call("S.who");
  const before = fleet.calls;
  const order = await Promise.all(Array.from({ length: 3_000 }, () => client.call<number>("S.who")));
  // Chi-square with two degrees of freedom: over 24 once in 160 000 runs.
  const chi = fleet.calls.reduce((sum, calls, n) => sum + (calls - before[n]! - 1_000) ** 2 / 1_000, 0);
  assert(chi < 24, `${fleet.calls}`);
  assert(order.slice(3).some((index, n) => index !== order[n]), "it goes round");
});

Deno.test("balancer: one of the user's own chooses, by the key too, and what it throws fails the call", async () => {
  await using fleet = await Fleet.open(2, who);
  let endpoints: readonly Endpoint[] = [];
  const balancer: Balancer = {
    update: (list) => void (endpoints = list),
    pick: ({ key, method }) => {
      if (key === "throw") throw new Error(`No ${method} today`);
      return endpoints.find(({ metadata }) => metadata?.name === key);
    },
  };
  const servers = fleet.addresses.map((address, n) => ({ address, metadata: { name: `${n}` } }));
  await using client = await connect(new MultiServers(servers), { balancer });
  for (const key of ["0", "1", "0"]) assertEquals(await client.call("S.who", null, { key }), Number(key));
  await fails(client.call("S.who", null, { key: "none" }), "unavailable", "No server");
  const thrown = await client.call("S.who", null, { key: "throw" }).catch((error) => error.message);
  assertEquals(thrown, "No S.who today");
});

Deno.test("update: servers that join get calls, and the first call does not wait for all of them", () =>
  simulate(async ({ network }) => {
    await using fleet = await Fleet.open(3, who, undefined, network);
    const servers = new MultiServers(fleet.addresses.slice(0, 1));
    await using client = await connect(servers, { network: network.host("client") });
    for (let n = 0; n < 5; n++) await client.call("S.who");
    servers.update(fleet.addresses);
    await until(() => client.stats().endpoints.length === 3, "the client has heard of it");
    for (let n = 0; n < 30; n++) await client.call("S.who");
    assertEquals(fleet.calls, [15, 10, 10]);
  }));

Deno.test("update: calls on a server that left finish, new ones go elsewhere, and its connection closes", async () => {
  const gate = Promise.withResolvers<string>();
  await using fleet = await Fleet.open(2, (index) => ({ who: () => index, hold: () => gate.promise }));
  const servers = new MultiServers(fleet.addresses.slice(0, 1));
  await using client = await connect(servers);
  const held = Array.from({ length: 20 }, () => client.call("S.hold"));
  await until(() => fleet.servers[0]!.stats().inFlight === 20, "they run");
  servers.update(fleet.addresses.slice(1));
  await until(
    () => client.stats().endpoints[0]?.address === fleet.addresses[1],
    "the client has heard of it",
  );
  assertEquals(await Promise.all(Array.from({ length: 10 }, () => client.call("S.who"))), Array(10).fill(1));
  assertEquals({ pending: client.stats().pending, connections: fleet.servers[0]!.stats().connections }, {
    pending: 20,
    connections: 1,
  });
  gate.resolve("done");
  assertEquals(await Promise.all(held), Array(20).fill("done"));
  await until(() => fleet.servers[0]!.stats().connections === 0, "the connection closes");
  assertEquals(client.stats().pending, 0);
});

Deno.test("update: no call fails when a server leaves while it is dialed", async () => {
  await using fleet = await Fleet.open(2, who);
  for (let turns = 0; turns < 20; turns++) {
    const servers = new MultiServers(fleet.addresses);
    await using client = await connect(servers);
    const calls = Array.from({ length: 8 }, () => client.call<number>("S.who"));
    for (let turn = 0; turn < turns; turn++) await null;
    servers.update([fleet.addresses[turns % 2]!]);
    for (const index of await Promise.all(calls)) assert(index === 0 || index === 1);
  }
});

Deno.test("update: a server that leaves and comes back is a new one", async () => {
  const waiting = new Patient();
  await using fleet = await Fleet.open(1, () => ({ ok: () => "ok", wait: waiting.wait }));
  const servers = new MultiServers(fleet.addresses);
  await using client = await connect(servers);
  const stop = new AbortController();
  const held = fails(client.call("S.wait", null, { signal: stop.signal }), "canceled");
  await until(() => waiting.started === 1, "it runs");
  servers.update([]);
  await until(() => client.stats().endpoints.length === 0, "it has left");
  await fails(client.call("S.ok"), "unavailable", "No server");
  servers.update(fleet.addresses);
  await until(() => client.stats().endpoints.length === 1, "it is back");
  assertEquals(await client.call("S.ok"), "ok");
  assertEquals(fleet.servers[0]!.stats().connections, 2);
  stop.abort();
  await held;
  await until(() => fleet.servers[0]!.stats().connections === 1, "the old connection is gone");
});
