// What every RegistryStore must do. Run by the test of each.

import { assertEquals } from "@std/assert";
import type { RegistryStore } from "../../../registry/store.ts";

/** A store under test. */
export interface StoreSubject extends AsyncDisposable {
  store: RegistryStore;
  /** Lets time pass, in ms. */
  advance(ms: number): Promise<void>;
  /** How much later than it should a lease may end, in ms. */
  late: number;
}

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";
const TTL = 2_000;

/** Registers the tests. `open` makes an empty store. */
export function testRegistryStore(name: string, open: () => Promise<StoreSubject>, ignore = false): void {
  const test = (what: string, run: (subject: StoreSubject) => Promise<void>) =>
    Deno.test({
      name: `${name}: ${what}`,
      ignore,
      async fn() {
        await using subject = await open();
        await run(subject);
      },
    });
  const addresses = async (store: RegistryStore) =>
    (await store.list()).leases.map(({ instance }) => instance.address);

  test("lists servers with a lease, by address, once each", async ({ store }) => {
    assertEquals((await store.list()).leases, []);
    assertEquals((await store.grant({ address: B }, TTL)).created, true);
    assertEquals((await store.grant({ address: A }, TTL)).created, true);
    assertEquals((await store.grant({ address: A }, TTL)).created, false);
    assertEquals(await addresses(store), [A, B]);
  });

  test("keeps an instance's data, and replaces them by its next ones", async ({ store }) => {
    const instance = { address: A, services: ["Foo"], weight: 3, metadata: { zone: "z", "__proto__x": "" } };
    await store.grant(instance, TTL);
    assertEquals((await store.list()).leases[0]?.instance, instance);
    await store.renew(A);
    assertEquals((await store.list()).leases[0]?.instance, instance);
    await store.grant({ address: A, services: ["Bar"] }, TTL);
    assertEquals((await store.list()).leases[0]?.instance, { address: A, services: ["Bar"] });
  });

  test("a lease ends when it is not renewed", async ({ store, advance, late }) => {
    await store.grant({ address: A }, TTL);
    await advance(TTL * 0.9);
    assertEquals(await addresses(store), [A]);
    await advance(TTL * 0.1 + late);
    assertEquals(await addresses(store), []);
    assertEquals(await store.renew(A), undefined);
    assertEquals(await store.revoke(A), false);
    assertEquals((await store.grant({ address: A }, TTL)).created, true);
  });

  test("a lease that is renewed in time never ends, by renew() or grant()", async ({ store, advance }) => {
    await store.grant({ address: A }, TTL);
    await store.grant({ address: B }, TTL);
    for (let i = 0; i < 5; i++) {
      await advance(TTL * 0.6);
      assertEquals((await store.renew(A))?.ttl, TTL);
      assertEquals((await store.grant({ address: B }, TTL)).created, false);
    }
    assertEquals(await addresses(store), [A, B]);
  });

  test("a lease of 0 never ends by itself", async ({ store, advance }) => {
    await store.grant({ address: A }, 0);
    await advance(TTL * 2);
    assertEquals(await addresses(store), [A]);
    assertEquals(await store.revoke(A), true);
    assertEquals(await addresses(store), []);
  });

  test("another ttl counts from when it is granted", async ({ store, advance, late }) => {
    await store.grant({ address: A }, 0);
    assertEquals((await store.grant({ address: A }, TTL)).lease.ttl, TTL);
    await advance(TTL + late);
    assertEquals(await addresses(store), []);
  });

  test("a removed server is gone at once, and may come back", async ({ store }) => {
    await store.grant({ address: A }, TTL);
    await store.grant({ address: B }, TTL);
    assertEquals(await store.revoke(A), true);
    assertEquals(await store.revoke(A), false);
    assertEquals(await store.renew(A), undefined);
    assertEquals(await addresses(store), [B]);
    assertEquals((await store.grant({ address: A }, TTL)).created, true);
  });

  test("names of built-in properties are names like any other", async ({ store }) => {
    for (const address of ["__proto__", "constructor", "toString"]) {
      assertEquals(await store.renew(address), undefined);
      assertEquals(await store.revoke(address), false);
    }
  });
}
