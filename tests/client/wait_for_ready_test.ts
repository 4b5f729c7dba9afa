// Calls that wait for a server that can be reached, until their deadline; and the errors of calls that do not wait.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  type CallOptions,
  type Client,
  connect,
  type ConnectOptions,
  defineService,
  type FailMode,
  method,
  MultiServers,
  RpcError,
  Server,
} from "../../mod.ts";
import { parseAddress } from "../../discovery/endpoint.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { fails } from "../support/session_pair.ts";

const WAIT: CallOptions = { waitForReady: true };
const MODES: (FailMode | undefined)[] = [undefined, "failfast", "retry", { backup: 20 }, { fork: 2 }];

function client({ network }: Simulation, names: string[], options: ConnectOptions = {}) {
  const list = new MultiServers(names.map((name) => `tcp@${name}:1`));
  return connect(list, { network: network.host("client"), ...options }).then((client) => ({ client, list }));
}

async function serve({ network, sleep }: Simulation, name: string): Promise<Server> {
  const server = new Server({ network: network.host(name) }).register("S", {
    name: () => name,
    nap: async (ms: number) => {
      await sleep(ms);
      return name;
    },
    items: function* () {
      yield name;
    },
  });
  await server.listen(`tcp@${name}:1`);
  return server;
}

/** Calls in each fail mode, and a stream. */
function calls(client: Client, options: CallOptions = {}): Promise<unknown>[] {
  return [
    ...MODES.map((failMode) =>
      client.call("S.name", null, { ...WAIT, failMode, idempotent: true, ...options })
    ),
    client.stream("S.items", null, { ...WAIT, ...options }).next().then(({ value }) => value),
  ];
}

Deno.test("unavailable: a dial that times out is no deadline of a call, and failMode same tries again", () =>
  simulate(async (sim) => {
    const deaf = sim.network.host("one").listen(parseAddress("tcp@one:1"));
    const { client: calling } = await client(sim, ["one"], { connectTimeout: 1_000 });
    await using _ = calling;
    const first = await fails(calling.call("S.name"), "unavailable", "within 1000 ms");
    assertEquals(first.notStarted, false, "it has left with the handshake");
    for (const failMode of MODES) {
      for (let n = 0; n < 2; n++) {
        const options = { failMode, idempotent: true };
        const error = await fails(calling.call("S.name", null, options), "unavailable", "within 1000 ms");
        assertEquals({ notStarted: error.notStarted, remote: error.remote }, {
          notStarted: true,
          remote: false,
        });
      }
    }
    const call = calling.call("S.name", null, { failMode: "retry" });
    deaf.close();
    await using _server = await serve(sim, "one");
    assertEquals(await call, "one");
  }));

Deno.test("unavailable: a call whose own deadline comes while it waits for a connection says so", () =>
  simulate(async (sim) => {
    const deaf = sim.network.host("one").listen(parseAddress("tcp@one:1"));
    const { client: calling } = await client(sim, ["one"]);
    await using _ = calling;
    const call = calling.call("S.name", null, { timeout: 500 });
    const error = await fails(call, "deadline_exceeded", "still connecting to tcp@one:1");
    // It has left with the handshake.
    assertEquals({ notStarted: error.notStarted, now: sim.time.now }, { notStarted: false, now: 500 });
    deaf.close();
  }));

Deno.test("waitForReady: calls wait while the list is empty, and go to the first server of it", () =>
  simulate(async (sim) => {
    const { client: calling, list } = await client(sim, []);
    await using _ = calling;
    await fails(calling.call("S.name"), "unavailable", "No server is known");
    const waiting = [...calls(calling), calling.broadcast("S.name", null, WAIT)];
    await using _server = await serve(sim, "one");
    await sim.sleep(5_000);
    list.update(["tcp@one:1"]);
    assertEquals(new Set(await Promise.all(waiting)), new Set(["one"]));
    assert(sim.time.now < 5_050, `${sim.time.now}`);
  }));

Deno.test("waitForReady: calls wait while no server can be reached, and go to the first that can", () =>
  simulate(async (sim) => {
    // One refuses, one does not answer.
    const deaf = sim.network.host("two").listen(parseAddress("tcp@two:1"));
    const { client: calling, list } = await client(sim, ["one", "two"], { connectTimeout: 2_000 });
    await using _ = calling;
    const waiting = calls(calling);
    await sim.sleep(8_000);
    assertEquals(calling.stats().retries, 0);
    // The channels to the others try again by themselves; one that is new is dialled for those that wait.
    await using _server = await serve(sim, "three");
    list.update(["tcp@one:1", "tcp@two:1", "tcp@three:1"]);
    assertEquals(new Set(await Promise.all(waiting)), new Set(["three"]));
    assert(sim.time.now < 8_600, `${sim.time.now}`);
    deaf.close();
  }));

