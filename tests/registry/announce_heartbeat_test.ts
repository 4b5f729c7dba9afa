// announce(): the first registration, heartbeats, outages of the registry, and taking off.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { announce, type AnnounceOptions } from "../../registry/announce.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { REGISTRY_URL, RegistryLink } from "../support/registry_link.ts";

const ADDRESS = "tcp@127.0.0.1:1";
const INSTANCE = { address: ADDRESS, services: ["Foo"], weight: 2, metadata: { zone: "z" } };

/** A registry, the way to it, and how to announce there. Without jitter. */
function open() {
  const clock = new FakeClock();
  const link = new RegistryLink();
  let store: MemoryStore;
  /** An empty registry, as after a restart. */
  const restart = () => {
    store = new MemoryStore({ clock });
    link.registry = new Registry({ clock, store });
  };
  restart();
  const lines: string[] = [];
  const start = (options: AnnounceOptions = {}, instance = INSTANCE) =>
    announce(REGISTRY_URL, instance, {
      clock,
      fetch: link.fetch,
      random: () => 0.5,
      log: (line) => lines.push(line),
      ...options,
    });
  return { clock, link, lines, restart, start, list: async () => (await store.list()).leases };
}

Deno.test("announce: registers, renews at a third of the lease, and removes itself", async () => {
  const { clock, link, start, list } = open();
  const registration = await start({ ttl: 3_000 });
  assertEquals(registration.address, ADDRESS);
  assertEquals((await list()).map(({ instance, ttl }) => [instance, ttl]), [[INSTANCE, 3_000]]);
  await clock.advance(999);
  assertEquals(link.methods.length, 1);
  await clock.advance(1);
  assertEquals(link.methods.length, 2);
  await clock.advance(3_000);
  assertEquals([link.methods.length, (await list())[0]?.age], [5, 4_000]);
  await registration.close();
  assertEquals([await list(), clock.timers, link.methods.at(-1)], [[], 0, "DELETE"]);
});

Deno.test("announce: without a ttl the registry's is used, also if it is capped", async () => {
  for (const [ttl, beat] of [[undefined, 20_000], [3_600_000, 40_000]] as const) {
    const { clock, link, start, list } = open();
    link.registry = new Registry({ clock, ttl: 60_000, maxTtl: 120_000 });
    await using _registration = await start({ ttl });
    await clock.advance(beat - 1);
    assertEquals(link.methods.length, 1);
    await clock.advance(1);
    assertEquals(link.methods.length, 2);
    assertEquals(await list(), [], "the other registry's list");
  }
});

Deno.test("announce: a given interval is used, up to half of the lease", async () => {
  for (const [interval, beat] of [[4_000, 4_000], [5_000, 5_000], [5_001, 5_000], [9_900, 5_000]] as const) {
    const { clock, link, start } = open();
    await using _own = await start({ ttl: 10_000, interval });
    await clock.advance(beat - 1);
    assertEquals(link.methods.length, 1);
    await clock.advance(1);
    assertEquals(link.methods.length, 2);
  }
  const short = open();
  short.link.registry = new Registry({ clock: short.clock, ttl: 300 });
  await using _short = await short.start({ interval: 9_000 });
  await short.clock.advance(1_500);
  assertEquals(short.link.methods.length, 11);
});

Deno.test("announce: an interval near the lease keeps the server on the list, whatever the jitter", async () => {
  for (const random of [0, 0.999]) {
    const { clock, link, start, list } = open();
    await using _registration = await start({ ttl: 10_000, interval: 9_900, random: () => random });
    for (let i = 0; i < 100; i++) {
      // Some heartbeats are lost.
      link.override = i % 12 === 0 ? () => new Response("<html>", { status: 502 }) : undefined;
      await clock.advance(1_373);
      assertEquals((await list()).length, 1);
    }
    link.override = undefined;
  }
});

Deno.test("announce: a live server never leaves the list, whatever the jitter", async () => {
  for (const random of [0, 0.999]) {
    const { clock, start, list } = open();
    await using _registration = await start({ ttl: 1_000, random: () => random });
    for (let i = 0; i < 200; i++) {
      await clock.advance(53);
      assertEquals((await list()).length, 1);
    }
  }
});

Deno.test("announce: heartbeats never overlap, and one that gets no answer is given up", async () => {
  const { clock, link, start } = open();
  const registration = await start({ ttl: 300, timeout: 2_000 });
  link.silent = true;
  await clock.advance(60_000);
  assertEquals(link.mostAtOnce, 1);
  // One each 2 s, and up to a third of the interval of 100 ms between them.
  assertEquals(
    link.methods.length >= 28 && link.methods.length <= 31,
    true,
    `${link.methods.length} requests`,
  );
  const closing = registration.close();
  await clock.advance(1_000);
  await closing;
});

