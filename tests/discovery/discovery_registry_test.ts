// RegistryDiscovery: the contract of every discovery, refreshing, and a registry that is away or talks nonsense.

import { assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import { RegistryDiscovery, type RegistryDiscoveryOptions } from "../../discovery/registry_discovery.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import { testDiscovery } from "../support/contracts/discovery.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { REGISTRY_URL, RegistryLink } from "../support/registry_link.ts";

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";

/** A discovery, the way to its registry, and what the registry lists. Without jitter. */
function open(options: RegistryDiscoveryOptions = {}) {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const link = new RegistryLink(new Registry({ store, clock }));
  const discovery = new RegistryDiscovery(REGISTRY_URL, {
    clock,
    fetch: link.fetch,
    random: () => 0.5,
    ...options,
  });
  const register = async (...endpoints: Endpoint[]) => {
    for (const endpoint of endpoints) await store.grant(endpoint, 0);
  };
  return { clock, store, link, discovery, register };
}

testDiscovery("RegistryDiscovery", async (endpoints) => {
  const { clock, store, link, discovery, register } = open({ holdTime: 0 });
  await register(...endpoints);
  return {
    discovery,
    async change(endpoints) {
      for (const { instance } of (await store.list()).leases) await store.revoke(instance.address);
      await register(...endpoints);
      await clock.advance(10_000);
    },
    isIdle: () => clock.timers === 0 && link.underWay === 0,
  };
});

Deno.test("RegistryDiscovery: asks again only when its list has grown old", async () => {
  const { clock, link, discovery, register } = open({ refreshInterval: 1_000 });
  assertEquals(link.methods, [], "the constructor asked");
  assertEquals(await discovery.endpoints(), []);
  await register({ address: A });
  await clock.advance(999);
  assertEquals(await discovery.endpoints(), []);
  await clock.advance(1);
  assertEquals(await discovery.endpoints(), [{ address: A }]);
  assertEquals(link.methods.length, 2);
});

Deno.test("RegistryDiscovery: however many ask, there is one request", async () => {
  const { clock, link, discovery, register } = open();
  await register({ address: A });
  const asked = await Promise.all(Array.from({ length: 10 }, () => discovery.endpoints()));
  for (const list of asked) assertEquals(list, [{ address: A }]);
  assertEquals(link.methods.length, 1);
  const watches = Array.from({ length: 10 }, () => discovery.watch()[Symbol.asyncIterator]());
  for (const { value } of await Promise.all(watches.map((watch) => watch.next()))) {
    assertEquals(value, [{ address: A }]);
  }
  await settle();
  assertEquals(link.methods.length, 2);
  await clock.advance(30_000);
  assertEquals([link.methods.length, link.mostAtOnce], [5, 1]);
  for (const watch of watches) await watch.return?.();
  await settle();
  assertEquals(clock.timers, 0);
});

Deno.test("RegistryDiscovery: refreshes are jittered by a tenth", async () => {
  for (const [random, wait] of [[0, 9_000], [1, 11_000]] as const) {
    const { clock, link, discovery } = open({ random: () => random });
    const watch = discovery.watch()[Symbol.asyncIterator]();
    await watch.next();
    await clock.advance(wait - 1);
    assertEquals(link.methods.length, 1);
    await clock.advance(1);
    assertEquals(link.methods.length, 2);
    await watch.return?.();
  }
});

Deno.test("RegistryDiscovery: endpoints() fails if there has never been a list, and says where it asked", async () => {
  const { link, discovery, register } = open();
  link.registry = undefined;
  const error = await assertRejects(() => discovery.endpoints(), RpcError, REGISTRY_URL);
  assertEquals([error.code, error.message], [
    "unavailable",
    `Cannot reach registry at ${REGISTRY_URL}: connection refused`,
  ]);
  assertInstanceOf(error.cause, TypeError);
  link.registry = open().link.registry;
  await register({ address: A });
  assertEquals(await discovery.endpoints(), []);
});

Deno.test("RegistryDiscovery: a registry that does not answer is given up after the timeout", async () => {
  const { clock, link, discovery } = open({ timeout: 300 });
  link.silent = true;
  const failed = assertRejects(() => discovery.endpoints(), RpcError, "no answer within 300 ms");
  await clock.advance(299);
  assertEquals(link.underWay, 1);
  await clock.advance(1);
  await failed;
  assertEquals([link.underWay, clock.timers], [0, 0]);
});

Deno.test("RegistryDiscovery: a watch keeps trying until there is a list, ever less often", async () => {
  const { clock, link, discovery, register } = open({ refreshInterval: 1_000 });
  const registry = link.registry;
  link.registry = undefined;
  await register({ address: A });
  const watch = discovery.watch()[Symbol.asyncIterator]();
  const next = watch.next();
  // 100, 160, 256, 409.6, 655.36 ms, then 1 s each.
  const tries: number[] = [];
  for (let i = 0; i < 10; i++) {
    await clock.advance(500);
    tries.push(link.methods.length);
  }
  assertEquals(tries, [3, 5, 5, 6, 6, 7, 7, 8, 8, 9]);
  link.registry = registry;
  await clock.advance(1_000);
  assertEquals((await next).value, [{ address: A }]);
  await watch.return?.();
});

Deno.test("RegistryDiscovery: failure() describes the registry's current error", async () => {
  const { link, discovery, register } = open();
  assertEquals(discovery.failure?.message, `The registry at ${REGISTRY_URL} has not answered yet`);
  const { registry } = link;
  link.registry = undefined;
  await register({ address: A });
  await assertRejects(() => discovery.endpoints(), RpcError);
  assertEquals(discovery.failure?.message, `Cannot reach registry at ${REGISTRY_URL}: connection refused`);
  link.registry = registry;
  await discovery.endpoints();
  assertEquals(discovery.failure, undefined);
});

Deno.test("RegistryDiscovery: keeps the last good list while the registry is away, and follows when it is back", async () => {
  const { clock, link, discovery, register } = open();
  await register({ address: A });
  const watch = discovery.watch()[Symbol.asyncIterator]();
  await watch.next();
  const registry = link.registry;
  const next = watch.next();
  link.registry = undefined;
  await clock.advance(600_000);
  assertEquals(await discovery.endpoints(), [{ address: A }]);
  await register({ address: B });
  link.registry = registry;
  await clock.advance(12_000);
  assertEquals((await next).value, [{ address: A }, { address: B }]);
  await watch.return?.();
});

Deno.test("RegistryDiscovery: without a watch, an outage costs one request in each refreshInterval", async () => {
  const { clock, link, discovery, register } = open();
  await register({ address: A });
  await discovery.endpoints();
  link.registry = undefined;
  await clock.advance(10_000);
  for (let i = 0; i < 100; i++) assertEquals(await discovery.endpoints(), [{ address: A }]);
  assertEquals(link.methods.length, 2);
});

Deno.test("RegistryDiscovery: an invalid answer is not taken for a list, an empty list is one", async () => {
  const { clock, link, discovery, register } = open({ maxListBytes: 1_000 });
  await register({ address: A });
  await discovery.endpoints();
  const good = `{"servers":[]}`;
  const nonsense: (() => Response)[] = [
    () => new Response("<html>"),
    () => new Response(null),
    () => Response.json(null),
    () => Response.json([]),
    () => Response.json({ servers: "tcp@127.0.0.1:1" }),
    () => Response.json({ servers: [] }, { status: 500 }),
    () => Response.json({ servers: [] }, { status: 203 }),
    () => new Response(good + " ".repeat(1_000)),
    () => new Response(new Uint8Array([0xff, 0xfe])),
    () => new Response(new ReadableStream({ start: (controller) => controller.error(new Error("reset")) })),
  ];
  for (const answer of nonsense) {
    link.override = answer;
    await clock.advance(10_000);
    assertEquals(await discovery.endpoints(), [{ address: A }]);
  }
  link.override = () => new Response(good);
  await clock.advance(10_000);
  await discovery.endpoints();
  await clock.advance(10_000);
  assertEquals(await discovery.endpoints(), []);
});

Deno.test("RegistryDiscovery: an answer without end is cut at the bound", async () => {
  const { link, discovery } = open({ maxListBytes: 100_000 });
  let pulls = 0;
  let canceled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      pulls++;
      controller.enqueue(new Uint8Array(10_000).fill(0x20));
    },
    cancel: () => void (canceled = true),
  });
  link.override = () => new Response(endless);
  await assertRejects(() => discovery.endpoints(), RpcError, "longer than 100000 bytes");
  assertEquals([pulls <= 13, canceled], [true, true]);
});

