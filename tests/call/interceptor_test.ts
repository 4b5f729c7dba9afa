// Interceptors on both sides: what they see, what they can change, and in what order; and those that come with the
// library.

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import {
  type CallContext,
  type Client,
  connect,
  type ConnectOptions,
  type Interceptor,
  limitConcurrency,
  logCalls,
  MultiServers,
  requireToken,
  RpcError,
  sendToken,
  Server,
} from "../../mod.ts";

const SERVICE = {
  echo: (value: unknown) => value,
  whoami: (_: unknown, { metadata }: CallContext) => metadata.get("user") ?? null,
  trail: (_: unknown, { replyMetadata }: CallContext) => {
    replyMetadata.set("took", "3 ms");
    return "done";
  },
  fail: (_: unknown, { replyMetadata }: CallContext) => {
    replyMetadata.set("retry-after", "7");
    throw new RpcError("unavailable", "Not now", { details: [1] });
  },
  upTo: function* (n: number) {
    for (let i = 1; i <= n; i++) yield i;
  },
  sum: async (ns: AsyncIterable<number>) => {
    let sum = 0;
    for await (const n of ns) sum += n;
    return sum;
  },
};

/** A server and a client with interceptors each. */
async function pair(
  server: Interceptor[],
  client: Interceptor[],
  options: ConnectOptions = {},
): Promise<{ client: Client } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const serving = stack.use(new Server().register("S", SERVICE));
  for (const interceptor of server) serving.use(interceptor);
  const { address } = await serving.listen("tcp@127.0.0.1:0");
  const connected = stack.use(await connect(address, { ...options, interceptors: client }));
  return { client: connected, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

Deno.test("interceptors: the first is outermost, on both sides, there and back", async () => {
  const steps: string[] = [];
  const step = (name: string): Interceptor => async (call, next) => {
    steps.push(`${name} there`);
    const reply = await next(call);
    steps.push(`${name} back`);
    return reply;
  };
  await using link = await pair([step("s1"), step("s2")], [step("c1"), step("c2")]);
  assertEquals(await link.client.call("S.echo", 7), 7);
  const there = ["c1", "c2", "s1", "s2"];
  assertEquals(steps, [
    ...there.map((name) => `${name} there`),
    ...there.toReversed().map((name) => `${name} back`),
  ]);
});

Deno.test("interceptors: see the call, and may change arguments, metadata and result", async () => {
  const seen: unknown[] = [];
  const server: Interceptor = async (call, next) => {
    seen.push([
      call.method,
      call.args,
      call.peer?.startsWith("tcp@"),
      call.deadline < Infinity,
      call.signal.aborted,
    ]);
    const reply = await next({ ...call, metadata: new Map([["user", "ada"]]) });
    return { ...reply, value: [reply.value, "seen"] };
  };
  const client: Interceptor = (call, next) =>
    next({ ...call, args: "changed", metadata: new Map([["user", "bob"]]) });
  await using link = await pair([server], [client]);
  assertEquals(await link.client.call("S.whoami", "original", { timeout: 900 }), ["ada", "seen"]);
  assertEquals(seen, [["S.whoami", "changed", true, true, false]]);
});

Deno.test("interceptors: may answer without the handler, or refuse, on either side", async () => {
  const cached: Interceptor = (call, next) =>
    call.method === "S.echo" ? { value: "cached", metadata: new Map() } : next(call);
  const refusing: Interceptor = (call, next) => {
    if (call.method === "S.trail") {
      throw new RpcError("permission_denied", "Not yours", { details: { rule: 3 } });
    }
    if (call.method === "S.whoami") throw new Error("private");
    return next(call);
  };
  for (const [server, client] of [[[cached, refusing], []], [[], [cached, refusing]]]) {
    await using link = await pair(server!, client!);
    assertEquals(await link.client.call("S.echo", 1), "cached");
    const error = await assertRejects(() => link.client.call("S.trail"), RpcError, "Not yours");
    assertEquals([error.code, error.details], ["permission_denied", { rule: 3 }]);
    await assertRejects(
      () => link.client.call("S.whoami"),
      Error,
      server!.length > 0 ? "The handler failed" : "private",
    );
  }
});

Deno.test("interceptors: metadata travels back with results and with errors", async () => {
  const replies: unknown[] = [];
  const watch: Interceptor = async (call, next) => {
    const reply = await next(call);
    replies.push([...reply.metadata]);
    return reply;
  };
  const add: Interceptor = async (call, next) => {
    const reply = await next(call);
    return { ...reply, metadata: new Map([...reply.metadata, ["server", "one"]]) };
  };
  await using link = await pair([add], [watch]);
  await link.client.call("S.trail");
  await link.client.call("S.echo", 1);
  assertEquals(replies, [[["took", "3 ms"], ["server", "one"]], [["server", "one"]]]);
  const error = await assertRejects(() => link.client.call("S.fail"), RpcError, "Not now");
  assertEquals([...error.metadata], [["retry-after", "7"]]);
});

Deno.test("interceptors: metadata that is not allowed fails its call alone", async () => {
  const bad: Interceptor = async (call, next) => ({
    ...await next(call),
    metadata: new Map([["Bad Name", "x"]]),
  });
  await using link = await pair([bad], []);
  const error = await assertRejects(() => link.client.call("S.echo", 1), RpcError);
  assertEquals(error.code, "internal");
});

Deno.test("interceptors: take part in streams both ways, and may wrap them", async () => {
  async function* doubled(items: AsyncIterable<number>) {
    for await (const item of items) yield item * 2;
  }
  const double: Interceptor = async (call, next) => {
    const reply = await next(call);
    return call.method === "S.upTo"
      ? { ...reply, value: doubled(reply.value as AsyncIterable<number>) }
      : reply;
  };
  const arguments_: Interceptor = (call, next) =>
    next(call.method === "S.sum" ? { ...call, args: doubled(call.args as AsyncIterable<number>) } : call);
  async function* numbers() {
    yield* [1, 2, 3];
  }
  await using link = await pair([double], [arguments_]);
  assertEquals(await all(link.client.stream("S.upTo", 3)), [2, 4, 6]);
  assertEquals(await link.client.call("S.sum", numbers()), 12);
  await using other = await pair([arguments_], [double]);
  assertEquals(await all(other.client.stream("S.upTo", 3)), [2, 4, 6]);
  assertEquals(await other.client.call("S.sum", numbers()), 12);
});

Deno.test("interceptors: leaving a stream early cancels it in the interceptors and the handler", async () => {
  const left = Promise.withResolvers<unknown>();
  await using server = new Server().use((call, next) => next(call)).register("S", {
    endless: async function* (_: unknown, { signal }: CallContext) {
      signal.addEventListener("abort", () => left.resolve((signal.reason as RpcError).code));
      for (let i = 0;; i++) yield i;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { interceptors: [(call, next) => next(call)] });
  for await (const i of client.stream<number>("S.endless")) if (i === 3) break;
  assertEquals(await left.promise, "canceled");
});

Deno.test("interceptors: run once for a broadcast, and before timeouts and signals are applied", async () => {
  await using one = new Server().register("S", SERVICE);
  const addresses = [
    (await one.listen("tcp@127.0.0.1:0")).address,
    (await one.listen("tcp@127.0.0.1:0")).address,
  ];
  let calls = 0;
  const count: Interceptor = (call, next) => (calls++, next(call));
  await using client = await connect(new MultiServers(addresses), { interceptors: [count] });
  assertEquals(await client.broadcast("S.echo", 5), 5);
  assertEquals(calls, 1);
  const spent = await assertRejects(() => client.call("S.echo", 1, { timeout: 0 }), RpcError);
  assertEquals(spent.code, "deadline_exceeded");
  const aborted = await assertRejects(
    () => client.call("S.echo", 1, { signal: AbortSignal.abort() }),
    RpcError,
  );
  assertEquals(aborted.code, "canceled");
  await assertRejects(() => client.call("S.echo", 1, { timeout: -1 }), RangeError, "timeout");
});

Deno.test("interceptors: a value that is not a function is refused", async () => {
  assertThrows(() => new Server().use("x" as unknown as Interceptor), TypeError, "interceptor");
  const interceptors = [7 as unknown as Interceptor];
  await assertRejects(() => connect("tcp@127.0.0.1:1", { interceptors }), TypeError, "interceptor");
});

Deno.test("logCalls: one line a call with code and peer, without arguments and stacks", async () => {
  for (const atServer of [true, false]) {
    const lines: unknown[][] = [];
    const log = [logCalls((...given) => lines.push(given))];
    await using link = await pair(atServer ? log : [], atServer ? [] : log);
    await link.client.call("S.echo", "secret");
    await assertRejects(() => link.client.call("S.fail"));
    const from = atServer ? " from tcp@127.0.0.1:N" : "";
    assertEquals(lines.map((line) => String(line).replace(/[\d.]+ ms/, "N ms").replace(/1:\d+/, "1:N")), [
      `S.echo ok N ms${from}`,
      `S.fail unavailable N ms${from}: Not now`,
    ]);
  }
});

Deno.test("requireToken: accepts a client with a valid token, sent by sendToken or as metadata", async () => {
  const require = requireToken((token, method) => token === "good" && method !== "S.trail");
  await using none = await pair([require], []);
  await using bad = await pair([require], [sendToken(() => "bad")]);
  await using good = await pair([require], [sendToken(() => Promise.resolve("good"))]);
  assertEquals(await good.client.call("S.echo", 1), 1);
  assertEquals(await none.client.call("S.echo", 2, { metadata: { authorization: "Bearer good" } }), 2);
  for (const call of [none.client.call("S.echo"), bad.client.call("S.echo"), good.client.call("S.trail")]) {
    const error = await assertRejects(() => call, RpcError, "requires a valid token");
    assertEquals(error.code, "unauthenticated");
  }
});

Deno.test("limitConcurrency: refuses calls above the limit, and accepts the next once one has ended", async () => {
  const gate = Promise.withResolvers<void>();
  await using server = new Server().use(limitConcurrency(2)).register("S", { wait: () => gate.promise });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const waiting = [client.call("S.wait"), client.call("S.wait")];
  const error = await assertRejects(() => client.call("S.wait"), RpcError, "2 calls are running");
  assertEquals(error.code, "resource_exhausted");
  gate.resolve();
  await Promise.all(waiting);
  await client.call("S.wait");
  assertThrows(() => limitConcurrency(0), RangeError, "0");
});

Deno.test("interceptors: one that returns no reply is named, on either side", async () => {
  const log: string[] = [];
  const forgets = [
    function forgetful() {},
    async function forgetful(call, next) {
      await next(call);
    },
    async function forgetful(call, next) {
      return (await next(call)).value;
    },
    async function forgetful(call, next) {
      return { value: (await next(call)).value };
    },
  ] as ((...all: Parameters<Interceptor>) => unknown)[] as Interceptor[];
  for (const forgetful of forgets) {
    const message =
      "Cannot answer S.echo: interceptor 1 (forgetful) returned no reply; return the result of next(call), or";
    await using atClient = await pair([], [forgetful]);
    await assertRejects(() => atClient.client.call("S.echo", "x"), TypeError, message);
    await using server = new Server({ log: (_, error) => log.push((error as Error).message) });
    server.use(forgetful).register("S", SERVICE);
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address);
    const error = await assertRejects(() => client.call("S.echo", "x"), RpcError);
    assertEquals(error.code, "internal");
    assertStringIncludes(log.pop()!, message);
  }
});
