// What RegistryDiscovery holds on to when servers vanish from the list, and what it does not, by the stream and by polling.

import { assertEquals } from "@std/assert";
import type { Fetch } from "../../discovery/registry_request.ts";
import { RegistryDiscovery } from "../../discovery/registry_discovery.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";

const ADDRESSES = Array.from({ length: 10 }, (_, i) => `tcp@127.0.0.1:${10 + i}`);
const [A, B, C] = ADDRESSES as [string, string, string];

/** A discovery that is watched, and a registry that can be restarted without what it knew. */
function open(by: "stream" | "polling", service?: string) {
  const clock = new FakeClock();
  let store = new MemoryStore({ clock });
  let registry = new Registry({ store, clock });
  let isAway = false;
  const fetch: Fetch = async (url, init) => {
    if (isAway) throw new TypeError("connection refused");
    const asked = new URL(url);
    // As with a proxy that answers a request for a stream with the list.
    if (by === "polling") asked.searchParams.delete("watch");
    return await registry.fetch(new Request(asked, init));
  };
  const discovery = new RegistryDiscovery(REGISTRY_URL, {
    clock,
    fetch,
    service,
    refreshInterval: 1_000,
    holdTime: 10_000,
    random: () => 0.5,
  });
  const stop = new AbortController();
  const sizes: number[] = [];
  const watching = (async () => {
    for await (const list of discovery.watch({ signal: stop.signal })) sizes.push(list.length);
  })();
  return {
    clock,
    sizes,
    get store() {
      return store;
    },
    addresses: async () => (await discovery.endpoints()).map(({ address }) => address),
    async restart() {
      isAway = true;
      await registry.close();
      // Revisions begin with the time at which a store is made.
      await new Promise((resolve) => setTimeout(resolve, 5));
      store = new MemoryStore({ clock });
      registry = new Registry({ store, clock });
      isAway = false;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await watching;
      await registry.close();
    },
  };
}

for (const by of ["stream", "polling"] as const) {
  Deno.test(`discovery by ${by}: a registry that restarts loses no server until all could register again`, async () => {
    await using opened = open(by);
    const { clock, sizes, restart, addresses } = opened;
    for (const address of ADDRESSES) await opened.store.grant({ address }, 0);
    await clock.advance(2_000);
    assertEquals(sizes.splice(0).at(-1), 10);
    await restart();
    // One after the other; the last one has died with the registry.
    for (const address of ADDRESSES.slice(0, 9)) {
      await opened.store.grant({ address }, 0);
      await clock.advance(700);
    }
    assertEquals(sizes, []);
    await clock.advance(15_000);
    assertEquals([sizes, await addresses()], [[9], ADDRESSES.slice(0, 9)]);
  });

  Deno.test(`discovery by ${by}: leases that expire one by one are kept like those that expire together`, async () => {
    await using opened = open(by);
    const { clock, store, sizes, addresses } = opened;
    for (const [i, address] of ADDRESSES.entries()) await store.grant({ address }, 3_000 + i * 150);
    await clock.advance(2_000);
    assertEquals(sizes.splice(0).at(-1), 10);
    await clock.advance(4_500);
    assertEquals((await store.list()).leases, []);
    assertEquals([await addresses(), Math.min(...sizes) >= 5], [ADDRESSES, true], `${sizes}`);
    // Some come back, and the others are let go in the end.
    await store.grant({ address: A }, 0);
    await store.grant({ address: B }, 0);
    await clock.advance(15_000);
    assertEquals(await addresses(), [A, B]);
  });

  Deno.test(`discovery by ${by}: one expired lease of several takes effect at once`, async () => {
    await using opened = open(by);
    const { clock, store, addresses } = opened;
    await store.grant({ address: A }, 3_000);
    for (const address of [B, C]) await store.grant({ address }, 0);
    await clock.advance(4_100);
    assertEquals(await addresses(), [B, C]);
  });

  for (const how of ["paused", "draining", "taken off"] as const) {
    Deno.test(`discovery by ${by}: the last server is gone once it is ${how}`, async () => {
      await using opened = open(by, "Pay");
      const { clock, store, addresses } = opened;
      for (const address of [A, B]) await store.grant({ address, services: ["Pay"] }, 0);
      await store.grant({ address: C, services: ["Other"] }, 0);
      await clock.advance(1_100);
      assertEquals(await addresses(), [A, B]);
      for (const address of [A, B]) {
        if (how === "taken off") await store.revoke(address);
        else await store.setState(address, how);
      }
      await clock.advance(1_100);
      assertEquals(await addresses(), []);
      // Nor does it come back when its lease runs out.
      await clock.advance(5_000);
      assertEquals(await addresses(), []);
    });
  }

  Deno.test(`discovery by ${by}: a server kept after a restart is dropped once it is paused`, async () => {
    await using opened = open(by);
    const { clock, restart, addresses } = opened;
    for (const address of [A, B, C]) await opened.store.grant({ address }, 0);
    await clock.advance(1_100);
    await restart();
    await opened.store.grant({ address: A }, 0);
    await clock.advance(1_500);
    assertEquals(await addresses(), [A, B, C]);
    await opened.store.grant({ address: B }, 0, 0, "paused");
    await clock.advance(1_500);
    assertEquals(await addresses(), [A, C]);
  });

  Deno.test(`discovery by ${by}: a paused server whose lease expires with the others is not kept`, async () => {
    await using opened = open(by);
    const { clock, store, addresses } = opened;
    for (const address of [A, B, C]) await store.grant({ address }, 5_000);
    await clock.advance(1_100);
    await store.setState(C, "paused");
    await clock.advance(6_000);
    assertEquals(await addresses(), [A, B]);
  });
}

Deno.test("discovery: a URL with ?all takes no server that is paused", async () => {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  await using registry = new Registry({ store, clock });
  const fetch: Fetch = (url, init) => registry.fetch(new Request(url, init));
  const discovery = new RegistryDiscovery(`${REGISTRY_URL}?all`, { clock, fetch, random: () => 0.5 });
  for (const address of [A, B]) await store.grant({ address }, 0);
  const watch = discovery.watch()[Symbol.asyncIterator]();
  await watch.next();
  await settle();
  for (const [address, left] of [[A, [B]], [B, []]] as [string, string[]][]) {
    await store.setState(address, "paused");
    await clock.advance(20);
    assertEquals((await discovery.endpoints()).map(({ address }) => address), left);
  }
  await watch.return?.();
});

Deno.test("registry: a removed server is listed as removed for a minute, unless it comes back", async () => {
  const clock = new FakeClock();
  await using registry = new Registry({ clock });
  const ask = async (method: string, query = "") =>
    await registry.fetch(new Request(`${REGISTRY_URL}${query}`, { method }));
  const list = async () => await (await ask("GET")).json();
  for (const address of [A, B]) {
    await registry.fetch(new Request(REGISTRY_URL, { method: "POST", headers: { "x-rpc-server": address } }));
    await ask("DELETE", `?address=${address}`);
  }
  assertEquals((await list()).withdrawn, [A, B]);
  await clock.advance(30_000);
  await registry.fetch(new Request(REGISTRY_URL, { method: "POST", headers: { "x-rpc-server": A } }));
  assertEquals((await list()).withdrawn, [B]);
  await clock.advance(30_000);
  assertEquals((await list()).withdrawn, undefined);
});