Deno.test("announce: survives an outage of the registry, and reports it once", async () => {
  const { clock, link, lines, start, restart, list } = open();
  await using _registration = await start();
  link.registry = undefined;
  await clock.advance(600_000);
  restart();
  assertEquals(await list(), []);
  await clock.advance(10_000 / 3 * 1.2);
  assertEquals((await list()).map(({ instance }) => instance), [INSTANCE]);
  assertEquals(lines, [
    `announce: registered ${ADDRESS} at ${REGISTRY_URL}`,
    `announce: Cannot reach registry at ${REGISTRY_URL}: connection refused; retrying until it succeeds`,
    `announce: registered ${ADDRESS} again: the registry had no entry for it`,
  ]);
});

Deno.test("announce: registers again with a registry that has restarted empty between two heartbeats", async () => {
  const { clock, start, restart, list } = open();
  await using _registration = await start({ ttl: 900 });
  restart();
  await clock.advance(300);
  assertEquals((await list()).length, 1);
});

Deno.test("announce: after a short outage the lease is renewed before it expires", async () => {
  const { clock, link, lines, start, list } = open();
  await using _registration = await start();
  const registry = link.registry;
  await clock.advance(3_000);
  link.registry = undefined;
  await clock.advance(5_000);
  link.registry = registry;
  await clock.advance(2_000);
  assertEquals((await list()).length, 1);
  assertEquals(lines.at(-1), `announce: renewed ${ADDRESS}: the registry is reachable again`);
});

Deno.test("announce: survives refusals of a registry that had accepted it before", async () => {
  const { clock, link, start, list } = open();
  await using _registration = await start();
  for (const status of [400, 404, 429, 500, 200]) {
    link.override = () => new Response("<html>", { status });
    await clock.advance(20_000);
  }
  link.override = undefined;
  await clock.advance(4_000);
  assertEquals((await list()).length, 1);
});

Deno.test("announce: waits for a registry that is away at the start", async () => {
  const { clock, link, lines, start, restart, list } = open();
  link.registry = undefined;
  let resolved = false;
  const registering = start().finally(() => resolved = true);
  await clock.advance(60_000);
  assertEquals(resolved, false);
  // 100 ms times 1.6 each, up to 1.1 s: 6 tries in the first 1.6 s, then one in 1.1 s.
  assertEquals(
    link.methods.length >= 55 && link.methods.length <= 62,
    true,
    `${link.methods.length} requests`,
  );
  restart();
  await clock.advance(4_000);
  await using _registration = await registering;
  assertEquals([(await list()).length, lines.length], [1, 2]);
});

Deno.test("announce: the signal ends waiting for the registry with its reason", async () => {
  const { clock, link, start } = open();
  link.registry = undefined;
  const controller = new AbortController();
  const registering = start({ signal: controller.signal });
  await clock.advance(1_000);
  controller.abort(new Error("changed my mind"));
  await assertRejects(() => registering, Error, "changed my mind");
  assertEquals(clock.timers, 0);

  link.silent = true;
  const silent = new AbortController();
  const asking = start({ signal: silent.signal });
  await settle();
  silent.abort(new Error("and again"));
  await assertRejects(() => asking, Error, "and again");
  await assertRejects(() => start({ signal: AbortSignal.abort(new Error("before")) }), Error, "before");
  assertEquals([clock.timers, link.underWay], [0, 0]);
});

Deno.test("announce: the signal removes the registration", async () => {
  const { clock, start, list } = open();
  const controller = new AbortController();
  const registration = await start({ signal: controller.signal });
  controller.abort();
  await settle();
  assertEquals([await list(), clock.timers], [[], 0]);
  await registration.close();
});

Deno.test("announce: a registry that refuses at the start says why", async () => {
  const { link, start } = open();
  const spaced = { ...INSTANCE, address: "unix@/tmp/a b" };
  const refused = await assertRejects(
    () => start({}, spaced),
    RpcError,
    "must be ASCII without spaces (status 400)",
  );
  assertEquals([refused.code, refused.remote], ["invalid_argument", true]);
  link.override = () => new Response("<html>", { status: 404 });
  const lost = await assertRejects(() => start(), RpcError, REGISTRY_URL);
  assertEquals(lost.code, "failed_precondition");
  link.override = () => new Response("<html>");
  await assertRejects(() => start(), RpcError, "not that of a registry (status 200)");
});

Deno.test("announce: close() is done once however often it is called, and leaks nothing", async () => {
  const { clock, link, start, list } = open();
  const registration = await start();
  await Promise.all([registration.close(), registration.close(), registration[Symbol.asyncDispose]()]);
  await registration.close();
  await clock.advance(60_000);
  assertEquals([link.methods, await list()], [["POST", "DELETE"], []]);
});

