// Calls made inside handlers: they end with the call that is being answered, and belong to its trace, without any
// option.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ambient } from "../../call/ambient.ts";
import { type CallContext, type Client, connect, detach, RpcError, Server } from "../../mod.ts";
import { simulate } from "../../testing/mod.ts";
import type { Network } from "../../transport/conn.ts";
import { soon, until } from "../support/waiting.ts";

/** Three servers in a row, a → b → c, of which each calls the next: what c receives, and how it ends. */
async function row(handlers: {
  b?: (client: Client, context: CallContext) => unknown;
  c: (args: unknown, context: CallContext) => unknown;
}, network?: Network) {
  const stack = new AsyncDisposableStack();
  const serve = async (methods: object) => {
    const server = stack.use(new Server({ network }).register("S", methods));
    return stack.use(await connect((await server.listen("tcp@127.0.0.1:0")).address, { network }));
  };
  const toC = await serve({ c: handlers.c });
  const b = handlers.b ?? ((client: Client) => client.call("S.c"));
  const toB = await serve({ b: (_: unknown, context: CallContext) => b(toC, context) });
  const toA = await serve({
    a: async () => {
      await Promise.resolve();
      return await toB.call("S.b");
    },
    stream: async function* () {
      yield await toB.call("S.b");
    },
  });
  return { client: toA, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** A handler that hangs until its signal aborts, and the reason of that. */
function hanging() {
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<RpcError>();
  const c = (_: unknown, { signal }: CallContext) =>
    new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => {
        aborted.resolve(signal.reason);
        resolve();
      });
      started.resolve();
    });
  return { c, started: started.promise, aborted: aborted.promise };
}

Deno.test("inherit: the deadline shrinks over hops, and the last server receives what remains", async () => {
  await using servers = await row({ c: (_, { deadline }) => deadline - performance.now() });
  const left = await servers.client.call<number>("S.a", null, { timeout: 5_000 });
  assert(left > 0 && left <= 5_000, `${left} ms`);
});

for (const method of ["S.a", "S.stream"]) {
  Deno.test(`inherit: cancelling ${method} cancels the calls made for it, over two hops`, async () => {
    const { c, started, aborted } = hanging();
    await using servers = await row({ c });
    const stop = new AbortController();
    const call = assertRejects(async () => {
      for await (const _ of servers.client.stream(method, null, { signal: stop.signal }));
    }, RpcError);
    await started;
    stop.abort();
    assertEquals((await call).code, "canceled");
    assertEquals((await aborted).code, "canceled");
  });
}

Deno.test("inherit: a timeout at the first hop ends the last", () =>
  simulate(async ({ network }) => {
    const { c, aborted } = hanging();
    await using servers = await row({ c }, network.host("local"));
    const error = await assertRejects(() => servers.client.call("S.a", null, { timeout: 200 }), RpcError);
    assertEquals(error.code, "deadline_exceeded");
    await soon(aborted, "the last handler to be aborted");
  }));

Deno.test("inherit: a call whose outer deadline has passed is not started", () =>
  simulate(async ({ network }) => {
    let started = 0;
    const late = Promise.withResolvers<unknown>();
    await using servers = await row({
      c: () => started++,
      b: async (client, { signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await client.call("S.c").catch(late.resolve);
      },
    }, network.host("local"));
    await assertRejects(() => servers.client.call("S.a", null, { timeout: 50 }), RpcError);
    const error = await late.promise as RpcError;
    assertEquals({ notStarted: error.notStarted, started }, { notStarted: true, started: 0 });
  }));

Deno.test("inherit: the trace is inherited, other metadata are not", async () => {
  await using servers = await row({ c: (_, { metadata }) => [...metadata] });
  const metadata = {
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    token: "secret",
  };
  assertEquals(await servers.client.call("S.a", null, { metadata }), [["traceparent", metadata.traceparent]]);
});

Deno.test("inherit: a detached call outlives its caller's, and has a deadline of its own", async () => {
  const { c, started, aborted } = hanging();
  const stop = new AbortController();
  let deadline = 0;
  await using servers = await row({
    c: (args, context) => {
      deadline = context.deadline - performance.now();
      return c(args, context);
    },
    b: (client) => {
      void detach(() => client.call("S.c", null, { signal: stop.signal })).catch(() => {});
      return "answered";
    },
  });
  assertEquals(await servers.client.call("S.a", null, { timeout: 3_000 }), "answered");
  await started;
  assert(deadline > 10_000, `${deadline} ms`);
  stop.abort();
  assertEquals((await aborted).code, "canceled");
});

Deno.test("inherit: concurrent calls do not share their context", async () => {
  await using servers = await row({ c: (_, { metadata }) => metadata.get("traceparent") });
  await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const metadata = { traceparent: `trace-${i}` };
    assertEquals(await servers.client.call("S.a", null, { metadata }), `trace-${i}`);
  }));
});

Deno.test("inherit: abort listeners run in the context of their call, also when another call set the timer", () =>
  simulate(async ({ network }) => {
    const local = network.host("local");
    await using server = new Server({ network: local, handleTimeout: 100 }).register("S", {
      // It sets the timer that all of the server's connections share.
      first: (_: unknown, { peer }: CallContext) =>
        peer.call("C.never", null, { timeout: 50 }).catch(() => {}),
      second: (_: unknown, { signal }: CallContext) =>
        new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => {
            aborted.resolve(ambient.current()?.metadata.get("traceparent"));
            resolve();
          })
        ),
    });
    const aborted = Promise.withResolvers<unknown>();
    const { address } = await server.listen("tcp@127.0.0.1:0");
    const never = Promise.withResolvers<void>();
    await using one = await connect(address, {
      network: local,
      services: { C: { never: () => never.promise } },
    });
    await using two = await connect(address, { network: local });
    const first = one.call("S.first", null, { metadata: { traceparent: "of the first" } });
    await until(() => server.stats().inFlight === 1, "the first runs");
    const second = two.call("S.second", null, { metadata: { traceparent: "of the second" } });
    await assertRejects(() => second, RpcError, "S.second");
    assertEquals(await aborted.promise, "of the second");
    await first;
    never.resolve();
  }));
