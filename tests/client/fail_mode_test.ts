// What a client does about servers that fail, by the option failMode: how often a call is executed, and whose answer its
// caller gets.

import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import {
  type Balancer,
  type CallContext,
  connect,
  defineService,
  type Endpoint,
  type FailMode,
  type Interceptor,
  method,
  MultiServers,
  RpcError,
  Server,
} from "../../mod.ts";
import { type SimNetwork, simulate } from "../../testing/mod.ts";
import { freePort } from "../support/programs.ts";
import { answerHandshake, Fleet, RawServer } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { goAway, reply } from "../support/frames.ts";
import { until } from "../support/waiting.ts";

/** Picks the servers in the order of the list. */
function inOrder(): Balancer {
  let servers: readonly Endpoint[] = [];
  return {
    update: (endpoints) => void (servers = endpoints),
    pick: ({ exclude }) => servers.find(({ address }) => !exclude?.has(address)),
  };
}

/** Servers that note who executes what, and handle each as a test says. */
async function fleet(
  size: number,
  act: (index: number, id: number, context: CallContext) => unknown,
  network?: SimNetwork,
) {
  const executed: [number, number][] = [];
  const fleet = await Fleet.open(
    size,
    (index) => ({
      work: (id: number, context: CallContext) => {
        executed.push([index, id]);
        return act(index, id, context);
      },
    }),
    undefined,
    network,
  );
  return {
    executed,
    addresses: fleet.addresses,
    servers: new MultiServers(fleet.addresses),
    [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose](),
  };
}

const unavailable = () => {
  throw new RpcError("unavailable", "Not now");
};

Deno.test("failMode over: an idempotent call goes to another server, any other does not; it is the default", async () => {
  for (const failMode of ["failover", undefined] as const) {
    await using here = await fleet(2, (index) => index === 0 ? unavailable() : "ok");
    await using client = await connect(here.servers, { balancer: inOrder(), ejection: false });
    assertEquals(await client.call("S.work", 1, { idempotent: true, failMode }), "ok");
    await fails(client.call("S.work", 2, { failMode }), "unavailable");
    assertEquals(here.executed, [[0, 1], [1, 1], [0, 2]]);
    assertEquals(client.stats().retries, 1);
  }
});

Deno.test("failMode fast: an error is passed on, whether the server answered it or cannot be reached", async () => {
  await using here = await fleet(2, (index) => index === 0 ? unavailable() : "ok");
  const down = `tcp@127.0.0.1:${freePort()}`;
  for (const own of [true, false]) {
    const failMode = "failfast";
    const byClient = {
      balancer: inOrder(),
      ejection: false as const,
      failMode: own ? undefined : failMode,
    } as const;
    const options = { idempotent: true, failMode: own ? failMode : undefined } as const;
    await using client = await connect(here.servers, byClient);
    here.executed.length = 0;
    // The first one is made before there is a connection.
    for (let id = 0; id < 3; id++) await fails(client.call("S.work", id, options), "unavailable", "Not now");
    assertEquals(here.executed, [[0, 0], [0, 1], [0, 2]]);
    await using other = await connect(new MultiServers([down, here.addresses[1]!]), byClient);
    for (let id = 0; id < 3; id++) await fails(other.call("S.work", id, options), "unavailable", down);
    assertEquals(here.executed.length, 3);
    // A call may choose otherwise than its client.
    assertEquals(await other.call("S.work", 9, { failMode: "failover" }), "ok");
  }
});

Deno.test("failMode same: tries the same server again, four times in all, if the call is idempotent", async () => {
  let healthyAfter = 2;
  await using here = await fleet(2, (index) => index === 0 && healthyAfter-- > 0 ? unavailable() : index);
  await using client = await connect(here.servers, { balancer: inOrder(), failMode: "retry" });
  assertEquals(await client.call("S.work", 1, { idempotent: true }), 0);
  assertEquals(here.executed.splice(0), [[0, 1], [0, 1], [0, 1]]);
  healthyAfter = 9;
  await fails(client.call("S.work", 2), "unavailable");
  assertEquals(here.executed.splice(0), [[0, 2]]);
  await fails(client.call("S.work", 3, { idempotent: true }), "unavailable");
  assertEquals(here.executed, [[0, 3], [0, 3], [0, 3], [0, 3]]);
});

