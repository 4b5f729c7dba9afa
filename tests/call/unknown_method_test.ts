// Calls of methods that a server does not have: interceptors see them, peers cannot find out names by them, operators see
// that there are such calls, and too many of them end a connection.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type CallContext,
  connect,
  type Interceptor,
  logCalls,
  requireToken,
  RpcError,
  Server,
} from "../../mod.ts";
import { ServiceTable } from "../../call/service.ts";
import { SimTime } from "../../testing/mod.ts";
import { Link } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

const METHODS = { echo: (value: unknown) => value };

Deno.test("unknown methods: interceptors see their calls, which are refused as before, and not started", async () => {
  const seen: unknown[] = [];
  const look: Interceptor = async (call, next) => {
    try {
      return await next(call);
    } catch (error) {
      const { code, notStarted } = error as RpcError;
      seen.push([call.method, call.args, code, notStarted]);
      throw error;
    }
  };
  await using link = await Link.open(METHODS);
  const names = ["S.nope", "Nope.echo", "echo"];
  const errors = async () => {
    const all = await Promise.all(names.map((name) => fails(link.client.call(name, 7), "unimplemented")));
    return all.map(({ message, notStarted, remote }) => [message, notStarted, remote]);
  };
  const without = await errors();
  link.server.use(look);
  assertEquals(await errors(), without);
  assertEquals(seen, names.map((name) => [name, 7, "unimplemented", true]));
  assertEquals(without.map(([, notStarted]) => notStarted), [true, true, true]);
  assertEquals(link.server.stats().methods.map(({ method, calls }) => [method, calls]), [["S.echo", 0]]);
});

Deno.test("unknown methods: a client without a token cannot tell them from methods that exist", async () => {
  await using link = await Link.open(METHODS);
  link.server.use(requireToken((token) => token === "good"));
  const shown = async (name: string) => {
    const { code, message, notStarted, details } = await fails(link.client.call(name), "unauthenticated");
    return [code, message.replace(name, "NAME"), notStarted, details];
  };
  const known = await shown("S.echo");
  for (const name of ["S.nope", "Nope.echo", "echo"]) assertEquals(await shown(name), known);
  const metadata = { authorization: "Bearer good" };
  await fails(link.client.call("S.nope", null, { metadata }), "unimplemented");
});

Deno.test("unknown methods: an interceptor may answer their calls, also with a stream", async () => {
  const answer: Interceptor = (call, next) => {
    if (call.method === "Any.list") return { value: [1, 2].values(), metadata: new Map() };
    return call.method.startsWith("Any.") ? { value: call.args, metadata: new Map() } : next(call);
  };
  await using link = await Link.open(METHODS);
  link.server.use(answer);
  assertEquals(await link.client.call("Any.thing", 5), 5);
  assertEquals(await Array.fromAsync(link.client.stream("Any.list")), [1, 2]);
  await fails(link.client.call("Other.thing", 5), "unimplemented");
});

Deno.test("unknown methods: calls of reserved names are neither intercepted nor counted", async () => {
  let seen = 0;
  const log: string[] = [];
  await using link = await Link.open(METHODS, {
    server: { log: (line) => log.push(line), reflection: false },
  });
  link.server.use((call, next) => (seen++, next(call)));
  for (const name of ["rpc.Ping.ping", "rpc.Reflection.list"]) {
    assertEquals((await fails(link.client.call(name), "unimplemented")).notStarted, true);
  }
  assertEquals([seen, link.server.stats().unknownMethods, log], [0, 0, []]);
});

Deno.test("unknown methods: counted in one figure, shown on the page and in the metrics", async () => {
  await using link = await Link.open(METHODS);
  const calls = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, n) => fails(link.client.call(`S.x${n}`), "unimplemented")));
  await calls(3);
  link.server.use((call, next) => next(call));
  await calls(4);
  const { unknownMethods, inFlight, methods } = link.server.stats();
  assertEquals([unknownMethods, inFlight, methods.length], [7, 0, 1]);
  const textOf = async (path: string) => (await link.server.fetch(new Request(`http://x${path}`))).text();
  assertStringIncludes(await textOf("/metrics"), "\nrpc_server_unknown_methods_total 7\n");
  assertStringIncludes(await textOf("/debug/rpc"), "Calls of unknown methods: 7.");
});

