// How interceptors are put together, on both sides: `next` is called once, streams that one of them does not pass on are
// left, and those that measure or count calls do so until a stream has ended.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type CallContext,
  type Client,
  connect,
  type Interceptor,
  limitConcurrency,
  logCalls,
  type Next,
  type Reply,
  RpcError,
  Server,
} from "../../mod.ts";
import { fails } from "../support/session_pair.ts";
import { turn } from "../support/stream_sources.ts";
import { until } from "../support/waiting.ts";

/** A server and a client with interceptors each. */
class Linked implements AsyncDisposable {
  readonly log: string[] = [];
  readonly server = new Server({ log: (message, error) => void this.log.push(`${message}: ${error}`) });
  client!: Client;

  static async open(methods: object, server: Interceptor[], client: Interceptor[]): Promise<Linked> {
    const linked = new Linked();
    linked.server.register("S", methods);
    for (const interceptor of server) linked.server.use(interceptor);
    const { address } = await linked.server.listen("tcp@127.0.0.1:0");
    linked.client = await connect(address, { interceptors: client });
    return linked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.server.close();
  }
}

const TWICE: Readonly<Record<string, Interceptor>> = {
  "after a failure": async function again(call, next) {
    try {
      return await next(call);
    } catch {
      return await next(call);
    }
  },
  "side by side": function again(call, next) {
    return Promise.any([next(call), next({ ...call })]);
  },
  "one after the other": async function again(call, next) {
    await next(call).catch(() => {});
    return await next(call);
  },
};

for (const [how, again] of Object.entries(TWICE)) {
  Deno.test(`interceptors: calling next twice is an error, ${how}, on either side`, async () => {
    const pass: Interceptor = (call, next) => next(call);
    const message = "Cannot call next twice for S.fail: interceptor 2 (again) has already passed it on";
    let calls = 0;
    const fail = () => {
      calls++;
      throw new RpcError("unavailable", "Not now");
    };
    await using client = await Linked.open({ fail }, [], [pass, again, pass]);
    await assertRejects(() => client.client.call("S.fail"), TypeError, message);
    await using server = await Linked.open({ fail }, [pass, again, pass], []);
    await fails(server.client.call("S.fail"), "internal", "The handler failed");
    assertEquals([calls, server.log], [2, [`Handler of S.fail failed: TypeError: ${message}`]]);
  });
}

Deno.test("interceptors: each call has a next of its own, while others are in flight", async () => {
  const nexts = new Set<Next>();
  const note: Interceptor = async (call, next) => {
    nexts.add(next);
    await turn();
    return await next(call);
  };
  await using link = await Linked.open({ echo: (n: number) => n }, [note], [note]);
  const numbers = Array.from({ length: 20 }, (_, n) => n);
  assertEquals(await Promise.all(numbers.map((n) => link.client.call("S.echo", n))), numbers);
  assertEquals(nexts.size, 40);
});

Deno.test("interceptors: one that is added later also wraps services registered before", async () => {
  await using link = await Linked.open({ echo: (value: unknown) => value }, [], []);
  const add = (text: string): Interceptor => async (call, next) => {
    const reply = await next(call);
    return { ...reply, value: `${reply.value}${text}` };
  };
  assertEquals(await link.client.call("S.echo", "x"), "x");
  link.server.use(add("1"));
  assertEquals(await link.client.call("S.echo", "x"), "x1");
  link.server.use(add("2")).register("Late", { echo: (value: unknown) => value });
  assertEquals(await link.client.call("S.echo", "x"), "x21");
  assertEquals(await link.client.call("Late.echo", "x"), "x21");
});

Deno.test("interceptors: after an interceptor that only passes calls on, a handler receives the session's own context", async () => {
  const contexts: CallContext[] = [];
  const look = (_: unknown, context: CallContext) => void contexts.push(context);
  const pass: Interceptor = (call, next) => next(call);
  const change: Interceptor = (call, next) => next({ ...call, metadata: new Map([["user", "ada"]]) });
  await using link = await Linked.open({ look }, [pass], []);
  await link.client.call("S.look");
  link.server.use(change);
  await link.client.call("S.look");
  assertEquals(contexts.map(({ method, metadata }) => [method, metadata.get("user")]), [
    ["S.look", undefined],
    ["S.look", "ada"],
  ]);
  assert(contexts[1]!.deadline < Infinity && contexts[1]!.signal instanceof AbortSignal);
});

Deno.test("interceptors: await promises of any implementation", async () => {
  const thenable = { then: (resolve: (value: unknown) => void) => resolve(7) };
  const seen: unknown[] = [];
  const look: Interceptor = async (call, next) => {
    const reply = await next(call);
    seen.push(reply.value);
    return reply;
  };
  const methods = { thenable: () => thenable, promise: () => Promise.resolve(8), plain: () => 9 };
  await using link = await Linked.open(methods, [look], []);
  const names = Object.keys(methods);
  assertEquals(await Promise.all(names.map((name) => link.client.call(`S.${name}`))), [7, 8, 9]);
  assertEquals(seen.toSorted(), [7, 8, 9]);
});

