// Leaving a stream reaches its source at once while that is quiet, whatever is between: checks of a contract, interceptors
// that pass a stream on, interceptors that put a generator around it, on either side; in both directions.

import { assertEquals } from "@std/assert";
import { Readable } from "node:stream";
import {
  type CallContext,
  type Client,
  connect,
  defineService,
  type Interceptor,
  limitConcurrency,
  logCalls,
  method,
  type Reply,
  RpcError,
  Server,
} from "../../mod.ts";
import { schema } from "../support/contract_served.ts";
import { turn } from "../support/stream_sources.ts";
import { until } from "../support/waiting.ts";

/** Sources that have one item and then nothing, and how often they were stopped. */
const SOURCES: Readonly<Record<string, (stopped: () => void) => AsyncIterable<unknown>>> = {
  "a ReadableStream": (stopped) =>
    new ReadableStream({ start: (controller) => controller.enqueue(1), cancel: () => stopped() }),
  "a Readable of Node": (stopped) => {
    let items = 1;
    return new Readable({
      objectMode: true,
      read() {
        if (items-- > 0) this.push(1);
      },
      // What it fails with is nothing to the server.
      destroy: (_, callback) => (stopped(), callback(new Error("destroyed"))),
    });
  },
  "an iterator": (stopped) => {
    let items = 1;
    const { promise, resolve } = Promise.withResolvers<IteratorResult<unknown>>();
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => items-- > 0 ? Promise.resolve({ value: 1, done: false }) : promise,
        return() {
          stopped();
          resolve({ value: undefined, done: true });
          return Promise.resolve({ value: undefined, done: true });
        },
      }),
    };
  },
  "an iterator that never settles its next item": (stopped) => {
    let items = 1;
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => items-- > 0 ? Promise.resolve({ value: 1, done: false }) : new Promise(() => {}),
        return() {
          stopped();
          return Promise.resolve({ value: undefined, done: true });
        },
      }),
    };
  },
};

const pass: Interceptor = (call, next) => next(call);
/** Puts a generator around whatever streams. */
const wrap: Interceptor = async (call, next) => {
  const reply = await next({ ...call, args: around(call.args) });
  return { ...reply, value: around(reply.value) };
};
/** Passes no signal on that has to do with the call's. */
const ownSignal: Interceptor = async (call, next) => {
  const reply = await next({ ...call, signal: new AbortController().signal });
  return { ...reply, value: around(reply.value) };
};

function around(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !(Symbol.asyncIterator in value)) return value;
  return (async function* () {
    yield* value as AsyncIterable<unknown>;
  })();
}

const CHAINS: Readonly<Record<string, Interceptor[]>> = {
  "no interceptor": [],
  "one that passes on": [pass],
  "a generator": [wrap],
  "generators, logCalls and limitConcurrency": [wrap, logCalls(() => {}), limitConcurrency(9), wrap],
  "a signal of its own": [ownSignal],
};

const any = schema<unknown>((value) => ({ value }));
const Checked = defineService("Checked", {
  follow: method.serverStream({ result: any }),
  eat: method.clientStream({ args: any }),
});

interface Served extends AsyncDisposable {
  server: Server;
  client: Client;
  /** How often sources of the handlers were stopped. */
  stops(): number;
}

async function serve(source: string, atServer: Interceptor[], atClient: Interceptor[]): Promise<Served> {
  let stops = 0;
  const methods = {
    follow: () => SOURCES[source]!(() => stops++),
    eat: async (items: AsyncIterable<unknown>) => {
      for await (const _ of items) throw new RpcError("aborted", "Enough");
    },
  };
  const server = new Server().register("Bare", methods).register(Checked, methods);
  for (const interceptor of atServer) server.use(interceptor);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = await connect(address, { interceptors: atClient });
  return {
    server,
    client,
    stops: () => stops,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
    },
  };
}