Deno.test("unknown methods: a call that an interceptor is handling is in flight, its name cut", async () => {
  const gate = Promise.withResolvers<void>();
  await using link = await Link.open(METHODS);
  link.server.use(async (call, next) => {
    await gate.promise;
    return await next(call);
  });
  const call = fails(link.client.call(`S.${"x".repeat(5_000)}\n`), "unimplemented");
  await until(() => link.server.stats().inFlight === 1, "it waits");
  assertEquals(link.server.snapshot().calls.list[0]?.method, `"S.${"x".repeat(62)}…"`);
  gate.resolve();
  await call;
  assertEquals(link.server.stats().inFlight, 0);
});

Deno.test("unknown methods: many calls are logged in one line", async () => {
  using time = new SimTime();
  const log: string[] = [];
  const table = new ServiceTable((line) => log.push(line));
  table.register("S", METHODS);
  table.wrap((handler) => handler);
  const peer = { address: "tcp@192.0.2.1:5" };
  for (let n = 0; n < 1_000; n++) table.find(`S.x${n}`, peer);
  assertEquals(log, ['Cannot answer a call from tcp@192.0.2.1:5: Service "S" has no method "x0"']);
  await time.tick(10_000);
  table.find("Nope.y\n", peer);
  table.find("Nope.z", peer);
  assertEquals(log.slice(1), [
    'Cannot answer a call from tcp@192.0.2.1:5: Unknown service "Nope" (999 more such calls since this was last logged)',
  ]);
});

for (
  const [what, interceptors] of Object.entries({
    "no": [],
    "an": [((call, next) => next(call)) as Interceptor],
  })
) {
  Deno.test(`unknown methods: too many calls of them end a connection, with ${what} interceptor`, async () => {
    await using server = new Server({ maxUselessFrames: 100 }).register("S", METHODS);
    for (const interceptor of interceptors) server.use(interceptor);
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address, { failMode: "failfast" });
    const codes = (count: number) =>
      Promise.all(Array.from({ length: count }, () => client.call("S.nope").catch((error) => error.code)));
    assertEquals(await codes(50), Array(50).fill("unimplemented"));
    assertEquals(server.stats().limits.maxUselessFrames, 0);
    const ended = (await codes(300)).filter((code) => code !== "unimplemented");
    assert(ended.length >= 100, `${ended.length} calls ended with their connection`);
    assertEquals(server.stats().limits.maxUselessFrames, 1);
  });
}

Deno.test("unknown methods: an error of another server that a handler passes on does not say that nothing was started", async () => {
  await using inner = new Server();
  const { address } = await inner.listen("tcp@127.0.0.1:0");
  await using toInner = await connect(address);
  await using link = await Link.open({
    ask: (_: unknown, _context: CallContext) => toInner.call("Gone.ask"),
  });
  link.server.use((call, next) => next(call));
  const error = await fails(link.call("ask"), "unimplemented");
  assertEquals([error instanceof RpcError, error.notStarted], [true, false]);
});

Deno.test("logCalls: a name that a peer has invented stays in its line", async () => {
  const lines: string[] = [];
  await using link = await Link.open(METHODS);
  link.server.use(logCalls((line) => lines.push(line)));
  await fails(link.client.call("S.x\nS.two ok 1 ms"), "unimplemented");
  await fails(link.client.call(`S.${"x".repeat(5_000)}`), "unimplemented");
  assertEquals(lines.length, 2);
  assert(lines[0]!.startsWith('"S.x\\nS.two ok 1 ms" unimplemented '), lines[0]);
  assert(lines[1]!.length < 250, lines[1]);
});