Deno.test("failMode same: waits for a server that is away for a moment, no longer than the call may", async () => {
  const port = freePort();
  const address = `tcp@127.0.0.1:${port}`;
  await using here = await fleet(1, () => "other");
  await using client = await connect(new MultiServers([address, here.addresses[0]!]), {
    balancer: inOrder(),
  });
  await fails(client.call("S.work", 1, { failMode: "retry", timeout: 50 }), "deadline_exceeded");
  const call = client.call("S.work", 2, { failMode: "retry" });
  await using server = new Server().register("S", { work: () => "back" });
  await server.listen(address);
  assertEquals(await call, "back");
});

Deno.test("failMode same: a call that may have been executed never claims that it was not", () =>
  simulate(async ({ network }) => {
    await using here = await fleet(1, unavailable, network);
    await using client = await connect(here.servers, {
      network: network.host("client"),
      failMode: "retry",
      ejection: false,
    });
    const error = await fails(
      client.call("S.work", 1, { idempotent: true, timeout: 60 }),
      "deadline_exceeded",
    );
    assert(here.executed.length > 0);
    assertEquals(error.notStarted, false);
  }));

Deno.test("backup: a slow server's call goes to another too; the first answer wins, the other call is cancelled", () =>
  simulate(async ({ network }) => {
    const slow = new Patient();
    await using here = await fleet(
      3,
      (index, _, context) => index === 0 ? slow.wait(null, context) : index,
      network,
    );
    await using client = await connect(here.servers, {
      network: network.host("client"),
      balancer: inOrder(),
    });
    const began = performance.now();
    const options = { idempotent: true, failMode: { backup: 30 } } as const;
    assertEquals(await client.call("S.work", 1, options), 1);
    const took = performance.now() - began;
    assert(took >= 29, `it took ${took} ms`);
    await until(() => slow.reasons.length === 1, "the slow one is cancelled");
    assertEquals(here.executed, [[0, 1], [1, 1]]);
    assertEquals({ pending: client.stats().pending, retries: client.stats().retries }, {
      pending: 0,
      retries: 1,
    });
  }));

Deno.test("backup: the first answer may be the first server's, after the backup was sent", async () => {
  const gate = Promise.withResolvers<void>();
  const second = new Patient();
  await using here = await fleet(2, async (index, _, context) => {
    if (index === 1) return second.wait(null, context);
    await gate.promise;
    return "first";
  });
  await using client = await connect(here.servers, { balancer: inOrder() });
  const call = client.call("S.work", 1, { idempotent: true, failMode: { backup: 0 } });
  await until(() => second.started === 1, "both run");
  gate.resolve();
  assertEquals(await call, "first");
  await until(() => second.reasons.length === 1, "the backup is cancelled");
});

Deno.test("backup: nothing more is sent when the answer is in time, and its timer is gone", async () => {
  await using here = await fleet(2, (_, id) => id);
  await using client = await connect(here.servers, { failMode: { backup: 60_000 } });
  const calls = Array.from({ length: 50 }, (_, id) => client.call("S.work", id, { idempotent: true }));
  assertEquals(await Promise.all(calls), Array.from({ length: 50 }, (_, id) => id));
  assertEquals({ executed: here.executed.length, retries: client.stats().retries }, {
    executed: 50,
    retries: 0,
  });
});

