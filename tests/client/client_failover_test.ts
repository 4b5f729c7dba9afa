// Servers that fail: who answers instead, which calls are sent again, and that none is executed twice by that.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Client, connect, MultiServers, RpcError, Server } from "../../mod.ts";
import { freePort } from "../support/programs.ts";
import { answerHandshake, Fleet, RawServer, readToEnd } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";
import { reply } from "../support/frames.ts";
import { soon, until } from "../support/waiting.ts";

/** A way to a server that can be cut. */
function detour(address: string): RawServer {
  const port = Number(address.split(":").at(-1));
  return new RawServer(async (conn) => {
    using there = await Deno.connect({ hostname: "127.0.0.1", port });
    const copy = async (from: Deno.Conn, to: Deno.Conn) => {
      const chunk = new Uint8Array(65_536);
      for (let count = await from.read(chunk); count !== null; count = await from.read(chunk)) {
        for (let at = 0; at < count;) at += await to.write(chunk.subarray(at, count));
      }
      await to.closeWrite();
    };
    const back = copy(there, conn).catch(() => {});
    await copy(conn, there).catch(() => there.close());
    await back;
  });
}

Deno.test("failover: an unreachable server is skipped, and every call is answered", async () => {
  await using fleet = await Fleet.open(2, (index) => ({ who: () => index }));
  const down = `tcp@127.0.0.1:${freePort()}`;
  for (const balancer of ["round_robin", "random"] as const) {
    await using client = await connect(new MultiServers([fleet.addresses[0]!, down, fleet.addresses[1]!]), {
      balancer,
    });
    const results = await Promise.all(Array.from({ length: 60 }, () => client.call<number>("S.who")));
    for (let n = 0; n < 60; n++) results.push(await client.call("S.who"));
    assertEquals(new Set(results), new Set([0, 1]));
    // Now and then it is dialed again.
    await until(
      () => client.stats().endpoints[1]!.state === "failing",
      "the server that is down to be known as such",
    );
  }
});

Deno.test("failover: when all servers are unreachable the error names each of them, and no call waits", async () => {
  const addresses = Array.from({ length: 6 }, () => `tcp@127.0.0.1:${freePort()}`);
  await using client = await connect(new MultiServers(addresses));
  for (let n = 0; n < 3; n++) {
    const call = client.call("S.ok", null, { timeout: Infinity });
    const error = await soon(fails(call, "unavailable", "None of 6 servers"), "the failure");
    for (const address of addresses) assertEquals(error.message.split(address).length, 2, error.message);
    assertEquals({ notStarted: error.notStarted, remote: error.remote }, { notStarted: true, remote: false });
  }
});

Deno.test("failover: calls to a full server go to another, unless all are full", async () => {
  const gate = Promise.withResolvers<void>();
  const methods = { hold: () => gate.promise, up: () => {} };
  await using full = new Server({ maxInFlight: 16 }).register("S", methods);
  await using roomy = new Server().register("S", methods);
  const addresses = [full, roomy].map(async (server) => (await server.listen("tcp@127.0.0.1:0")).address);
  await using client = await connect(new MultiServers(await Promise.all(addresses)));
  await using other = await connect(new MultiServers([(await addresses[0])!]));
  // Both are connected: a server that is slow to connect is passed over.
  await client.broadcast("S.up");
  // Calls that were given up hold their places at the server without counting here.
  const stop = new AbortController();
  const given = Array.from(
    { length: 32 },
    () => fails(client.call("S.hold", null, { signal: stop.signal }), "canceled"),
  );
  await until(() => full.stats().inFlight === 16 && roomy.stats().inFlight === 16, "both hold 16");
  stop.abort();
  await Promise.all(given);
  const calls = Array.from({ length: 20 }, () => client.call("S.hold"));
  await until(() => roomy.stats().inFlight === 36, "all have gone to the other");
  assertEquals(full.stats().methods[0]!.calls, 16);
  gate.resolve();
  await Promise.all(calls);
  assertEquals(await other.call("S.hold"), undefined);
});

