// Clients of many servers on a bad network, exactly: who is called, who is left alone, who comes back, and when.

import { assert, assertEquals } from "@std/assert";
import {
  announce,
  type CallContext,
  connect,
  MultiServers,
  Registry,
  RegistryDiscovery,
  Server,
} from "../../mod.ts";
import { parseAddress } from "../../discovery/endpoint.ts";
import { simulate } from "../../testing/mod.ts";

Deno.test("many servers: calls leave a server that is partitioned off, and come back to it", () =>
  simulate(async ({ network, time, sleep }) => {
    const hosts = ["one", "two"];
    const executed: number[] = [];
    const open = async (host: string) => {
      const who = (id: number) => (executed.push(id), host);
      const server = new Server({ network: network.host(host) }).register("S", { who });
      await server.listen(`tcp@${host}:1`);
      return server;
    };
    await using one = await open("one");
    await using two = await open("two");
    await using client = await connect(new MultiServers(hosts.map((host) => `tcp@${host}:1`)), {
      network: network.host("client"),
      heartbeatInterval: 1_000,
      heartbeatTimeout: 1_000,
      connectTimeout: 1_000,
    });
    let calls = 0;
    const call = () => client.call<string>("S.who", calls++, { timeout: 200 });
    const answers = (n: number) => Promise.allSettled(Array.from({ length: n }, call));
    assertEquals((await answers(10)).filter((each) => each.status === "fulfilled").length, 10);
    network.partition("client", "one");
    // What has gone that way already waits for its deadline: it may have been started.
    const lost = (await answers(10)).filter((each) => each.status === "rejected");
    assertEquals(lost.length, 5);
    for (const { reason } of lost) {
      assertEquals([reason.code, reason.notStarted], ["deadline_exceeded", false]);
    }
    // The last word of the server came at the time of the partition, 0.
    await sleep(2_001 - time.now);
    const begun = time.now;
    // While it is dialled again, calls wait for it no longer than half of their time: the rest is for the other.
    for (const each of await answers(10)) assert(each.status === "fulfilled" && each.value === "two");
    assertEquals(time.now - begun, 100);
    for (const each of await answers(10)) assert(each.status === "fulfilled" && each.value === "two");
    await sleep(60_000);
    network.heal();
    await sleep(13_000);
    const spread = async () => {
      const back = (await answers(10)).map((each) => each.status === "fulfilled" ? each.value : "failed");
      return hosts.map((host) => back.filter((who) => who === host).length);
    };
    // It had been ejected, so one call probes it; once that has gone well, it gets its share.
    assertEquals([await spread(), await spread()], [[1, 9], [5, 5]]);
    // What the partition held was delivered after it, to a connection that had been given up: nothing ran twice.
    assertEquals(new Set(executed).size, executed.length);
    assertEquals([one.stats().connections, two.stats().connections], [1, 1]);
  }));

Deno.test("many servers: a call with little time keeps half of it for another server than one that is slow to connect", () =>
  simulate(async ({ network, time }) => {
    const slow = network.host("slow").listen(parseAddress("tcp@slow:1"));
    await using server = new Server({ network: network.host("quick") }).register("S", { who: () => "quick" });
    await server.listen("tcp@quick:1");
    await using client = await connect(new MultiServers(["tcp@slow:1", "tcp@quick:1"]), {
      network: network.host("client"),
    });
    const calls = Array.from({ length: 4 }, () => client.call("S.who", null, { timeout: 80 }));
    assertEquals(await Promise.all(calls), ["quick", "quick", "quick", "quick"]);
    assertEquals(time.now, 40);
    slow.close();
  }));

Deno.test("many servers: a lease runs out under a partition, and the server is back after it", () =>
  simulate(async ({ network, time, sleep }) => {
    const [hub, shop] = [network.host("hub"), network.host("shop")];
    await using registry = new Registry({ ttl: 6_000 });
    using _web = hub.serve(9999, registry.fetch);
    await using servers = new AsyncDisposableStack();
    for (const host of [network.host("one"), network.host("two")]) {
      const server = servers.use(new Server({ network: host }).register("S", { who: () => host.name }));
      const { address } = await server.listen(`tcp@${host.name}:1`);
      servers.use(await announce("http://hub:9999", { address }, { fetch: host.fetch }));
    }
    const discovery = new RegistryDiscovery("http://hub:9999", { fetch: shop.fetch, refreshInterval: 1_000 });
    await using client = await connect(discovery, { network: shop });
    const listed = async () => {
      const list = await (await hub.fetch("http://hub:9999/_rpc_/registry")).json();
      return list.servers.map(({ address }: { address: string }) => address);
    };
    await sleep(60_000);
    assertEquals(await listed(), ["tcp@one:1", "tcp@two:1"]);

    network.partition("one", "hub");
    const from = time.now;
    while ((await listed()).length === 2) await sleep(1);
    // Its last heartbeat may have come just before: after the partition it stays for a whole ttl at most, and for what
    // is left of it after an interval of a third, ±10 %, at least.
    const left = time.now - from;
    assert(left > 6_000 - 2_200 && left <= 6_000, `${left} ms`);
    await sleep(1_200);
    // The registry does not list it, so the client lets it go, which could reach it all the same.
    assertEquals(client.stats().endpoints.map(({ address }) => address), ["tcp@two:1"]);
    for (let n = 0; n < 4; n++) assertEquals(await client.call("S.who"), "two");

    network.heal();
    // A request times out after 2 s, and the next comes after a third of an interval at most, ±20 %.
    await sleep(2_000 + 800 + 1_200);
    assertEquals(await listed(), ["tcp@one:1", "tcp@two:1"]);
    const who = [await client.call<string>("S.who"), await client.call<string>("S.who")];
    assertEquals(who.sort(), ["one", "two"]);
  }));