Deno.test("backup: an error of the service is an answer; a server that fails is passed over without waiting", async () => {
  await using here = await fleet(2, (index, id) => {
    if (id === 1) throw new RpcError("not_found", "Nobody");
    return index === 0 ? unavailable() : "ok";
  });
  await using client = await connect(here.servers, { balancer: inOrder(), ejection: false });
  const options = { idempotent: true, failMode: { backup: 60_000 } } as const;
  await fails(client.call("S.work", 1, options), "not_found", "Nobody");
  assertEquals(await client.call("S.work", 2, options), "ok");
  assertEquals(here.executed, [[0, 1], [0, 2], [1, 2]]);
});

Deno.test("backup: a backup that fails does not end a call that may still be answered", async () => {
  const gate = Promise.withResolvers<void>();
  await using here = await fleet(
    2,
    (index) => index === 0 ? gate.promise.then(() => "first") : unavailable(),
  );
  await using client = await connect(here.servers, { balancer: inOrder(), ejection: false });
  const call = client.call("S.work", 1, { idempotent: true, failMode: { backup: 5 } });
  await until(() => here.executed.length === 2, "both were asked");
  gate.resolve();
  assertEquals(await call, "first");
});

Deno.test("backup: needs another server and something left of the retry budget", async () => {
  for (const [size, retryBudget] of [[1, undefined], [2, { ratio: 0, reserve: 0 }]] as const) {
    await using here = await fleet(size, () => new Promise((resolve) => setTimeout(resolve, 60, "ok")));
    await using client = await connect(here.servers, { retryBudget });
    const options = { idempotent: true, failMode: { backup: 5 } } as const;
    assertEquals(await client.call("S.work", 1, options), "ok");
    assertEquals({ executed: here.executed.length, retries: client.stats().retries }, {
      executed: 1,
      retries: 0,
    });
  }
});

Deno.test("backup: timeout and signal end both calls", () =>
  simulate(async ({ network }) => {
    const slow = new Patient();
    await using here = await fleet(2, (_index, _id, context) => slow.wait(null, context), network);
    await using client = await connect(here.servers, { network: network.host("client") });
    const options = { idempotent: true, failMode: { backup: 5 } } as const;
    const late = await fails(client.call("S.work", 1, { ...options, timeout: 80 }), "deadline_exceeded");
    assertEquals(late.notStarted, false);
    await until(() => slow.reasons.length === 2, "both are over");
    const stop = new AbortController();
    const call = fails(client.call("S.work", 2, { ...options, signal: stop.signal }), "canceled");
    await until(() => slow.started === 4, "both run");
    stop.abort("enough");
    assertEquals((await call).cause, "enough");
    await until(() => slow.reasons.length === 4, "both are over");
    assertEquals(client.stats().pending, 0);
  }));

Deno.test("fork: several servers get the call at once; the first success wins, the others are cancelled", async () => {
  const slow = new Patient();
  await using here = await fleet(4, (index, _, context) => {
    if (index === 0) throw new RpcError("not_found", "Not here");
    return index === 1
      ? slow.wait(null, context)
      : until(() => slow.started === 1, "all run").then(() => index);
  });
  await using client = await connect(here.servers, { balancer: inOrder() });
  assertEquals(await client.call("S.work", 1, { idempotent: true, failMode: { fork: 3 } }), 2);
  await until(() => slow.reasons.length === 1, "the slow one is cancelled");
  assertEquals(here.executed.map(([index]) => index).sort(), [0, 1, 2]);
  assertEquals(client.stats().retries, 0, "what was asked for is no retry");
});

Deno.test("fork: fewer servers get it if there are no more, and one that cannot be reached is passed over", async () => {
  await using here = await fleet(2, (index) => index);
  const down = `tcp@127.0.0.1:${freePort()}`;
  await using client = await connect(new MultiServers([down, ...here.addresses]), { balancer: inOrder() });
  const options = { idempotent: true, failMode: { fork: 8 } } as const;
  for (let id = 0; id < 3; id++) assert([0, 1].includes(await client.call("S.work", id, options)));
  assertLess(here.executed.length, 7);
});

