// Servers that call their clients back, over the connection that the client made: the same rules, the other way round.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type CallContext, connect, type ConnectOptions, RpcError, Server } from "../../mod.ts";

/** A server whose handlers call back, and a client with services. */
async function pair(methods: object, options: ConnectOptions) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(new Server().register("S", methods));
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = stack.use(await connect(address, options));
  return { client, server, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

class Screen {
  lines: string[] = [];
  show(line: string): number {
    return this.lines.push(line);
  }
  *upTo(n: number) {
    for (let i = 1; i <= n; i++) yield i;
  }
  fail(): never {
    throw new RpcError("failed_precondition", "The screen is off", { details: { since: 3 } });
  }
}

Deno.test("callback: a handler calls its caller's services, by name, typed, and as streams", async () => {
  const screen = new Screen();
  await using link = await pair({
    draw: async (_: unknown, { peer }: CallContext) => {
      const shown = await peer.call<number>("Screen.show", "one");
      const again = await peer.service<Screen>("Screen").show("two");
      const items: number[] = [];
      for await (const item of peer.stream<number>("Screen.upTo", 3)) items.push(item);
      return [shown, again, items, peer.address.startsWith("tcp@127.0.0.1:")];
    },
  }, { services: { Screen: screen } });
  assertEquals(await link.client.call("S.draw"), [1, 2, [1, 2, 3], true]);
  assertEquals(screen.lines, ["one", "two"]);
});

Deno.test("callback: errors are passed in both directions, also for unknown names and clients without services", async () => {
  const methods = { ask: (method: string, { peer }: CallContext) => peer.call(method) };
  await using link = await pair(methods, { services: { Screen: new Screen() } });
  await using bare = await pair(methods, {});
  const error = await assertRejects(
    () => link.client.call("S.ask", "Screen.fail"),
    RpcError,
    "The screen is off",
  );
  assertEquals({ code: error.code, details: error.details }, {
    code: "failed_precondition",
    details: { since: 3 },
  });
  for (
    const [client, method, message] of [
      [link.client, "Screen.nothing", "no method"],
      [link.client, "Nobody.home", "Unknown service"],
      [bare.client, "Screen.show", "answers no calls"],
    ] as const
  ) {
    const error = await assertRejects(() => client.call("S.ask", method), RpcError, message);
    assertEquals(error.code, "unimplemented");
  }
});

Deno.test("callback: ends with the call that it is made for", async () => {
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<string>();
  await using link = await pair({
    ask: (_: unknown, { peer }: CallContext) => peer.call("Slow.work", null, { timeout: Infinity }),
  }, {
    services: {
      Slow: {
        work: (_: unknown, { signal, deadline }: CallContext) =>
          new Promise((resolve) => {
            assert(deadline < Infinity);
            signal.addEventListener("abort", () => {
              aborted.resolve((signal.reason as RpcError).code);
              resolve(null);
            });
            started.resolve();
          }),
      },
    },
  });
  const stop = new AbortController();
  const call = assertRejects(() => link.client.call("S.ask", null, { signal: stop.signal }), RpcError);
  await started.promise;
  stop.abort();
  assertEquals((await call).code, "canceled");
  assertEquals(await aborted.promise, "canceled");
});

Deno.test("callback: both sides may call and stream at once", async () => {
  await using link = await pair({
    relay: async function* (items: AsyncIterable<number>, { peer }: CallContext) {
      for await (const item of items) yield await peer.call<number>("Double.of", item);
    },
  }, { services: { Double: { of: (n: number) => n * 2 } } });
  async function* numbers() {
    for (let i = 0; i < 500; i++) yield i;
  }
  let next = 0;
  for await (const item of link.client.stream<number>("S.relay", numbers())) assertEquals(item, 2 * next++);
  assertEquals(next, 500);
});

Deno.test("callback: a connection that is lost fails the calls back", async () => {
  const asked = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<RpcError>();
  await using link = await pair({
    ask: (_: unknown, { peer }: CallContext) => peer.call("Slow.work").catch(failed.resolve),
  }, {
    services: {
      Slow: {
        work: () => {
          asked.resolve();
          return new Promise(() => {});
        },
      },
    },
  });
  const call = assertRejects(() => link.client.call("S.ask"), RpcError);
  await asked.promise;
  await link.client.close();
  assertEquals((await call).code, "unavailable");
  assert(["unavailable", "canceled"].includes((await failed.promise).code));
});

Deno.test("callback: connect refuses invalid services", async () => {
  const services = { "not a name": {} };
  await assertRejects(() => connect("tcp@127.0.0.1:1", { services }), TypeError, "not a name");
});
