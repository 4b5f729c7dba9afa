// MemoryStore: the contract of every store, and what is its own: exact times and bounds.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { type StoreSubject, testRegistryStore } from "../support/contracts/registry_store.ts";
import { Follower, testRegistryStoreWatch } from "../support/contracts/registry_store_watch.ts";
import { FakeClock } from "../support/fake_clock.ts";

function open(): Promise<StoreSubject> {
  const clock = new FakeClock();
  return Promise.resolve({
    store: new MemoryStore({ clock }),
    advance: (ms: number) => clock.advance(ms),
    // What a watch may take to hear of it.
    late: 10,
    [Symbol.asyncDispose]() {
      assertEquals(clock.timers, 0, "it left a timer");
      return Promise.resolve();
    },
  });
}

testRegistryStore("MemoryStore", open);
testRegistryStoreWatch("MemoryStore", open);

Deno.test("MemoryStore: leases end exactly in time, and ages count from the first grant", async () => {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const instance = { address: "tcp@127.0.0.1:1" };
  await store.grant(instance, 100);
  await clock.advance(60);
  await store.renew(instance.address);
  await clock.advance(99);
  const [lease] = (await store.list()).leases;
  assertEquals([lease?.ttl, lease?.age, lease?.idle], [100, 159, 99]);
  await clock.advance(1);
  assertEquals((await store.list()).leases, []);
  assertEquals((await store.grant(instance, 100)).lease.age, 0);
});

Deno.test("MemoryStore: a million heartbeats in time keep their leases", async () => {
  let now = 0;
  const store = new MemoryStore({ clock: { now: () => now, setTimer: () => () => {} } });
  const servers = Array.from(
    { length: 100 },
    (_, i) => ({ address: `tcp@127.0.0.1:${i + 1}`, next: i * 33, tries: i }),
  );
  for (const { address } of servers) await store.grant({ address }, 10_000);
  const { revision } = await store.list();
  for (let beats = 0; beats < 1_000_000; now += 100) {
    for (const server of servers) {
      if (server.next > now) continue;
      // Every third of the lease with jitter, and one of seven is lost.
      if (server.tries++ % 7 > 0) {
        beats++;
        if (await store.renew(server.address) === undefined) throw new Error(`${server.address} was removed`);
      }
      server.next = now + 3_000 + (beats * 7_919) % 333;
    }
  }
  assertEquals([(await store.list()).revision, (await store.list()).leases.length], [revision, 100]);
});

Deno.test("MemoryStore: no lease ends when the wall clock jumps", async () => {
  const store = new MemoryStore();
  await store.grant({ address: "tcp@127.0.0.1:1" }, 60_000);
  const { now } = Date;
  try {
    for (const jump of [3_600_000, -3_600_000]) {
      Date.now = () => now() + jump;
      assertEquals((await store.list()).leases.length, 1);
      assertEquals((await store.renew("tcp@127.0.0.1:1"))?.ttl, 60_000);
    }
  } finally {
    Date.now = now;
  }
});

Deno.test("MemoryStore: holds up to its maximum, renews leases when full, and has room again when leases end", async () => {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock, maxInstances: 2 });
  await store.grant({ address: "tcp@127.0.0.1:1" }, 100);
  await store.grant({ address: "tcp@127.0.0.1:2" }, 1_000);
  const grantThird = () => store.grant({ address: "tcp@127.0.0.1:3" }, 1_000);
  const error = await assertRejects(grantThird, RpcError, "the registry is full");
  assertEquals(error.code, "resource_exhausted");
  assertEquals((await store.grant({ address: "tcp@127.0.0.1:2" }, 1_000)).created, false);
  await clock.advance(100);
  assertEquals((await grantThird()).created, true);
});

Deno.test("MemoryStore: holds up to its maximum of bytes", async () => {
  const store = new MemoryStore({ maxBytes: 100 });
  const grant = (zone: string) => store.grant({ address: "tcp@127.0.0.1:1", metadata: { zone } }, 0);
  await grant("z");
  await assertRejects(() => grant("ü".repeat(30)), RpcError, "the registry is full");
  assertEquals((await store.list()).leases[0]?.instance.metadata, { zone: "z" });
  for (let i = 0; i < 10; i++) await grant("u".repeat(30));
  await store.revoke("tcp@127.0.0.1:1");
  await store.grant({ address: "tcp@127.0.0.1:2", metadata: { zone: "u".repeat(30) } }, 0);
});

Deno.test("MemoryStore: counts each service's name once, and frees it when the last server that offers it leaves", async () => {
  const store = new MemoryStore({ maxServices: 3 });
  const grant = (port: number, ...services: string[]) =>
    store.grant({ address: `tcp@127.0.0.1:${port}`, services }, 0);
  await grant(1, "A", "B");
  await grant(2, "B", "C");
  const error = await assertRejects(() => grant(3, "C", "D"), RpcError, "full: 3 services (maxServices)");
  assertEquals(error.code, "resource_exhausted");
  await grant(3, "A", "C");
  await store.revoke("tcp@127.0.0.1:1");
  await assertRejects(() => grant(1, "D"), RpcError, "maxServices");
  await grant(3, "C", "D");
  await assertRejects(() => grant(1, "A"), RpcError, "maxServices");
});

Deno.test("MemoryStore: a watch that missed more changes than are kept starts over", async () => {
  const store = new MemoryStore({ maxHistory: 5 });
  const { revision } = await store.list();
  const grant = (weight: number) => store.grant({ address: "tcp@127.0.0.1:1", weight }, 0);
  for (let weight = 0; weight < 5; weight++) await grant(weight);
  {
    await using follower = new Follower(store, revision);
    await follower.until(() => follower.revisions.length === 5);
    assertEquals(follower.lists, 0);
  }
  await grant(5);
  await using follower = new Follower(store, revision);
  await follower.until(() => follower.lists === 1);
  assertEquals(follower.revisions.length, 1);
});

Deno.test("MemoryStore: a new store does not mistake revisions of an earlier one for its own", async () => {
  const before = new MemoryStore();
  for (let i = 0; i < 50; i++) await before.grant({ address: "tcp@127.0.0.1:1", weight: i }, 0);
  const { revision } = await before.list();
  await new Promise((resolve) => setTimeout(resolve, 2));
  const store = new MemoryStore();
  for (let i = 0; i < 100; i++) await store.grant({ address: "tcp@127.0.0.1:2", weight: i }, 0);
  await using follower = new Follower(store, revision);
  await follower.until(() => follower.lists === 1);
  assertEquals([...follower.weights.keys()], ["tcp@127.0.0.1:2"]);
});

Deno.test("MemoryStore: bounds must be whole numbers above 0", () => {
  for (const bound of [0, -1, 1.5, NaN, Infinity]) {
    assertThrows(() => new MemoryStore({ maxInstances: bound }), RangeError, "maxInstances");
    assertThrows(() => new MemoryStore({ maxBytes: bound }), RangeError, "maxBytes");
  }
});