Deno.test("fork: when all fail, an error of the service is thrown rather than one of a connection", async () => {
  await using here = await fleet(2, (index) => {
    throw new RpcError(index === 0 ? "unavailable" : "not_found", `Said ${index}`);
  });
  const down = `tcp@127.0.0.1:${freePort()}`;
  for (const addresses of [[...here.addresses, down], [down, ...here.addresses.toReversed()]]) {
    await using client = await connect(new MultiServers(addresses), { balancer: inOrder(), ejection: false });
    const options = { idempotent: true, failMode: { fork: 3 } } as const;
    assertEquals((await fails(client.call("S.work", 1, options), "not_found", "Said 1")).notStarted, false);
  }
  await using nowhere = await connect(new MultiServers([down]), { failMode: { fork: 2 } });
  const error = await fails(nowhere.call("S.work", 1, { idempotent: true }), "unavailable", down);
  assertEquals(error.notStarted, true);
  await using nobody = await connect(new MultiServers([]), { failMode: { fork: 2 } });
  await fails(nobody.call("S.work", 1, { idempotent: true }), "unavailable", "No server");
});

Deno.test("fork: one server only while the retry budget is used up", async () => {
  await using here = await fleet(3, (index) => index);
  await using client = await connect(here.servers, {
    retryBudget: { ratio: 0, reserve: 0 },
    failMode: { fork: 3 },
  });
  for (let id = 0; id < 5; id++) await client.call("S.work", id, { idempotent: true });
  assertEquals(here.executed.length, 5);
});

Deno.test("backup and fork: the reply's metadata is that of the answer", async () => {
  const servers: Server[] = [];
  for (const name of ["one", "two"]) {
    const mark: Interceptor = async (call, next) => ({
      ...await next(call),
      metadata: new Map([["who", name]]),
    });
    servers.push(new Server().use(mark).register("S", { who: () => name }));
  }
  const addresses = await Promise.all(
    servers.map(async (server) => (await server.listen("tcp@127.0.0.1:0")).address),
  );
  let who: unknown;
  const read: Interceptor = async (call, next) => {
    const reply = await next(call);
    who = reply.metadata.get("who");
    return reply;
  };
  for (const failMode of ["retry", { backup: 5 }, { fork: 2 }] as FailMode[]) {
    await using client = await connect(new MultiServers(addresses), { interceptors: [read] });
    assertEquals(await client.call("S.who", null, { idempotent: true, failMode }), who);
  }
  await Promise.all(servers.map((server) => server.close()));
});

Deno.test("backup and fork: refused for a call that is not idempotent, or a stream; nothing is sent", async () => {
  await using here = await fleet(2, (_, id) => id);
  await using client = await connect(here.servers);
  async function* ids() {
    yield* await Promise.resolve([1, 2]);
  }
  for (const failMode of [{ backup: 5 }, { fork: 2 }]) {
    await assertRejects(
      () => client.call("S.work", 1, { failMode }),
      TypeError,
      `Cannot use failMode ${JSON.stringify(failMode)} for S.work: it may execute the call more than once`,
    );
    const options = { failMode, idempotent: true };
    await assertRejects(() => client.call("S.work", ids(), options), TypeError, "it is a stream");
    await assertRejects(() => client.stream("S.work", 1, options).next(), TypeError, "it is a stream");
  }
  assertEquals(here.executed, []);
});

Deno.test("backup and fork: a client's own mode leaves calls that are not idempotent, and streams, as they are", async () => {
  await using here = await Fleet.open(3, () => ({
    work: () => "ok",
    count: function* () {
      yield* [1, 2, 3];
    },
  }));
  const S = defineService("S", { work: method<void, string>({ idempotent: true }) });
  for (const [failMode, most] of [[{ fork: 3 }, 3], [{ backup: 0 }, 2]] as const) {
    await using client = await connect(new MultiServers(here.addresses), { failMode });
    const before = here.calls.reduce((sum, calls) => sum + calls, 0);
    for (let n = 0; n < 10; n++) assertEquals(await client.call("S.work"), "ok");
    const items: unknown[] = [];
    for await (const item of client.stream("S.count", null, { idempotent: true })) items.push(item);
    assertEquals(items, [1, 2, 3]);
    const sent = here.calls.reduce((sum, calls) => sum + calls, 0) - before;
    assertEquals(sent, 11);
    // A contract says which methods are.
    assertEquals(await client.service(S).work(), "ok");
    const forked = here.calls.reduce((sum, calls) => sum + calls, 0) - before - sent;
    assert(forked >= 1 && forked <= most);
    if (most === 3) {
      await until(() => here.calls.reduce((sum, n) => sum + n, 0) === before + sent + 3, "all three");
    }
  }
});