Deno.test("many servers: a call whose handler calls back finishes though its server leaves the list, and shuts down", () =>
  simulate(async ({ network, time, sleep }) => {
    network.shape({ delay: 20 });
    const [hub, one, shop] = [network.host("hub"), network.host("one"), network.host("shop")];
    await using registry = new Registry();
    using _web = hub.serve(9999, registry.fetch);
    const ask = async (ms: number, { peer }: CallContext) => {
      await sleep(ms);
      return await peer.call("Shop.name");
    };
    await using server = new Server({ network: one }).register("S", { ask });
    const { address } = await server.listen("tcp@one:1");
    await using registration = await announce("http://hub:9999", { address }, { fetch: one.fetch });
    const discovery = new RegistryDiscovery("http://hub:9999", { fetch: shop.fetch, holdTime: 0 });
    await using client = await connect(discovery, {
      network: shop,
      services: { Shop: { name: () => "shop" } },
    });
    assertEquals(await client.call("S.ask", 0), "shop");
    const began = time.now;
    const calls = [client.call("S.ask", 500), client.call("S.ask", 1_500)];
    await sleep(100);
    await registration.close();
    await sleep(100);
    assertEquals(client.stats().endpoints, []);
    assertEquals(await calls[0], "shop");
    const ended = server.shutdown();
    assertEquals(await calls[1], "shop");
    assertEquals(time.now - began, 1_500 + 4 * 20);
    await ended;
  }));

Deno.test("many servers: while the registry is partitioned off, clients keep the servers they know", () =>
  simulate(async ({ network, sleep }) => {
    const [hub, one, shop] = [network.host("hub"), network.host("one"), network.host("shop")];
    await using registry = new Registry();
    using _web = hub.serve(9999, registry.fetch);
    await using server = new Server({ network: one }).register("S", { who: () => "one" });
    const { address } = await server.listen("tcp@one:1");
    await using _registration = await announce("http://hub:9999", { address }, { fetch: one.fetch });
    const discovery = new RegistryDiscovery("http://hub:9999", { fetch: shop.fetch });
    await using client = await connect(discovery, { network: shop });
    network.partition("hub");
    for (let minute = 0; minute < 10; minute++) {
      await sleep(60_000);
      assertEquals(await client.call("S.who", null, { timeout: 50 }), "one");
    }
    network.heal();
  }));

Deno.test("many servers: connections reach the intended server, in whatever order they are made", () =>
  simulate(async ({ network, random }) => {
    network.shape({ connectDelay: [1, 400], delay: [1, 50], chunk: [1, 30] });
    await using servers = new AsyncDisposableStack();
    const hosts = Array.from({ length: 10 }, (_, n) => `s${n}`);
    for (const host of hosts) {
      const server = servers.use(
        new Server({ network: network.host(host) }).register("S", { who: () => host }),
      );
      await server.listen(`tcp@${host}:1`);
    }
    const shop = network.host("shop");
    const answers = await Promise.all(Array.from({ length: 100 }, async () => {
      const host = hosts[Math.floor(random() * hosts.length)]!;
      await using client = await connect(`tcp@${host}:1`, { network: shop });
      return [host, await client.call("S.who")];
    }));
    for (const [host, who] of answers) assertEquals(who, host);
  }));

Deno.test("many clients: they do not all come back at once after a cut, and all come back", () =>
  simulate(async ({ network, time, sleep }) => {
    const arrivals: number[] = [];
    const authenticate = () => arrivals.push(time.now) > 0;
    await using server = new Server({ network: network.host("server"), authenticate }).register("S", {
      ok: () => 1,
    });
    await server.listen("tcp@server:1");
    const options = { network: network.host("clients") };
    await using clients = new AsyncDisposableStack();
    for (let n = 0; n < 300; n++) clients.use(await connect("tcp@server:1", options));
    await sleep(5_000);
    arrivals.length = 0;
    const cutAt = time.now;
    assertEquals(network.cut("server"), 300);
    await sleep(1_000);
    assertEquals([arrivals.length, server.stats().connections], [300, 300]);
    // They are spread over 100 ms, 30 in each tenth of it.
    const tenths = Array.from(
      { length: 10 },
      (_, n) => arrivals.filter((at) => Math.floor((at - cutAt) / 10) === n).length,
    );
    assert(Math.max(...tenths) < 60 && tenths.every((count) => count > 10), tenths.join(" "));
  }));
