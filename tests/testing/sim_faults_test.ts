// What the library promises for bad networks, to the millisecond: with simulated time there is nothing to be lenient
// about.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type CallContext,
  connect,
  type ConnectOptions,
  RpcError,
  Server,
  type ServerOptions,
} from "../../mod.ts";
import { parseAddress } from "../../discovery/endpoint.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { fails } from "../support/session_pair.ts";

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
    const wait = (_: undefined, { signal }: CallContext) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve(aborted = time.now)));
    await using server = await serve(sim, { wait }, { log: log("server") });
    await using client = await dial(sim, {
      heartbeatInterval: 10_000,
      heartbeatTimeout: 3_000,
      log: log("client"),
    });
    // A stream may be quiet for as long as it likes.
    const call = client.stream("S.wait", null, { timeout: Infinity }).next();
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
  Deno.test(`faults: a slow ${direction}load that makes progress does not count as silence, however long a ping waits`, () =>
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

Deno.test("faults: a black hole is detected also while much waits to be written", () =>
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

Deno.test("faults: a connection that nothing is called over lasts for days, and is kept awake by pings alone", () =>
  simulate(async (sim) => {
    const { network, sleep, time } = sim;
    network.shape({ delay: [50, 2_000] });
    await using server = await serve(sim, { ok: () => "ok" });
    await using client = await dial(sim);
    for (let day = 1; day <= 3; day++) {
      await sleep(24 * 3_600_000);
      assertEquals([client.stats().endpoints[0]!.state, server.stats().accepted], ["ready", 1]);
      assert(time.timers < 10, `${time.timers} timers are set`);
    }
    assertEquals(await client.call("S.ok"), "ok");
  }, { limit: 1e9 }));

Deno.test("faults: a deadline passes at its millisecond on both sides, whatever the network does", () =>
  simulate(async (sim) => {
    const { network, time } = sim;
    const aborted: number[] = [];
    const wait = (_: undefined, { signal }: CallContext) =>
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
    await fails(dial(sim, { connectTimeout: 1_234 }), "unavailable", "no answer within 1234 ms");
    assertEquals(time.now, 1_234);
    network.partition("client");
    await fails(dial(sim, { connectTimeout: 1_000 }), "unavailable", "no answer within 1000 ms");
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
    // It receives GoAway first, and is cut off a second later, which the next write finds.
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

Deno.test("faults: data of an abandoned connection that arrives after the partition is delivered to no session", () =>
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