Deno.test("RegistryDiscovery: entries that are no endpoints are left out one by one, the rest is put in order", async () => {
  const { link, discovery } = open();
  const entries = [
    B,
    { address: B },
    { address: A, weight: 2, age: 7 },
    null,
    7,
    [],
    {},
    { address: "constructor" },
    {
      address: "tcp@127.0.0.1:0",
    },
    { address: "tcp@127.0.0.1:70000" },
    { address: "tcp@127.0.0.1:3", weight: -1 },
    {
      address: "tcp@127.0.0.1:3",
      metadata: { a: "x".repeat(5_000) },
    },
  ];
  link.override = () => Response.json({ servers: entries });
  assertEquals(await discovery.endpoints(), [{ address: A, weight: 2 }, { address: B }]);
});

Deno.test("RegistryDiscovery: asks for one service", async () => {
  const { discovery, register } = open({ service: "Foo & Söhne" });
  await register({ address: A, services: ["Foo & Söhne", "Bar"] }, { address: B, services: ["Bar"] });
  assertEquals((await discovery.endpoints()).map(({ address }) => address), [A]);
});

Deno.test("RegistryDiscovery: the last watch to end aborts the request, unless endpoints() uses it", async () => {
  const { clock, link, discovery, register } = open();
  link.silent = true;
  const controller = new AbortController();
  const next = discovery.watch({ signal: controller.signal })[Symbol.asyncIterator]().next();
  await settle();
  assertEquals(link.underWay, 1);
  controller.abort();
  await next;
  await settle();
  assertEquals([link.underWay, clock.timers], [0, 0]);

  link.silent = false;
  await register({ address: A });
  const watch = discovery.watch()[Symbol.asyncIterator]();
  const waiting = watch.next();
  const list = discovery.endpoints();
  await watch.return?.();
  assertEquals(await list, [{ address: A }]);
  assertEquals((await waiting).done, true);
});

