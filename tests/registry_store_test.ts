// MemoryStore: the contract of every store, and what is its own: exact times and bounds.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RpcError } from "../call/error.ts";
import { MemoryStore } from "../registry/memory_store.ts";
import { testRegistryStore } from "./contracts/registry_store.ts";
import { FakeClock } from "./fake_clock.ts";

testRegistryStore("MemoryStore", () => {
  const clock = new FakeClock();
  return Promise.resolve({
    store: new MemoryStore({ clock }),
    advance: (ms: number) => clock.advance(ms),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

Deno.test("MemoryStore: leases end to the ms, and ages count from the first grant", async () => {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const instance = { address: "tcp@127.0.0.1:1" };
  await store.grant(instance, 100);
  await clock.advance(60);
  await store.renew(instance.address);
  await clock.advance(99);
  assertEquals(await store.list(), [{ instance, ttl: 100, age: 159, idle: 99 }]);
  await clock.advance(1);
  assertEquals(await store.list(), []);
  assertEquals((await store.grant(instance, 100)).lease.age, 0);
});

Deno.test("MemoryStore: jumps of the wall clock end no lease", async () => {
  const store = new MemoryStore();
  await store.grant({ address: "tcp@127.0.0.1:1" }, 60_000);
  const { now } = Date;
  try {
    for (const jump of [3_600_000, -3_600_000]) {
      Date.now = () => now() + jump;
      assertEquals((await store.list()).length, 1);
      assertEquals((await store.renew("tcp@127.0.0.1:1"))?.ttl, 60_000);
    }
  } finally {
    Date.now = now;
  }
});

Deno.test("MemoryStore: holds as many as it may, renews them when full, and has room again when leases end", async () => {
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

Deno.test("MemoryStore: holds as many bytes as it may", async () => {
  const store = new MemoryStore({ maxBytes: 100 });
  const grant = (zone: string) => store.grant({ address: "tcp@127.0.0.1:1", metadata: { zone } }, 0);
  await grant("z");
  await assertRejects(() => grant("ü".repeat(30)), RpcError, "the registry is full");
  assertEquals((await store.list())[0]?.instance.metadata, { zone: "z" });
  for (let i = 0; i < 10; i++) await grant("u".repeat(30));
  await store.revoke("tcp@127.0.0.1:1");
  await store.grant({ address: "tcp@127.0.0.1:2", metadata: { zone: "u".repeat(30) } }, 0);
});

Deno.test("MemoryStore: bounds must be whole numbers above 0", () => {
  for (const bound of [0, -1, 1.5, NaN, Infinity]) {
    assertThrows(() => new MemoryStore({ maxInstances: bound }), RangeError, "maxInstances");
    assertThrows(() => new MemoryStore({ maxBytes: bound }), RangeError, "maxBytes");
  }
});
