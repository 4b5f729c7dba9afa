// What the library promises for bad networks, to the millisecond: with simulated time there is nothing to be lenient
// about.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  announce,
  type CallContext,
  connect,
  type ConnectOptions,
  MultiServers,
  Registry,
  RegistryDiscovery,
  RpcError,
  Server,
  type ServerOptions,
} from "../mod.ts";
import { parseAddress } from "../discovery/endpoint.ts";
import { simulate, type Simulation } from "../testing/mod.ts";
import { fails } from "./session_pair.ts";

const NEVER = new AbortController().signal;

/** A server on the host `server`. */
async function serve({ network }: Simulation, methods: object, options: ServerOptions = {}): Promise<Server> {
  const server = new Server({ network: network.host("server"), ...options }).register("S", methods);
  await server.listen("tcp@server:1");
  return server;
}

function dial({ network }: Simulation, options: ConnectOptions = {}) {
  return connect("tcp@server:1", { network: network.host("client"), ...options });
}

const hang = () => new Promise(() => {});

Deno.test("faults: both sides of a black hole find it after heartbeatInterval and heartbeatTimeout", () =>
  simulate(async (sim) => {
    const { network, time, sleep } = sim;
    const cut: [string, number][] = [];
    const log = (who: string) => (line: string) => line.startsWith("Cut off") && cut.push([who, time.now]);
    let aborted = 0;
    const wait = (_: null, { signal }: CallContext) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve(aborted = time.now)));
    await using server = await serve(sim, { wait }, { log: log("server") });
    await using client = await dial(sim, {
      heartbeatInterval: 10_000,
      heartbeatTimeout: 3_000,
      log: log("client"),
    });
    const call = client.call("S.wait", null, { timeout: Infinity });
    await sleep(5_000);
    network.halfOpen(["client", "server"]);
    const error = await fails(call, "unavailable", "silent for 13000 ms");
    assertEquals([error.notStarted, time.now], [false, 13_000]);
    // The server last heard of the client at 0 too, and waits for 30 s and 10 s.
    await sleep(40_000);
    assertEquals([cut, aborted], [[["client", 13_000], ["server", 40_000]], 40_000]);
    assertEquals([server.stats().inFlight, server.stats().connections], [0, 1]);
  }));

for (const direction of ["up", "down"]) {
  Deno.test(`faults: a slow ${direction}load that gets on is no silence, however long a ping waits behind it`, () =>
    simulate(async (sim) => {
      const { network, time } = sim;
      network.shape({ bandwidth: 100_000, delay: 20 });
      const methods = {
        length: (bytes: Uint8Array) => bytes.length,
        make: (length: number) => new Uint8Array(length),
      };
      const cut: string[] = [];
      const log = (line: string) => void cut.push(line);
      await using _server = await serve(sim, methods, { log });
      await using client = await dial(sim, { timeout: Infinity, log });
      // 9 MB take 90 s at this rate, longer than the heartbeat's 30 s and 10 s.
      const results = await Promise.all([1, 2, 3].map(async () => {
        if (direction === "up") return await client.call("S.length", new Uint8Array(3_000_000));
        return (await client.call<Uint8Array>("S.make", 3_000_000)).length;
      }));
      assertEquals([results, cut], [[3_000_000, 3_000_000, 3_000_000], []]);
      assert(time.now > 90_000);
    }));
}

Deno.test("faults: a black hole is found with much to be written too", () =>
  simulate(async (sim) => {
    const { network, time, sleep } = sim;
    await using _server = await serve(sim, { hang });
    await using client = await dial(sim);
    await sleep(1_000);
    network.halfOpen(["client", "server"]);
    const call = client.call("S.hang", new Uint8Array(200_000), { timeout: Infinity });
    await fails(call, "unavailable", "nothing could be written for 10000 ms");
    assertEquals(time.now, 11_000);
    // What fits into the system's buffers leaves no more to be written, and is found by the heartbeat.
    const other = client.call("S.hang", new Uint8Array(50_000), { timeout: Infinity });
    await sleep(1_000);
    const began = time.now;
    network.halfOpen(["client", "server"]);
    await fails(other, "unavailable", "silent");
    assert(time.now - began <= 40_000, `${time.now - began} ms`);
  }));

Deno.test("faults: a deadline passes at its millisecond on both sides, whatever the network does", () =>
  simulate(async (sim) => {
    const { network, time } = sim;
    const aborted: number[] = [];
    const wait = (_: null, { signal }: CallContext) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve(aborted.push(time.now))));
    await using _server = await serve(sim, { wait });
    await using client = await dial(sim);
    network.shape({ delay: 30 });
    for (const timeout of [1, 29, 31, 500, 30_000]) {
      const began = time.now;
      await fails(client.call("S.wait", null, { timeout }), "deadline_exceeded");
      assertEquals(time.now - began, timeout);
      await sim.sleep(100);
      assertEquals(aborted.splice(0), [began + timeout + 30]);
    }
    network.partition("client");
    const began = time.now;
    await fails(client.call("S.wait", null, { timeout: 777 }), "deadline_exceeded");
    assertEquals(time.now - began, 777);
  }));

Deno.test("faults: a server that does not answer the handshake costs connectTimeout, to the millisecond", () =>
  simulate(async (sim) => {
    const { network, time } = sim;
    const listener = network.host("server").listen(parseAddress("tcp@server:1"));
    await fails(dial(sim, { connectTimeout: 1_234 }), "deadline_exceeded", "no answer within 1234 ms");
    assertEquals(time.now, 1_234);
    network.partition("client");
    await fails(dial(sim, { connectTimeout: 1_000 }), "deadline_exceeded", "no answer within 1000 ms");
    assertEquals(time.now, 2_234);
    listener.close();
  }));