Deno.test("failMode: an invalid mode is refused, and the message lists the valid ones", async () => {
  await assertRejects(
    () => connect("tcp@127.0.0.1:1", { failMode: "failfats" as FailMode }),
    TypeError,
    'did you mean "failfast"?',
  );
  const wrong = ["often", "", null, 7, {}, { fork: 2, backup: 5 }, { forks: 2 }, []];
  await using here = await fleet(1, (_, id) => id);
  await using client = await connect(here.servers);
  for (const failMode of wrong as FailMode[]) {
    await assertRejects(() => connect("tcp@127.0.0.1:1", { failMode }), TypeError, "Cannot use failMode");
    await assertRejects(
      () => client.call("S.work", 1, { failMode }),
      TypeError,
      '"failover", "failfast", "retry"',
    );
  }
  for (const failMode of [{ fork: 1 }, { fork: 65 }, { fork: 2.5 }, { backup: -1 }, { backup: NaN }]) {
    await assertRejects(
      () => client.call("S.work", 1, { failMode, idempotent: true }),
      RangeError,
      "failMode.",
    );
  }
  assertEquals(here.executed, []);
});

Deno.test("retry budget: when servers fail all calls, a fifth is sent again, and the errors are passed on", () =>
  simulate(async ({ network }) => {
    await using here = await fleet(3, unavailable, network);
    await using client = await connect(here.servers, {
      network: network.host("client"),
      retryBudget: { reserve: 10 },
    });
    for (let id = 0; id < 500; id++) {
      await fails(client.call("S.work", id, { idempotent: true }), "unavailable", "Not now");
    }
    const { retries, refusedRetries } = client.stats();
    assertEquals(here.executed.length, 500 + retries);
    assert(retries <= 110 && retries > 90, `${retries} retries`);
    assert(refusedRetries > 0);
  }));

Deno.test("retry budget: going to another server for one that cannot be reached costs nothing", async () => {
  await using here = await fleet(1, (_, id) => id);
  const down = `tcp@127.0.0.1:${freePort()}`;
  await using client = await connect(new MultiServers([down, here.addresses[0]!]), {
    balancer: inOrder(),
    ejection: false,
    retryBudget: { ratio: 0, reserve: 0 },
  });
  for (let id = 0; id < 50; id++) assertEquals(await client.call("S.work", id), id);
});

Deno.test("broadcast: a server that is just leaving is asked again if it is back at once", async () => {
  let connections = 0;
  await using restarting = new RawServer(async (conn) => {
    connections++;
    await answerHandshake(conn);
    const chunk = new Uint8Array(4_096);
    await conn.read(chunk);
    // The first connection is left before its call was begun, the second one answers.
    const first = connections === 1;
    await conn.write(first ? goAway(0, "unavailable", "Restarting") : reply(1, "raw"));
    while (await conn.read(chunk) !== null);
    conn.close();
  });
  await using here = await fleet(2, () => new Promise((resolve) => setTimeout(resolve, 20, "ok")));
  const servers = new MultiServers([restarting.address, ...here.addresses]);
  await using client = await connect(servers);
  assertEquals(await client.broadcast("S.work", 1, { timeout: 5_000 }), "raw");
  assertEquals({ connections, executed: here.executed.length }, { connections: 2, executed: 2 });
});
