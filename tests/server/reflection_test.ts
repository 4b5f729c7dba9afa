// rpc.Reflection: what a server reveals about itself, to which clients, and that no client can make it work without bounds.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type as ark } from "npm:arktype@2.2.3";
import { toStandardJsonSchema } from "npm:@valibot/to-json-schema@1.8.0";
import * as effect from "npm:effect@4.1.0/Schema";
import * as v from "npm:valibot@1.5.0";
import { z } from "npm:zod@4.6.7";
import {
  type Client,
  connect,
  defineService,
  method,
  oneOfTokens,
  Reflection,
  requireToken,
  sendToken,
  Server,
  unchecked,
} from "../../mod.ts";
import type { ReportedStats } from "../../server/mod.ts";
import { simulate } from "../../testing/mod.ts";
import { schema } from "../support/contract_served.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";

const Arith = defineService("Arith", {
  sum: method<{ a: number; b: number }, number>({ idempotent: true }),
  root: method({ args: z.number().nonnegative(), result: z.number() }),
  count: method.serverStream<{ to: number }, number>(),
  total: method.clientStream<number, number>(),
  chat: method.conversation<string, string>(),
});
const handlers = {
  sum: ({ a, b }: { a: number; b: number }) => a + b,
  root: Math.sqrt,
  count: () => [1],
  total: () => 0,
  chat: () => ["hello"],
};

