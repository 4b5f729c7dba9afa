// announce(): incarnations, several registries, draining, and leaving before a server stops accepting.

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { RegistryDiscovery } from "../../discovery/registry_discovery.ts";
import type { Fetch } from "../../discovery/registry_request.ts";
import { connect } from "../../client/connect.ts";
import { announce, type AnnounceOptions } from "../../registry/announce.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryOptions } from "../../registry/registry_options.ts";
import { Server } from "../../server/server.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { until } from "../support/waiting.ts";

const ADDRESS = "tcp@127.0.0.1:1";

/** Registries over one store, and how to announce there. Without jitter. */
function open(hosts = ["one.test"], registryOptions: RegistryOptions = {}) {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const registries = new Map(hosts.map((host) => [host, new Registry({ clock, store, ...registryOptions })]));
  const requests: string[] = [];
  const answers: number[] = [];
  const lines: string[] = [];
  const fetch: Fetch = async (url, init) => {
    const request = new Request(url, init);
    const { hostname } = new URL(url);
    requests.push(`${request.method} ${hostname.split(".")[0]}`);
    const registry = registries.get(hostname);
    if (registry === undefined) throw new TypeError("connection refused");
    const response = await registry.fetch(request);
    answers.push(response.status);
    return response;
  };
  const urls = hosts.map((host) => `http://${host}`);
  const start = (options: AnnounceOptions = {}, weight = 1) =>
    announce(urls, {
      address: ADDRESS,
      weight,
      services: ["Foo", "Bar"],
      version: "1.2",
      metadata: { zone: "z" },
    }, {
      clock,
      fetch,
      random: () => 0.5,
      log: (line) => lines.push(line),
      ...options,
    });
  const list = async () => (await store.list()).leases;
  return { clock, store, registries, requests, answers, lines, start, list };
}

Deno.test("announce: sends services, weight, version and metadata, and only once", async () => {
  const { clock, start, list, store } = open();
  await using _registration = await start();
  const { revision } = await store.list();
  const [lease] = await list();
  assertEquals(lease?.instance, {
    address: ADDRESS,
    weight: 1,
    services: ["Foo", "Bar"],
    version: "1.2",
    metadata: { zone: "z" },
  });
  await clock.advance(60_000);
  assertEquals([(await store.list()).revision, (await list())[0]?.instance], [revision, lease?.instance]);
});

Deno.test("announce: a replaced registration neither disturbs nor removes its successor", async () => {
  const { clock, answers, lines, start, list } = open();
  const old = await start({ ttl: 3_000 }, 1);
  const young = await start({ ttl: 3_000 }, 2);
  await clock.advance(20_000);
  assertEquals((await list()).map(({ instance }) => instance.weight), [2]);
  assertEquals(answers.includes(409), true);
  assertMatch(lines.at(-1)!, /a newer incarnation has replaced it on the list \(status 409\); retrying/);
  await old.close();
  assertEquals((await list()).length, 1);
  await young.close();
  assertEquals((await list()).length, 0);
});

Deno.test("announce: a replaced registration comes back when the other is gone", async () => {
  const { clock, start, list } = open();
  await using _old = await start({ ttl: 3_000 }, 1);
  const young = await start({ ttl: 3_000 }, 2);
  await clock.advance(10_000);
  await young.close();
  await clock.advance(1_500);
  assertEquals((await list()).map(({ instance }) => instance.weight), [1]);
});

Deno.test("announce: the next of several registries is used as soon as one is away", async () => {
  const { clock, registries, requests, start, list } = open(["two.test", "one.test"]);
  const registration = await start({ ttl: 3_000 });
  assertEquals(requests, ["POST one"]);
  const one = registries.get("one.test")!;
  registries.delete("one.test");
  await clock.advance(1_000);
  assertEquals(requests.slice(1), ["POST one", "POST two"]);
  await clock.advance(1_000);
  assertEquals(requests.slice(3), ["POST two"]);
  // A registry that has lost its store is as good as away.
  await registries.get("two.test")!.close();
  registries.set("one.test", one);
  await clock.advance(1_000);
  assertEquals(requests.slice(4), ["POST two", "POST one"]);
  for (let i = 0; i < 10; i++) {
    await clock.advance(1_000);
    assertEquals((await list()).length, 1);
  }
  registries.clear();
  const closing = registration.close();
  await clock.advance(1_000);
  await closing;
});

Deno.test("announce: sends its token, and reports that it is wrong", async () => {
  const { start, list } = open(["one.test"], { token: "secret" });
  const refused = await assertRejects(() => start({ token: "Secret" }), RpcError, "the token is wrong");
  assertEquals(refused.code, "unauthenticated");
  const registration = await start({ token: "secret" });
  assertEquals((await list()).length, 1);
  await registration.close();
  assertEquals((await list()).length, 0);
});

Deno.test("announce: is notified once that it is drained", async () => {
  const { clock, store, lines, start, list } = open();
  let drains = 0;
  await using _registration = await start({
    ttl: 3_000,
    onDrain: () => {
      drains++;
      throw new Error("of no use");
    },
  });
  await store.setState(ADDRESS, "paused");
  await clock.advance(3_000);
  assertEquals(drains, 0);
  await store.setState(ADDRESS, "draining");
  await clock.advance(5_000);
  assertEquals([drains, lines.at(-1)], [1, "announce: onDrain failed: Error: of no use"]);
  await store.setState(ADDRESS, "active");
  await clock.advance(1_000);
  await store.setState(ADDRESS, "draining");
  await clock.advance(1_000);
  assertEquals([drains, (await list())[0]?.state], [2, "draining"]);
});

Deno.test("announce: shutdown() leaves the list, waits until clients have seen it, and then shuts the server down", async () => {
  const { clock, start, list } = open();
  const registration = await start();
  const seen: unknown[] = [];
  const server = {
    shutdown: async (options?: { grace?: number }) =>
      void seen.push(options, clock.now(), (await list()).length),
  };
  const shuttingDown = registration.shutdown(server, { grace: 7 });
  await settle();
  assertEquals([await list(), seen], [[], []]);
  await clock.advance(99);
  assertEquals(seen, []);
  await clock.advance(1);
  await shuttingDown;
  assertEquals(seen, [{ grace: 7 }, 100, 0]);
});

Deno.test("announce: a server that restarts 10 times in good order fails no call of a client that watches", async () => {
  await using registry = new Registry();
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const url = `http://127.0.0.1:${http.addr.port}`;
  const start = async () => {
    const server = new Server().register("S", { who: () => "me" });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    return { server, registration: await announce(url, { address, services: ["S"] }) };
  };
  let [one, two] = [await start(), await start()];
  await using client = await connect(new RegistryDiscovery(url, { service: "S" }));
  let calls = 0;
  let running = true;
  const calling = (async () => {
    for (; running; calls++) assertEquals(await client.call("S.who"), "me");
  })();
  for (let i = 0; i < 10; i++) {
    const next = await start();
    await one.registration.shutdown(one.server, { grace: 60_000 });
    [one, two] = [two, next];
  }
  const before = calls;
  await until(() => calls > before, "another call");
  running = false;
  await calling;
  for (const { server, registration } of [one, two]) await registration.shutdown(server);
});