const QUIET = {
  async *quiet(_: unknown, { signal }: CallContext) {
    yield 1;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  },
  async *two() {
    yield* [1, 2];
  },
  *torn() {
    yield 1;
    throw new RpcError("data_loss", "Torn");
  },
};

/** Interceptors that get a stream and do not pass it on. */
const DROPS: Readonly<Record<string, Interceptor>> = {
  "fails": async (call, next) => {
    await turn();
    await next(call);
    throw new RpcError("permission_denied", "No");
  },
  "answers something else": async (call, next) => ({ ...await next(call), value: "else" }),
  "takes one item": async (call, next) => {
    const reply = await next(call);
    const items = (reply.value as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    return { ...reply, value: (await items.next()).value };
  },
};

for (const [how, drop] of Object.entries(DROPS)) {
  Deno.test(`interceptors: a stream that one of them gets, and then ${how}, is left, on either side`, async () => {
    for (const atServer of [true, false]) {
      const chain = [drop, limitConcurrency(1)];
      await using link = await Linked.open(QUIET, atServer ? chain : [], atServer ? [] : chain);
      const taken = () => Array.fromAsync(link.client.stream("S.quiet")).catch((error) => error.code);
      const first = await taken();
      await until(() => link.server.stats().inFlight === 0, "its end");
      await turn();
      // There is room for the next one.
      assertEquals(await taken(), first);
    }
  });
}

Deno.test("logCalls: a stream is reported when it has ended, with how", async () => {
  for (const atServer of [true, false]) {
    const lines: string[] = [];
    const log = logCalls((...given) => {
      assertEquals(given.length, 1);
      lines.push(given[0].replace(/ [\d.]+ ms.*/, ""));
    });
    await using link = await Linked.open(QUIET, atServer ? [log] : [], atServer ? [] : [log]);
    const { client } = link;
    const stream = client.stream("S.two");
    await stream.next();
    if (!atServer) assertEquals(lines, []);
    await Array.fromAsync(stream);
    await until(() => lines.length === 1, "the end");
    await Array.fromAsync(client.stream("S.torn")).catch(() => {});
    await until(() => lines.length === 2, "the failure");
    for await (const _ of client.stream("S.quiet")) break;
    await until(() => lines.length === 3, "the leaving");
    const quiet = client.stream("S.quiet");
    await quiet.next();
    quiet.next();
    await turn();
    await quiet.return!();
    await until(() => lines.length === 4, "the leaving in a wait");
    await Array.fromAsync(client.stream("S.quiet", null, { timeout: 50 })).catch(() => {});
    await until(() => lines.length === 5, "the deadline");
    // The server may learn that the client has given up before it does so itself.
    const late = lines.pop()!;
    assert(/^S\.quiet (deadline_exceeded|canceled)$/.test(late), late);
    assertEquals(lines, ["S.two ok", "S.torn data_loss", "S.quiet canceled", "S.quiet canceled"]);
  }
});

Deno.test("logCalls: it passes on the very metadata that come with the end of a stream", async () => {
  const replies: Reply[] = [];
  const note: Interceptor = async (call, next) => {
    const reply = await next(call);
    replies.push(reply);
    return reply;
  };
  const rows = function* (_: unknown, { replyMetadata }: CallContext) {
    yield 1;
    replyMetadata.set("rows", "1");
  };
  await using link = await Linked.open({ rows }, [logCalls(() => {})], [note, logCalls(() => {})]);
  await Array.fromAsync(link.client.stream("S.rows"));
  assertEquals(replies.map(({ metadata }) => metadata.get("rows")), ["1"]);
});

Deno.test("limitConcurrency: a stream counts until it has ended, on either side", async () => {
  for (const atServer of [true, false]) {
    const limit = limitConcurrency(2);
    await using link = await Linked.open(QUIET, atServer ? [limit] : [], atServer ? [] : [limit]);
    const { client } = link;
    const options = { failMode: "failfast" } as const;
    const open = [client.stream("S.quiet", null, options), client.stream("S.quiet", null, options)];
    for (const stream of open) assertEquals((await stream.next()).value, 1);
    await fails(client.stream("S.two", null, options).next(), "resource_exhausted", "2 calls are running");
    await open[0]!.return!();
    await until(() => link.server.stats().inFlight === 1, "its end");
    await turn();
    assertEquals(await Array.fromAsync(client.stream("S.two", null, options)), [1, 2]);
    await Array.fromAsync(client.stream("S.torn", null, options)).catch(() => {});
    assertEquals(await Array.fromAsync(client.stream("S.two", null, options)), [1, 2]);
    await open[1]!.return!();
  }
});

Deno.test("interceptor: an error of one that refuses a call at a client names the method", async () => {
  for (const frozen of [false, true]) {
    const refuse: Interceptor = () => {
      const error = new RpcError("permission_denied", "Not now");
      throw frozen ? Object.freeze(error) : error;
    };
    await using linked = await Linked.open({ one: () => 1 }, [], [refuse]);
    const called = await fails(linked.client.call("S.one"), "permission_denied", "Not now");
    const streamed = await fails(linked.client.stream("S.one").next(), "permission_denied", "Not now");
    assertEquals([called.method, streamed.method], frozen ? [undefined, undefined] : ["S.one", "S.one"]);
  }
});
