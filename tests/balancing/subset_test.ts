// subset: the contract of every discovery, how evenly clients spread over servers, and how little a change moves.

import { assert, assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import { subset, type SubsetOptions } from "../../balancing/subset.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import { MultiServers } from "../../discovery/multi_servers.ts";
import { RoundRobinBalancer } from "../../discovery/round_robin.ts";
import { servers } from "../support/contracts/balancer.ts";
import { seeded } from "../support/random.ts";
import { testDiscovery } from "../support/contracts/discovery.ts";
import { settle } from "../support/fake_clock.ts";

testDiscovery("subset", (endpoints) => {
  const all = new MultiServers(endpoints);
  return Promise.resolve({
    discovery: subset(all, { size: 3 }),
    async change(endpoints) {
      // In the order of the ring, so that the whole list is passed on as it is.
      all.update(endpoints);
      await settle();
    },
    isIdle: () => true,
  });
});

const partOf = async (all: readonly Endpoint[], options: SubsetOptions) => {
  const part = await subset(new MultiServers(all), options).endpoints();
  return new Set(part.map(({ address }) => address));
};

Deno.test("subset: 1000 numbered clients of 1000 servers spread evenly, in connections and in calls", async () => {
  const all = servers(1, 1_000);
  const connections = new Map<string, number>();
  const calls = new Map<string, number>();
  for (let client = 0; client < 1_000; client++) {
    const part = await subset(new MultiServers(all), { size: 20, client }).endpoints();
    assertEquals(new Set(part).size, 20);
    const balancer = new RoundRobinBalancer({ random: seeded(client) });
    balancer.update(part);
    for (const { address } of part) connections.set(address, (connections.get(address) ?? 0) + 1);
    for (let call = 0; call < 100; call++) {
      const { address } = balancer.pick({ method: "S.m" })!;
      calls.set(address, (calls.get(address) ?? 0) + 1);
    }
  }
  assertEquals(connections.size, 1_000);
  assertLessOrEqual(Math.max(...connections.values()), 30);
  assert(Math.min(...connections.values()) >= 10);
  assertLessOrEqual(Math.max(...calls.values()), 1.3 * 100);
});

Deno.test("subset: a server that joins or leaves changes one connection of a client at most", async () => {
  const all = [...servers(1, 200)];
  for (let client = 0; client < 200; client++) {
    const options = { size: 20, client };
    const before = await partOf(all, options);
    for (const changed of [[...all, { address: "tcp@10.0.0.1:1" }], all.toSpliced(client, 1)]) {
      const after = await partOf(changed, options);
      assertEquals(after.size, 20);
      assertLessOrEqual(before.difference(after).size, 1);
    }
  }
});

Deno.test("subset: a list that is not longer than the subset is passed on whole", async () => {
  const all = servers(1, 20);
  assertEquals(await subset(new MultiServers(all), { size: 20 }).endpoints(), all);
});

Deno.test("subset: without a number, the place is left to chance", async () => {
  const all = servers(1, 100);
  const parts = await Promise.all(
    [0, 0.25, 0.5, 0.999].map((place) => partOf(all, { size: 10, random: () => place })),
  );
  for (const [i, part] of parts.entries()) {
    for (const other of parts.slice(i + 1, -1)) assertEquals(part.intersection(other).size, 0);
  }
});

Deno.test("subset: invalid options are refused", () => {
  const all = new MultiServers([]);
  for (const size of [0, -1, 1.5, NaN, "3" as unknown as number]) {
    assertThrows(() => subset(all, { size }), RangeError, "size");
  }
  for (const client of [-1, 0.5]) assertThrows(() => subset(all, { size: 1, client }), RangeError, "client");
  assertThrows(() => subset(all, { size: 1, sized: 2 } as SubsetOptions), TypeError, "sized");
});