Deno.test("announce: close() waits for a heartbeat in flight, so that it cannot arrive afterwards", async () => {
  const { clock, link, start } = open();
  const registration = await start({ ttl: 300 });
  link.silent = true;
  await clock.advance(100);
  const closing = registration.close();
  await clock.advance(499);
  assertEquals(link.methods, ["POST", "POST"]);
  link.silent = false;
  await clock.advance(1);
  await closing;
  assertEquals(link.methods, ["POST", "POST", "DELETE"]);
});

Deno.test("announce: close() takes 1 s at most when the registry is away, and does not reject", async () => {
  const { clock, link, lines, start } = open();
  const registration = await start({ ttl: 300 });
  link.silent = true;
  await clock.advance(100);
  let closed = false;
  const closing = registration.close().then(() => closed = true);
  await clock.advance(999);
  assertEquals(closed, false);
  await clock.advance(1);
  await closing;
  assertEquals([clock.timers, link.underWay], [0, 0]);
  assertStringIncludes(lines.at(-1)!, `${ADDRESS} stays on the list until its lease expires`);
});

Deno.test("announce: invalid arguments are refused before any request", async () => {
  const { link, start } = open();
  await assertRejects(() => announce("foo", INSTANCE), TypeError, "registry URL");
  await assertRejects(() => start({}, { ...INSTANCE, address: "tcp@127.0.0.1:0" }), TypeError, "port 0");
  for (const host of ["0.0.0.0", "[::]", "0", "[0:0::0]", "[::ffff:0.0.0.0]"]) {
    for (const address of [`tcp@${host}:9000`, `ws@${host}:9000/path`]) {
      const refused = () => start({}, { ...INSTANCE, address });
      const error = await assertRejects(refused, TypeError, `Cannot announce ${address}: `);
      assertStringIncludes(error.message, `such as ${address.slice(0, address.indexOf("@"))}@10.0.0.7:9000`);
    }
  }
  await assertRejects(() => start({}, { ...INSTANCE, weight: -1 }), RangeError, "weight");
  await assertRejects(() => start({ ttl: -1 }), RangeError, "ttl");
  await assertRejects(() => start({ interval: 0 }), RangeError, "interval");
  await assertRejects(() => start({ timeout: NaN }), RangeError, "timeout");
  await assertRejects(() => start({ ttl: 100, interval: 100 }), RangeError, "expected less than ttl");
  assertEquals(link.methods, []);
});

Deno.test("announce: over a network, in real time, with a registry that restarts on its port", async () => {
  const serve = (port: number) => {
    const registry = new Registry({ ttl: 3_600_000 });
    return {
      registry,
      server: Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, registry.fetch),
    };
  };
  const first = serve(0);
  const { port } = first.server.addr;
  const url = `http://127.0.0.1:${port}/_rpc_/registry`;
  const listed = async () => {
    const response = await fetch(url);
    return (await response.json()).servers.length;
  };
  const again = Promise.withResolvers<void>();
  // Heartbeats are frequent, but none that is late loses the entry.
  const registration = await announce(url, INSTANCE, {
    interval: 50,
    log: (line) => line.includes("the registry had no entry for it") && again.resolve(),
  });
  assertEquals(await listed(), 1);
  await first.server.shutdown();
  const second = serve(port);
  await again.promise;
  assertEquals(await listed(), 1);
  await registration.close();
  assertEquals(await listed(), 0);
  await second.server.shutdown();
});

Deno.test("announce: a misspelt field of the instance is refused with the name that was meant", async () => {
  const instance = { address: "tcp@10.0.0.1:1", servces: ["Jobs"] };
  await assertRejects(() => announce("http://127.0.0.1:1", instance), TypeError, '"services"');
});

Deno.test("announce: an answer with an invalid lease time is refused", async () => {
  for (const ttl of ["1e999", "-1", "0.001", "2147483648", '"10000"', "null"]) {
    const { link, start } = open();
    link.override = () => new Response(`{"address":"${INSTANCE.address}","ttl":${ttl},"age":0}`);
    await assertRejects(() => start(), RpcError, "its response is not that of a registry");
  }
});

Deno.test("announce: an invalid number of an incarnation is not sent back", async () => {
  const { link, clock, start } = open();
  link.override = () =>
    new Response(`{"address":"${INSTANCE.address}","ttl":3000,"age":0,"incarnation":1e999}`);
  await using _registration = await start();
  await clock.advance(1_000);
  assertEquals(link.methods, ["POST", "POST"]);
});