/** A server with a contract and a service without one, and a client of it. */
async function open(): Promise<{ server: Server; address: string; client: Client } & AsyncDisposable> {
  const server = new Server().register(Arith, handlers).register("Plain", {
    echo: (value: unknown) => value,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = await connect(address);
  const close = async () => {
    await client.close();
    await server.close();
  };
  return { server, address, client, [Symbol.asyncDispose]: close };
}

Deno.test("reflection: lists every service with its methods and their kinds, its own included", async () => {
  await using served = await open();
  const services = await served.client.service(Reflection).list();
  assertEquals(services.map(({ name }) => name), ["Arith", "Plain", "rpc.Health", "rpc.Reflection"]);
  const kinds = services.flatMap(({ methods }) =>
    methods.map(({ method, kind, idempotent }) => [method, kind, idempotent])
  );
  assertEquals(kinds.sort(), [
    ["Arith.chat", "conversation", false],
    ["Arith.count", "serverStream", false],
    ["Arith.root", "call", false],
    ["Arith.sum", "call", true],
    ["Arith.total", "clientStream", false],
    ["Plain.echo", "unknown", false],
    ["rpc.Health.check", "call", true],
    ["rpc.Health.watch", "serverStream", true],
    ["rpc.Reflection.describe", "call", true],
    ["rpc.Reflection.list", "call", true],
    ["rpc.Reflection.stats", "serverStream", true],
  ]);
});

Deno.test("reflection: services registered later are listed too", async () => {
  await using served = await open();
  served.server.register("Late", { ok: () => 1 });
  const names = (await served.client.service(Reflection).list()).map(({ name }) => name);
  assert(names.includes("Late"));
});

Deno.test("reflection: describes a service, or one method, with schemas where there are any", async () => {
  await using served = await open();
  const reflection = served.client.service(Reflection);
  const whole = await reflection.describe({ name: "Arith" });
  assertEquals(whole.methods.length, 5);
  const root = whole.methods.find(({ method }) => method === "Arith.root")!;
  assertEquals([root.args?.vendor, root.result?.vendor], ["zod", "zod"]);
  assertEquals((root.args!.jsonSchema as { minimum: number }).minimum, 0);
  const one = await reflection.describe({ name: "Arith.root" });
  assertEquals(one, { name: "Arith", methods: [root] });
  const [sum] = (await reflection.describe({ name: "Arith.sum" })).methods;
  assertEquals(sum, { method: "Arith.sum", kind: "call", idempotent: true });
});

Deno.test("reflection: an unknown or missing name is refused", async () => {
  await using served = await open();
  const reflection = served.client.service(Reflection);
  for (const name of ["", ".", "Arith.", "Arith.no", "no", "Arith.sum.x", "toString", "Arith.__proto__"]) {
    await fails(reflection.describe({ name }), "not_found", "There is no service and no method");
  }
  for (const request of [null, undefined, "Arith", { name: 5 }, []]) {
    await fails(served.client.call("rpc.Reflection.describe", request), "invalid_argument");
  }
});

Deno.test("reflection: schemas are described as far as their libraries support it, arguments and results separately", async () => {
  let conversions = 0;
  const counted = schema<string>((value) => ({ value: value as string }));
  Object.assign(counted["~standard"], {
    jsonSchema: { input: () => ({ conversions: ++conversions }), output: () => ({ $comment: "out" }) },
  });
  const nested: { [key: string]: unknown } = {};
  for (let i = 0, at = nested; i < 100; i++) at = at.items = {};
  const odd = (jsonSchema: unknown) => {
    const made = schema<string>((value) => ({ value: value as string }));
    Object.assign(made["~standard"], { jsonSchema });
    return made;
  };
  const S = defineService("S", {
    ark: method({ args: ark({ a: "number" }) }),
    valibot: method({ args: v.object({ a: v.number() }) }),
    dates: method({ args: z.object({ at: z.date() }) }),
    sides: method({ args: z.string().transform(Number), result: unchecked<number>() }),
    counted: method({ args: counted, result: counted }),
    deep: method({ args: odd({ input: () => nested }) }),
    long: method({ args: odd({ input: () => ({ title: "x".repeat(70_000) }) }) }),
    broken: method({
      args: odd({
        input: () => {
          throw new Error("no");
        },
      }),
    }),
    wrong: method({ args: odd(5) }),
  });
  await using server = new Server();
  const nothing = () => {};
  const names = Object.keys(S.methods);
  server.register("Other", { x: nothing });
  // Only the description is requested here.
  server.register<typeof S>(S, Object.fromEntries(names.map((name) => [name, nothing])) as never);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const reflection = client.service(Reflection);
  await reflection.describe({ name: "S" });
  const { methods } = await reflection.describe({ name: "S" });
  const of = (name: string) => {
    const { args, result } = methods.find(({ method }) => method === `S.${name}`)!;
    return { args, result };
  };
  assertEquals(of("ark").args?.vendor, "arktype");
  assertEquals((of("ark").args?.jsonSchema as { required: string[] }).required, ["a"]);
  assertEquals(of("valibot"), { args: { vendor: "valibot" }, result: undefined });
  assertEquals((of("dates").args?.jsonSchema as { properties: unknown }).properties, { at: {} });
  assertEquals((of("sides").args?.jsonSchema as { type: string }).type, "string");
  assertEquals(of("sides").result, undefined);
  assertEquals(of("counted").args?.jsonSchema, { conversions: 1 });
  assertEquals(of("counted").result?.jsonSchema, { $comment: "out" });
  for (const name of ["deep", "long", "broken", "wrong"]) {
    assertEquals(of(name).args, { vendor: "tests" }, name);
  }
});

Deno.test("reflection: schemas of effect and valibot are shown whole, with their libraries' wrappers", async () => {
  const user = effect.Struct({ name: effect.String, tags: effect.Array(effect.String) });
  const form = v.object({ name: v.string(), at: v.date(), tags: v.array(v.string()) });
  const S = defineService("S", {
    effect: method({ args: effect.toStandardSchemaV1(effect.toStandardJSONSchemaV1(user)) }),
    valibot: method({ args: toStandardJsonSchema(form) }),
  });
  await using served = await open();
  served.server.register(S, { effect() {}, valibot() {} });
  const { methods } = await served.client.service(Reflection).describe({ name: "S" });
  const tags = { type: "array", items: { type: "string" } };
  for (const { method: name, args } of methods) {
    const { required, properties } = args!.jsonSchema as { required: string[]; properties: object };
    assertEquals(args!.vendor, name.slice("S.".length));
    assertEquals(required.toSorted(), name === "S.valibot" ? ["at", "name", "tags"] : ["name", "tags"]);
    assertEquals(properties, {
      name: { type: "string" },
      tags,
      ...name === "S.valibot" && { at: {} },
    });
  }
});

Deno.test("reflection: a schema is converted once, also if its library creates its converters at each access", async () => {
  let conversions = 0;
  const standard = schema<string>((value) => ({ value: value as string }))["~standard"];
  const fresh = {
    get "~standard"() {
      return {
        ...standard,
        jsonSchema: { input: () => ({ conversions: ++conversions }), output: () => ({}) },
      };
    },
  };
  const S = defineService("S", { get: method({ args: fresh, result: unchecked<number>() }) });
  await using served = await open();
  served.server.register(S, { get: () => 1 });
  for (let i = 0; i < 5; i++) await served.client.call("rpc.Reflection.describe", { name: "S" });
  assertEquals(conversions, 1);
});

Deno.test("reflection: stats() yields at once, then at the interval, and does not count reflection", () =>
  simulate(async ({ network, time }) => {
    await using server = new Server({ network: network.host("b") }).register("S", { ok: () => "ok" });
    await server.listen("tcp@b:1");
    await using client = await connect("tcp@b:1", { network: network.host("a") });
    const began = time.now;
    const seen: [number, ReportedStats][] = [];
    for await (const stats of client.service(Reflection).stats({ interval: 500 })) {
      seen.push([time.now - began, stats]);
      if (seen.length === 3) break;
      await client.call("S.ok");
    }
    assert(seen[0]![0] < 100 && seen[1]![0] >= 500 && seen[2]![0] >= 1_000, `${seen.map(([at]) => at)}`);
    assertEquals(seen.map(([, { methods }]) => methods.map(({ method, calls }) => [method, calls])), [
      [["S.ok", 0]],
      [["S.ok", 1]],
      [["S.ok", 2]],
    ]);
    assertEquals(seen.map(([, { inFlight }]) => inFlight), [0, 0, 0]);
    // All figures of the server are included.
    assertEquals(Object.keys(seen[0]![1]).sort(), Object.keys(server.stats()).sort());
  }));

Deno.test("reflection: streams of stats end when the server shuts down, and do not delay it", async () => {
  await using served = await open();
  const stream = served.client.service(Reflection).stats({ interval: 3_600_000 });
  await stream.next();
  const next = stream.next();
  await soon(served.server.shutdown({ grace: 3_600_000 }), "the end");
  assertEquals(await next, { value: undefined, done: true });
});

/** Opens streams of figures that stay open; how many, on a connection of their own. */
async function watch(address: string, count: number) {
  const client = await connect(address);
  const open = () => client.service(Reflection).stats({ interval: 3_600_000 });
  const streams = Array.from({ length: count }, open);
  await Promise.all(streams.map((stream) => stream.next()));
  return { client, open, streams, [Symbol.asyncDispose]: () => client.close() };
}

/** Opens a stream as soon as there is a place for it. */
async function openWhenFree(open: () => AsyncIterableIterator<unknown>): Promise<void> {
  let [tried, room] = [false, false];
  await until(() => {
    if (!tried) {
      tried = true;
      const stream = open();
      stream.next().then(() => {
        room = true;
        return stream.return!();
      }, () => tried = false);
    }
    return room;
  }, "a place to be free");
}

Deno.test("reflection: streams of stats are limited per connection, and one that is left frees its place", async () => {
  await using served = await open();
  await using greedy = await watch(served.address, 4);
  await fails(greedy.open().next(), "resource_exhausted", "More than 4 streams of stats on one connection");
  await using other = await watch(served.address, 4);
  await greedy.streams[0]!.return!();
  await openWhenFree(greedy.open);
  await fails(other.open().next(), "resource_exhausted", "on one connection");
  await other.client.close();
  await using _after = await watch(served.address, 4);
});

Deno.test("reflection: streams of stats are limited for all connections together", async () => {
  await using served = await open();
  const all = await Promise.all(Array.from({ length: 16 }, () => watch(served.address, 4)));
  const { open: one } = await watch(served.address, 0).then((late) => (all.push(late), late));
  await fails(one().next(), "resource_exhausted", "More than 64 streams of stats at once");
  await all[5]!.client.close();
  await openWhenFree(one);
  await Promise.all(all.map(({ client }) => client.close()));
});

Deno.test("reflection: stats are computed once per interval for all callers, /metrics included", () =>
  simulate(async ({ network, time }) => {
    await using server = new Server({ network: network.host("b") }).register("S", { ok: () => "ok" });
    let asked = 0;
    const stats = server.stats.bind(server);
    server.stats = () => (asked++, stats());
    await server.listen("tcp@b:1");
    await using client = await connect("tcp@b:1", { network: network.host("a") });
    await client.call("S.ok");
    const began = time.now;
    const streams = [1, 2, 3].map(() => client.service(Reflection).stats({ interval: 100 }));
    const next = () =>
      Promise.all(streams.map(async (stream) => (await stream.next()).value as ReportedStats));
    for (let round = 1; round <= 5; round++) {
      const received = await next();
      const metrics = await (await server.fetch(new Request("http://x/metrics"))).text();
      assert(metrics.includes('rpc_server_calls_total{method="S.ok"} 1'));
      assertEquals(received, Array(3).fill(received[0]));
      assertEquals(asked, round, `${time.now - began} ms`);
    }
    for (const stream of streams) await stream.return!();
  }));

Deno.test("reflection: intervals are limited", async () => {
  await using served = await open();
  for (const interval of [0, 99, 3_600_001, NaN, Infinity, -1, "1000", null]) {
    const stream = served.client.stream("rpc.Reflection.stats", { interval });
    await fails(stream.next(), "invalid_argument", "expected 100 to 3600000 ms");
  }
});

Deno.test("reflection: interceptors apply to it as to any service", async () => {
  await using server = new Server().use(requireToken(oneOfTokens(["secret"]))).register(Arith, handlers);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using stranger = await connect(address);
  for (const call of ["list", "describe"] as const) {
    await fails(stranger.call(`rpc.Reflection.${call}`, { name: "Arith" }), "unauthenticated");
  }
  await fails(stranger.service(Reflection).stats().next(), "unauthenticated");
  await using friend = await connect(address, { interceptors: [sendToken(() => "secret")] });
  assertEquals((await friend.service(Reflection).list()).length, 3);
});

Deno.test("reflection: it can be switched off, and is not part of the stats", async () => {
  await using silent = new Server({ reflection: false }).register(Arith, handlers);
  const { address } = await silent.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  await fails(client.service(Reflection).list(), "unimplemented", 'Unknown service "rpc.Reflection"');

  await using served = await open();
  await served.client.service(Reflection).list();
  const { methods, inFlight } = served.server.stats();
  assertEquals([methods.some(({ method }) => method.startsWith("rpc.")), inFlight], [false, 0]);
  const page = await (await served.server.fetch(new Request("http://localhost/debug/rpc"))).text();
  assertEquals(page.includes("Reflection"), false);
  assertThrows(
    () => new Server({ reflection: 1 as unknown as boolean }),
    TypeError,
    "expected true or false",
  );
});

Deno.test("reflection: names that begin with rpc. are reserved", async () => {
  for (const reflection of [true, false]) {
    await using server = new Server({ reflection });
    for (const name of ["rpc.Reflection", "rpc.Mine", "rpc."]) {
      const message =
        `Cannot register service "${name}": names that begin with "rpc." are for built-in services`;
      assertThrows(() => server.register(name, { ok: () => 1 }), TypeError, message);
    }
    const contract = defineService("rpc.Mine", { ok: method<void, number>() });
    assertThrows(() => server.register(contract, { ok: () => 1 }), TypeError, "built-in");
    server.register("rpc", { ok: () => 1 }).register("rpcs.Mine", { ok: () => 1 });
  }
});

Deno.test("reflection: a stream that its caller leaves in the middle of a pause ends at once", async () => {
  const patient = new Patient();
  await using server = new Server()
    .use(async (call, next) => {
      if (call.method === "rpc.Reflection.stats") {
        call.signal.addEventListener("abort", () => patient.reasons.push(call.signal.reason));
      }
      return await next(call);
    })
    .register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const stream = client.service(Reflection).stats({ interval: 3_600_000 });
  await stream.next();
  await stream.return!();
  await until(() => patient.reasons.length === 1, "the server to hear of it");
  await server.shutdown({ grace: 60_000 });
});