Deno.test("waitForReady: calls wait for a server that is away to come back", () =>
  simulate(async (sim) => {
    const first = await serve(sim, "one");
    const { client: calling } = await client(sim, ["one"]);
    await using _ = calling;
    assertEquals(await calling.call("S.name"), "one");
    // A call that is under way is sent again over the next connection, if it may be.
    const lost = MODES.filter((mode) => mode !== "failfast").map((failMode) =>
      calling.call("S.nap", 1_000, { ...WAIT, idempotent: true, failMode })
    );
    const once = fails(calling.call("S.nap", 1_000, WAIT), "unavailable");
    await sim.sleep(500);
    await first.close();
    await once;
    await sim.sleep(10);
    const waiting = [...calls(calling), calling.broadcast("S.name", null, WAIT)];
    await sim.sleep(12_000);
    await using _second = await serve(sim, "one");
    assertEquals(new Set(await Promise.all([...waiting, ...lost])), new Set(["one"]));
  }));

Deno.test("waitForReady: the deadline and the signal end the wait, and the error says why no server was reached", () =>
  simulate(async (sim) => {
    const deaf = sim.network.host("two").listen(parseAddress("tcp@two:1"));
    const { client: calling, list } = await client(sim, ["one", "two"], { connectTimeout: 60_000 });
    await using _ = calling;
    const late = (options: CallOptions) =>
      calls(calling, options).map((call) => fails(call, "deadline_exceeded"));
    const began = sim.time.now;
    for (const error of await Promise.all(late({ timeout: 3_000 }))) {
      assertEquals(error.notStarted, true);
      assertStringIncludes(error.message, "tcp@one:1");
      assertStringIncludes(error.message, "still connecting to tcp@two:1");
    }
    assertEquals(sim.time.now - began, 3_000);
    const stop = new AbortController();
    const stopped = calls(calling, { signal: stop.signal }).map((call) => fails(call, "canceled"));
    await sim.sleep(100);
    stop.abort();
    await Promise.all(stopped);
    list.update([]);
    await sim.sleep(10);
    for (const error of await Promise.all(late({ timeout: 50 }))) {
      assertStringIncludes(error.message, "No server is known to call");
    }
    const closed = calls(calling).map((call) => fails(call, "unavailable", "closed"));
    await sim.sleep(10);
    await calling.close();
    await Promise.all(closed);
    assertEquals(calling.stats().pending, 0);
    deaf.close();
  }));

Deno.test("waitForReady: a call refused by a server is not repeated", () =>
  simulate(async (sim) => {
    await using server = new Server({ network: sim.network.host("one"), maxInFlightTotal: 16 }).register(
      "S",
      {
        hang: () => new Promise(() => {}),
      },
    );
    await server.listen("tcp@one:1");
    const { client: calling } = await client(sim, ["one"]);
    await using _ = calling;
    const hung = Array.from(
      { length: 16 },
      () => fails(calling.call("S.hang", null, { timeout: Infinity }), "unavailable"),
    );
    await sim.sleep(10);
    await fails(calling.call("S.hang", null, WAIT), "resource_exhausted");
    assert(sim.time.now < 100);
    await calling.close();
    await Promise.all(hung);
  }));

Deno.test("waitForReady: works for contracts and with interceptors", () =>
  simulate(async (sim) => {
    const Names = defineService("S", {
      name: method<void, string>(),
      items: method.serverStream<void, string>(),
    });
    for (const interceptors of [[], [(call: never, next: (call: never) => never) => next(call)]]) {
      const { client: calling, list } = await client(sim, [], { interceptors: interceptors as [] });
      await using _ = calling;
      const { name, items } = calling.service(Names);
      const waiting = [name(undefined, WAIT), items(undefined, WAIT).next().then(({ value }) => value)];
      await sim.sleep(1_000);
      await using _server = await serve(sim, "one");
      list.update(["tcp@one:1"]);
      assertEquals(await Promise.all(waiting), ["one", "one"]);
    }
  }));

Deno.test("wait for ready: a call whose token all servers refuse fails as unauthenticated, one that a server accepts is answered", () =>
  simulate(async ({ network }) => {
    const options = { network: network.host("one"), authenticate: (token?: string) => token === "new" };
    await using server = new Server(options).register("S", { name: () => "S" });
    await server.listen("tcp@one:1");
    let token = "old";
    for (const failMode of [undefined, "failfast", "retry"] as const) {
      token = "old";
      await using client = await connect(new MultiServers(["tcp@one:1"]), {
        network: network.host("client"),
        token: () => token,
        secure: false,
      });
      const options: CallOptions = { ...WAIT, failMode, idempotent: true };
      const error = await fails(client.call("S.name", null, { ...options, timeout: 50 }), "unauthenticated");
      assertStringIncludes(error.message, "the server rejected the credentials");
      const waiting = client.call("S.name", null, options);
      token = "new";
      assertEquals(await waiting, "S");
    }
  }));

for (const failMode of MODES) {
  const name = JSON.stringify(failMode) ?? "failover";
  Deno.test(`waitForReady: a call that was started and then waits in vain may have been started (${name})`, () =>
    simulate(async (simulation) => {
      const { network, sleep } = simulation;
      const server = await serve(simulation, "one");
      const { client: calling } = await client(simulation, ["one"]);
      await using _ = calling;
      const options = { ...WAIT, idempotent: true, failMode, timeout: 10_000 };
      const call = assertRejects(() => calling.call("S.nap", 5_000, options), RpcError);
      await sleep(1_000);
      network.cut("client");
      await server.close();
      assertEquals((await call).notStarted, false);
    }));
}
