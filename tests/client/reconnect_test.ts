// Connections that are lost are dialled again by themselves: soon, ever less often, and not after close().

import { assert, assertEquals } from "@std/assert";
import { connect, MultiServers, Server } from "../../mod.ts";
import { type Conn, simulate } from "../../testing/mod.ts";
import { freePort } from "../support/programs.ts";
import { answerHandshake, RawServer, readToEnd } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";

async function start(address: string, methods: object = { ok: () => "ok" }) {
  const server = new Server().register("S", methods);
  const listening = await server.listen(address);
  return { server, address: listening.address };
}

Deno.test("reconnect: a server that restarts on its port is found again without a call having to fail", async () => {
  const first = await start("tcp@127.0.0.1:0");
  await using client = await connect(first.address);
  assertEquals(await client.call("S.ok"), "ok");
  await first.server.close();
  const second = await start(first.address);
  assertEquals(await client.call("S.ok"), "ok");
  assertEquals({ state: client.stats().endpoints[0]!.state, accepted: second.server.stats().accepted }, {
    state: "ready",
    accepted: 1,
  });
  await second.server.close();
});

Deno.test("reconnect: without a call, too", async () => {
  const first = await start("tcp@127.0.0.1:0");
  await using client = await connect(first.address);
  await first.server.close();
  const second = await start(first.address);
  await until(() => second.server.stats().connections === 1, "it is connected again");
  await until(() => client.stats().endpoints[0]!.state === "ready", "it is ready again");
  await second.server.close();
});

Deno.test("reconnect: while the server is away calls fail at once, and name it", async () => {
  const { server, address } = await start("tcp@127.0.0.1:0");
  await using client = await connect(address);
  await server.close();
  await until(() => client.stats().endpoints[0]!.state === "failing", "it has noticed");
  for (let n = 0; n < 20; n++) {
    // It would wait without limit.
    const call = fails(client.call("S.ok", null, { timeout: Infinity }), "unavailable", address);
    const error = await soon(call, "the failure");
    assertEquals(error.notStarted, true);
  }
  const again = await start(address);
  await until(() => client.stats().endpoints[0]!.state === "ready", "it is back");
  assertEquals(await client.call("S.ok"), "ok");
  await again.server.close();
});

/** A client that is tried for ten simulated minutes on a server that drops every connection, and the gaps between. */
function gaps(serve: (conn: Conn) => Promise<void>): Promise<number[]> {
  return simulate(async ({ network, time, sleep }) => {
    const attempts: number[] = [];
    const listener = network.host("flapping").listen({ transport: "tcp", hostname: "flapping", port: 1 });
    const accepting = (async () => {
      for (let conn = await listener.accept(); conn !== null; conn = await listener.accept()) {
        attempts.push(time.now);
        serve(conn);
      }
    })();
    const client = await connect(new MultiServers(["tcp@flapping:1"]), { network: network.host("client") });
    await client.call("S.ok", null, { timeout: 50 }).catch(() => {});
    await sleep(600_000);
    await client.close();
    const { length } = attempts;
    await sleep(60_000);
    assertEquals(attempts.length, length, "it went on after close()");
    listener.close();
    await accepting;
    return attempts.slice(1).map((at, n) => at - attempts[n]!);
  });
}

// 100 ms, then 1.6 times as long each time up to 10 s, ±20 %; timers round up to a whole ms.
function assertGrowing(waits: number[]): void {
  assert(waits.length > 50 && waits.length < 100, `${waits.length + 1} attempts`);
  for (const [n, wait] of waits.entries()) {
    const expected = Math.min(100 * 1.6 ** n, 10_000);
    assert(
      wait >= Math.floor(expected * 0.8) && wait <= Math.ceil(expected * 1.2),
      `wait ${n} was ${wait} ms`,
    );
  }
  const late = waits.slice(15);
  assert(Math.max(...late) - Math.min(...late) > 2_000, "they are in step");
}

Deno.test("reconnect: a server that accepts and drops is tried ever less often", async () => {
  assertGrowing(await gaps((conn) => Promise.resolve(conn.close())));
});

Deno.test("reconnect: a server that drops connections after the handshake is also tried ever less often", async () => {
  const flap = async (conn: Conn) => {
    await answerHandshake(conn);
    conn.close();
  };
  assertGrowing(await gaps(flap));
});

Deno.test("reconnect: a server that sends GoAway after the handshake is also tried ever less often", async () => {
  // [10, 0, "unavailable", ""]
  const goAway = new Uint8Array([
    0x5a,
    0,
    0,
    0,
    16,
    0x84,
    10,
    0,
    0x6b,
    ...new TextEncoder().encode("unavailable"),
    0x60,
  ]);
  assertGrowing(
    await gaps(async (conn) => {
      await answerHandshake(conn);
      await conn.write(goAway);
      await readToEnd(conn);
    }),
  );
});

Deno.test("reconnect: calls that wait for the connection all use the one that is made", async () => {
  const address = `tcp@127.0.0.1:${freePort()}`;
  const gate = Promise.withResolvers<void>();
  await using slow = new RawServer(async (conn) => {
    await gate.promise;
    const early = await answerHandshake(conn);
    // Answers `ok` calls 1, 3, 5 with a Reply of null each.
    const chunk = new Uint8Array(4_096);
    chunk.set(early);
    let count: number | null = early.length;
    for (let seq = 1; count !== null; count = await conn.read(chunk)) {
      for (let at = 0; at < count; at += 5 + chunk[at + 4]!, seq += 2) {
        await conn.write(new Uint8Array([0x5a, 0, 0, 0, 4, 0x82, 2, seq, 0xf6]));
      }
    }
    conn.close();
  });
  assert(address !== slow.address);
  await using client = await connect(new MultiServers([slow.address]));
  const calls = Array.from({ length: 10 }, () => client.call("S.ok"));
  await until(() => slow.accepted.length === 1, "it is connecting");
  assertEquals(client.stats().endpoints[0]!.state, "connecting");
  gate.resolve();
  assertEquals(await Promise.all(calls), Array(10).fill(null));
  assertEquals(slow.accepted.length, 1);
});

Deno.test({
  name: "reconnect: a server that is killed fails the calls in flight, which have no timeout",
  async fn() {
    const script = new URL("../support/hold_server.ts", import.meta.url).href;
    const process = new Deno.Command("deno", {
      args: ["run", "--quiet", "--allow-net=127.0.0.1", script],
      stdout: "piped",
    }).spawn();
    const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const address = (await reader.read()).value!.trim();
    const waiting = new Patient();
    const other = await start("tcp@127.0.0.1:0", { hold: waiting.wait });
    await using client = await connect(address);
    const calls = Array.from(
      { length: 200 },
      () => fails(client.call("S.hold", null, { timeout: Infinity }), "unavailable"),
    );
    // It says so when all of them run.
    assertEquals((await reader.read()).value!.trim(), "200");
    process.kill("SIGKILL");
    for (const error of await Promise.all(calls)) assertEquals(error.notStarted, false);
    assertEquals(client.stats().pending, 0);
    await reader.cancel();
    await process.status;
    await other.server.close();
  },
});