Deno.test("RegistryDiscovery: a watch that begins as another ends does not wait for the request given up", async () => {
  const { link, discovery, register } = open();
  await register({ address: A });
  link.silent = true;
  const first = discovery.watch()[Symbol.asyncIterator]();
  first.next();
  await settle();
  await first.return?.();
  link.silent = false;
  const second = discovery.watch()[Symbol.asyncIterator]();
  assertEquals((await second.next()).value, [{ address: A }]);
  await second.return?.();
});

Deno.test("RegistryDiscovery: invalid arguments are refused at once", () => {
  for (const url of ["", "foo", "127.0.0.1:9999", "tcp@127.0.0.1:1", "ftp://a", "/_rpc_/registry"]) {
    assertThrows(() => new RegistryDiscovery(url), TypeError, "expected a URL such as http://127.0.0.1:9999");
  }
  const secret = assertThrows(() => new RegistryDiscovery("http://user:secret@a:1"), TypeError, "password");
  assertEquals(secret.message.includes("secret"), false);
  for (const ms of [0, -1, 9, NaN, Infinity, 2 ** 31]) {
    assertThrows(
      () => new RegistryDiscovery(REGISTRY_URL, { refreshInterval: ms }),
      RangeError,
      "refreshInterval",
    );
  }
  assertThrows(() => new RegistryDiscovery(REGISTRY_URL, { timeout: 0 }), RangeError, "timeout");
  assertThrows(() => new RegistryDiscovery(REGISTRY_URL, { maxListBytes: 0.5 }), RangeError, "maxListBytes");
  assertThrows(() => new RegistryDiscovery(REGISTRY_URL, { service: "" }), TypeError, "service");
  const wrong = { timeout: "1" } as unknown as RegistryDiscoveryOptions;
  assertThrows(() => new RegistryDiscovery(REGISTRY_URL, wrong), TypeError, 'timeout "1"');
});

Deno.test("RegistryDiscovery: over a network, from an origin alone", async () => {
  await using registry = new Registry();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const url = new URL(`http://127.0.0.1:${server.addr.port}`);
  const response = await fetch(new URL("/_rpc_/registry", url), {
    method: "POST",
    headers: { "X-Rpc-Server": A },
  });
  await response.body?.cancel();
  for await (const list of new RegistryDiscovery(url).watch()) {
    assertEquals(list, [{ address: A }]);
    break;
  }
});