for (const source of Object.keys(SOURCES)) {
  for (const [between, interceptors] of Object.entries(CHAINS)) {
    for (const service of ["Bare", "Checked"]) {
      Deno.test(`leave: ${source} that is quiet, ${service}, ${between}: stops when its consumer leaves`, async () => {
        for (const [atServer, atClient] of [[interceptors, []], [[], interceptors]]) {
          await using at = await serve(source, atServer!, atClient!);
          const stream = at.client.stream(`${service}.follow`, null, { timeout: Infinity });
          assertEquals(await stream.next(), { value: 1, done: false });
          const next = stream.next();
          await turn();
          await stream.return!();
          assertEquals((await next).done, true);
          await until(() => at.stops() === 1 && at.server.stats().inFlight === 0, "its end");
          // Between two items, too.
          for await (const _ of at.client.stream(`${service}.follow`)) break;
          await until(() => at.stops() === 2 && at.server.stats().inFlight === 0, "its end");
        }
      });

      Deno.test(`leave: ${source} as arguments, ${service}, ${between}: stops when the call ends`, async () => {
        for (const [atServer, atClient] of [[interceptors, []], [[], interceptors]]) {
          await using at = await serve(source, atServer!, atClient!);
          let stops = 0;
          const args = () => SOURCES[source]!(() => stops++);
          await at.client.call(`${service}.eat`, args()).catch(() => {});
          await until(() => stops === 1, "its end");
          await at.client.stream(`${service}.eat`, args()).next().catch(() => {});
          await until(() => stops === 2, "its end");
          assertEquals(at.client.stats().pending, 0);
        }
      });
    }
  }
}

Deno.test("leave: a source that has ended is not asked to stop", async () => {
  let stops = 0;
  const ending = () => {
    let items = 1;
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ value: 1, done: items-- === 0 }),
        return: () => (stops++, Promise.resolve({ value: undefined, done: true })),
      }),
    };
  };
  await using server = new Server().use(wrap).use(logCalls(() => {})).register("S", {
    all: ending,
    echo: (items: AsyncIterable<unknown>) => items,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { interceptors: [wrap, logCalls(() => {})] });
  assertEquals(await Array.fromAsync(client.stream("S.all")), [1]);
  assertEquals(await Array.fromAsync(client.stream("S.echo", ending())), [1]);
  assertEquals(stops, 0);
});

Deno.test("leave: a stream whose interceptor has not passed it on yet is left at once", async () => {
  const gate = Promise.withResolvers<void>();
  let calls = 0;
  await using server = new Server().register("S", { one: () => ++calls });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const aborted = Promise.withResolvers<unknown>();
  const slow: Interceptor = async (call, next) => {
    call.signal.addEventListener("abort", () => aborted.resolve(call.signal.reason));
    await gate.promise;
    return await next(call);
  };
  await using client = await connect(address, { interceptors: [slow] });
  const stream = client.stream("S.one");
  const next = stream.next();
  await turn();
  await stream.return!();
  assertEquals((await next).done, true);
  assertEquals((await aborted.promise as RpcError).code, "canceled");
  gate.resolve();
  await client.call("S.one");
  assertEquals([calls, client.stats().pending], [1, 0]);
});

Deno.test("leave: a generator of an interceptor learns why its items stop", async () => {
  const seen: unknown[] = [];
  const watch: Interceptor = async (call, next) => {
    const reply = await next(call);
    return { ...reply, value: watched(reply) };
  };
  async function* watched({ value }: Reply) {
    try {
      yield* value as AsyncIterable<unknown>;
      seen.push("end");
    } catch (error) {
      seen.push((error as RpcError).code);
      throw error;
    }
  }
  for (const source of Object.keys(SOURCES)) {
    for (const [atServer, atClient] of [[[watch], []], [[], [watch]]]) {
      await using at = await serve(source, atServer!, atClient!);
      const stream = at.client.stream("Bare.follow");
      await stream.next();
      stream.next();
      await turn();
      await stream.return!();
      await until(() => seen.length > 0, "it knows");
      assertEquals(seen.splice(0), ["canceled"]);
    }
  }
});

Deno.test("leave: a generator that ignores its signal keeps its place until it returns", async () => {
  const gate = Promise.withResolvers<void>();
  await using server = new Server().use(pass).register("S", {
    async *deaf() {
      yield 1;
      await gate.promise;
    },
    async *heeds(_: unknown, { signal }: CallContext) {
      yield 1;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  for (const name of ["S.deaf", "S.heeds"]) {
    const stream = client.stream(name);
    await stream.next();
    stream.next();
    await turn();
    await stream.return!();
  }
  await until(() => server.stats().inFlight === 1, "the one that heeds it");
  gate.resolve();
  await until(() => server.stats().inFlight === 0, "the other");
});