Deno.test("faults: a client that trickles its handshake is cut off after handshakeTimeout", () =>
  simulate(async (sim) => {
    const { network, time, sleep } = sim;
    await using server = await serve(sim, { hang }, { handshakeTimeout: 3_000 });
    const conn = await network.host("client").dial(parseAddress("tcp@server:1"), NEVER);
    const trickle = (async () => {
      await conn.write(new TextEncoder().encode('{"'));
      while (await conn.write(new TextEncoder().encode("x")) > 0) await sleep(100);
    })().catch(() => {});
    let answer = "";
    const into = new Uint8Array(1_000);
    for (let count = await conn.read(into); count !== null; count = await conn.read(into)) {
      answer += new TextDecoder().decode(into.subarray(0, count));
      assertEquals(time.now, 3_000);
    }
    assert(answer.includes("longer than 3000 ms"), answer);
    await trickle;
    // Told first, then cut off a second later, which the next write finds.
    assertEquals([time.now, server.stats().refused], [4_100, 1]);
    conn.close();
  }));

Deno.test("faults: a peer that does not read is given up after writeTimeout, and holds nothing", () =>
  simulate(async (sim) => {
    const { network, time, sleep } = sim;
    const cut: number[] = [];
    const log = (line: string) =>
      line.includes("nothing could be written for 10000 ms") && cut.push(time.now);
    const big = () => new Uint8Array(500_000);
    await using server = await serve(sim, { big, hang }, { log });
    await using client = await dial(sim);
    network.stall("server", "client");
    await fails(client.call("S.big", null, { timeout: 500 }), "deadline_exceeded");
    await sleep(9_499);
    assertEquals(cut, []);
    await sleep(1);
    assertEquals(cut, [10_000]);
    network.heal();
    await sleep(1_000);
    assertEquals(await client.call<Uint8Array>("S.big").then(({ length }) => length), 500_000);
    assertEquals(server.stats().connections, 1);
  }));

Deno.test("faults: calls leave a server that is partitioned off, and come back to it", () =>
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
    const back = (await answers(10)).map((each) => each.status === "fulfilled" ? each.value : "failed");
    assertEquals(hosts.map((host) => back.filter((who) => who === host).length), [5, 5]);
    // What the partition held was delivered behind it, to a connection that had been given up: nothing ran twice.
    assertEquals(new Set(executed).size, executed.length);
    assertEquals([one.stats().connections, two.stats().connections], [1, 1]);
  }));

Deno.test("faults: a call in a hurry keeps half of its time for another server than one that is slow to connect", () =>
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

Deno.test("faults: a lease runs out under a partition, and the server is back after it", () =>
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

Deno.test("faults: a registry that is cut off from everybody leaves clients with the servers they knew", () =>
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

Deno.test("faults: shutdown over a slow network loses no reply, and the client moves on", () =>
  simulate(async (sim) => {
    const { network, sleep, time } = sim;
    network.shape({ delay: [20, 200], chunk: [1, 500] });
    const work = async (n: number) => {
      await sleep(1_000);
      return [n, new Uint8Array(3_000)];
    };
    const first = await serve(sim, { work });
    await using client = await dial(sim, { timeout: 5_000 });
    const calls = Array.from({ length: 50 }, async (_, n) => {
      await sleep(n * 20);
      return await client.call<[number, Uint8Array]>("S.work", n);
    });
    await sleep(500);
    const shutdown = first.shutdown();
    await sleep(1);
    // It no longer listens, so another can take its place while it finishes.
    await using second = await serve(sim, { work });
    const replies = await Promise.all(calls);
    assertEquals(replies.map(([n]) => n), Array.from({ length: 50 }, (_, n) => n));
    await shutdown;
    assert(time.now < 10_000);
    const executed = [first, second].map((server) => server.stats().methods[0]!.calls);
    assert(executed.every((count) => count > 5), executed.join());
    assertEquals(executed[0]! + executed[1]!, 50);
  }));

Deno.test("faults: connections that come in any order lead to the server that was meant", () =>
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

Deno.test("faults: what a heartbeat gave up and a heal delivers late reaches nobody twice", () =>
  simulate(async (sim) => {
    const { network, sleep } = sim;
    const executed: number[] = [];
    await using _server = await serve(sim, {
      once: (id: number) => {
        executed.push(id);
        return id;
      },
    });
    await using client = await dial(sim, { heartbeatInterval: 1_000, heartbeatTimeout: 1_000 });
    network.stall("client", "server");
    const calls = [1, 2, 3].map((id) =>
      client.call("S.once", id, { timeout: Infinity, idempotent: id === 3 })
    );
    const outcomes = Promise.allSettled(calls);
    await sleep(5_000);
    assertEquals(executed, []);
    network.heal();
    const [first, second, third] = await outcomes;
    for (const each of [first!, second!]) {
      assert(each.status === "rejected" && each.reason instanceof RpcError);
      assertEquals([each.reason.code, each.reason.notStarted], ["unavailable", false]);
    }
    assertEquals(third!.status === "fulfilled" && third!.value, 3);
    await sleep(20_000);
    // The first connection's bytes arrived after all: its calls ran once each, the idempotent one once more.
    assertEquals(executed.toSorted(), [1, 2, 3, 3]);
    await assertRejects(() => client.call("S.none"), RpcError);
  }));