Deno.test("failover: calls on a lost connection fail at once; only those marked idempotent are sent again", async () => {
  const started: [number, number][] = [];
  const gate = Promise.withResolvers<void>();
  await using fleet = await Fleet.open(2, (index) => ({
    work: async (id: number) => {
      started.push([index, id]);
      if (index === 0) await gate.promise;
      return id;
    },
    up: () => {},
  }));
  await using way = detour(fleet.addresses[0]!);
  await using client = await connect(new MultiServers([way.address, fleet.addresses[1]!]));
  // Both are connected: a server that is slow to connect is passed over.
  await client.broadcast("S.up");
  const ids = Array.from({ length: 100 }, (_, id) => id);
  const isIdempotent = (id: number) => id % 4 < 2;
  const outcomes = Promise.allSettled(
    ids.map((id) => client.call("S.work", id, { idempotent: isIdempotent(id) })),
  );
  await until(() => started.length === 100, "all run");
  const cutOff = new Set(started.filter(([index]) => index === 0).map(([, id]) => id));
  assertEquals(cutOff.size, 50);
  await way[Symbol.asyncDispose]();
  const settled = await soon(outcomes, "all calls to end");
  for (const [id, outcome] of settled.entries()) {
    const executed = started.filter((each) => each[1] === id).length;
    if (!cutOff.has(id)) {
      assertEquals({ status: outcome.status, executed }, { status: "fulfilled", executed: 1 });
    } else if (isIdempotent(id)) {
      assertEquals(
        { status: outcome.status, executed },
        { status: "fulfilled", executed: 2 },
        `call ${id} was not sent again`,
      );
    } else {
      assert(outcome.status === "rejected" && outcome.reason instanceof RpcError);
      assertEquals({ code: outcome.reason.code, notStarted: outcome.reason.notStarted, executed }, {
        code: "unavailable",
        notStarted: false,
        executed: 1,
      });
    }
  }
  gate.resolve();
});

Deno.test("failover: an idempotent call that may have been executed never claims that it was not", async () => {
  const running = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await using fleet = await Fleet.open(1, () => ({
    work: async () => {
      running.resolve();
      await gate.promise;
    },
  }));
  const way = detour(fleet.addresses[0]!);
  await using client = await connect(new MultiServers([way.address]));
  const call = client.call("S.work", null, { idempotent: true, timeout: 60_000 });
  const failed = fails(call, "unavailable");
  await running.promise;
  await way[Symbol.asyncDispose]();
  assertEquals((await failed).notStarted, false);
  gate.resolve();
});

Deno.test("failover: what a handler throws at the second attempt arrives whole", async () => {
  const running = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await using fleet = await Fleet.open(1, () => ({
    work: async () => {
      running.resolve();
      await gate.promise;
    },
  }));
  const way = detour(fleet.addresses[0]!);
  await using client = await connect(new MultiServers([way.address]), { connectTimeout: 1_000 });
  const call = fails(client.call("S.work", null, { idempotent: true }), "not_found", "Gone");
  await running.promise;
  await until(() => client.stats().endpoints[0]!.state === "ready", "the end of the handshake");
  // What answers there from now on is another server.
  await way[Symbol.asyncDispose]();
  gate.resolve();
  await using server = new Server().register("S", {
    work: () => {
      throw new RpcError("not_found", "Gone", { details: { index: 1 } });
    },
  });
  await server.listen(way.address);
  const error = await call;
  assertEquals({ details: error.details, remote: error.remote }, { details: { index: 1 }, remote: true });
});

Deno.test("failover: a balancer that always picks an unreachable server does not block the process", async () => {
  const address = `tcp@127.0.0.1:${freePort()}`;
  const balancer = { update() {}, pick: () => ({ address }) };
  await using client = await connect(new MultiServers([address]), { balancer });
  const call = client.call("S.ok", null, { timeout: Infinity });
  await soon(fails(call, "unavailable", address), "the failure");
});

Deno.test("failover: an error that a handler threw is final", async () => {
  let calls = 0;
  await using fleet = await Fleet.open(3, () => ({
    fail: (code: RpcError["code"]) => {
      calls++;
      throw new RpcError(code, "No");
    },
  }));
  await using client = await connect(new MultiServers(fleet.addresses));
  for (const code of ["unavailable", "resource_exhausted", "internal", "aborted"] as const) {
    calls = 0;
    assertEquals((await fails(client.call("S.fail", code), code)).remote, true);
    assertEquals(calls, 1, code);
  }
});

/** Calls without a pause until it is stopped; says how many calls it made. */
async function keepCalling(client: Client, stop: AbortSignal, ids: { next: number }): Promise<number> {
  let made = 0;
  while (!stop.aborted) {
    const id = ids.next++;
    assertEquals(await client.call("S.once", id), id);
    made++;
  }
  return made;
}

Deno.test("rolling restart: a client that calls all the time sees no error, and no call is executed twice", async () => {
  const executed = new Map<number, number>();
  const once = async (id: number) => {
    executed.set(id, (executed.get(id) ?? 0) + 1);
    if (id % 3 > 0) await new Promise((resolve) => setTimeout(resolve, id % 3));
    return id;
  };
  const start = async (address: string) => {
    const server = new Server().register("S", { once });
    return { server, address: (await server.listen(address)).address };
  };
  const running = [await start("tcp@127.0.0.1:0"), await start("tcp@127.0.0.1:0")];
  await using client = await connect(new MultiServers(running.map(({ address }) => address)));
  const stop = new AbortController();
  const ids = { next: 0 };
  const callers = Promise.all(Array.from({ length: 16 }, () => keepCalling(client, stop.signal, ids)));
  try {
    for (let round = 0; round < 6; round++) {
      const { server, address } = running[round % 2]!;
      const before = ids.next;
      await until(() => ids.next > before + 100, "calls go on");
      await server.shutdown({ grace: 60_000 });
      assertEquals(server.stats().inFlight, 0);
      running[round % 2] = await start(address);
      // It is found again by itself.
      const { server: again } = running[round % 2]!;
      await until(
        () => again.stats().inFlight + (again.stats().methods[0]?.calls ?? 0) > 0,
        "it gets calls again",
      );
    }
  } finally {
    stop.abort();
  }
  const made = (await callers).reduce((sum, each) => sum + each, 0);
  assertEquals({ made, executed: executed.size }, { made: ids.next, executed: ids.next });
  assertEquals([...executed.values()].filter((times) => times > 1), []);
  await Promise.all(running.map(({ server }) => server.close()));
});

Deno.test("failover: a server that accepts connections and never answers is skipped", async () => {
  await using silent = new RawServer();
  await using server = new Server().register("S", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  for (const addresses of [[silent.address, address], [address, silent.address]]) {
    await using client = await connect(new MultiServers(addresses), { connectTimeout: 3_600_000 });
    for (let i = 0; i < 20; i++) assertEquals(await client.call("S.echo", i, { timeout: Infinity }), i);
  }
});

Deno.test("failover: with every server slow to connect, a call goes to the first that has", async () => {
  await using silent = new RawServer();
  const gate = Promise.withResolvers<void>();
  await using late = new RawServer(async (conn) => {
    await gate.promise;
    await answerHandshake(conn);
    // It ends the connection over the call.
    await conn.read(new Uint8Array(4_096));
    conn.close();
  });
  await using client = await connect(new MultiServers([silent.address, late.address]), {
    connectTimeout: 60_000,
  });
  const call = assertRejects(() => client.call("S.echo", 1, { timeout: 60_000 }), RpcError);
  const timer = setTimeout(gate.resolve, 700);
  assertEquals((await call).notStarted, false, "it was sent to the late one, which ends over it");
  clearTimeout(timer);
});

Deno.test("failover: a call that has been answered waits for no other server any more", async () => {
  await using silent = new RawServer();
  const gate = Promise.withResolvers<void>();
  await using late = new RawServer(async (conn) => {
    await gate.promise;
    await answerHandshake(conn);
    await conn.read(new Uint8Array(4_096));
    await conn.write(reply(1, "late"));
    await readToEnd(conn);
  });
  await using client = await connect(new MultiServers([silent.address, late.address]), {
    connectTimeout: 60_000,
  });
  const call = client.call("S.echo", 1);
  await until(() => silent.accepted.length > 0 && late.accepted.length > 0, "both are dialled");
  const timer = setTimeout(gate.resolve, 400);
  assertEquals(await call, "late");
  assertEquals(client.stats().pending, 0);
  clearTimeout(timer);
});

Deno.test("failover: calls repeated while no server can be reached do not block the event loop", async () => {
  const server = new Server().register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(new MultiServers([address]));
  assertEquals(await client.call("S.ok"), "ok");
  await server.close();
  let rung = false;
  const timer = setTimeout(() => rung = true, 20);
  const late = performance.now() + 10_000;
  while (!rung && performance.now() < late) await client.call("S.ok").catch(() => {});
  clearTimeout(timer);
  assert(rung, "the timer never came");
});
