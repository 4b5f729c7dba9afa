// What a client does, done in Deno, in browsers and in Node alike, by everywhere_test.ts: it writes down what it sees,
// since none of these has the other's means to report. Imports what users import, and nothing of Deno's.

import {
  type CallContext,
  type Client,
  connect,
  type ConnectOptions,
  defineService,
  method,
  type RpcError,
} from "../../client/mod.ts";
import { type Discovery, MultiServers, RegistryDiscovery } from "../../discovery/mod.ts";

/** Served by everywhere_server.ts. */
export const Shapes = defineService("Shapes", {
  square: method<number, number>(),
  upTo: method.serverStream<number, number>(),
  sum: method.clientStream<number, number>(),
  doubled: method.conversation<number, number>(),
});

/** Where everywhere_server.ts listens. */
export interface Where {
  /** Such as `127.0.0.1:9000`. */
  host: string;
  /** Of its registry, on another port: another origin. */
  registry: string;
}

export type Seen = Record<string, unknown>;

/** Asked for by the server and by the registry. */
export const TOKEN = "from-everywhere";

/** Makes every kind of call. */
export async function everywhere({ host, registry }: Where): Promise<Seen> {
  const address = `ws@${host}`;
  return {
    values: await within(address, {}, values),
    ...await within(address, {}, calls),
    ...await within(address, {}, streams),
    ...await within(address, {}, failures),
    back: await calledBack(address),
    restarted: await within(address, {}, restart),
    list: await fromList(address),
    json: await within(address, { codecType: "application/json" }, inJson),
    refused: await failure(connect(address, { token: "no" })),
    found: await within(
      new RegistryDiscovery(registry, { token: TOKEN }),
      {},
      (client) => client.call("Echo.echo", "found"),
    ),
    closed: await afterClose(address),
  };
}

/** A client for as long as it takes. By hand: Node before version 24 has no `await using`. */
async function within<T>(
  target: string | Discovery,
  options: ConnectOptions,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connect(target, { token: TOKEN, ...options });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

async function calls(client: Client): Promise<Seen> {
  const many = Array.from({ length: 1_000 }, (_, i) => client.call<number>("Echo.echo", i));
  const sent = new Uint8Array(1_048_576).map((_, i) => i * 7);
  const got = await client.call<Uint8Array>("Echo.echo", sent);
  const metadata = { trace: "über", raw: Uint8Array.of(0, 255) };
  return {
    many: (await Promise.all(many)).every((value, i) => value === i),
    large: got.length === sent.length && got.every((byte, i) => byte === sent[i]),
    headers: await client.call("Echo.headers", null, { metadata }),
    square: await client.service(Shapes).square(7),
  };
}

async function streams(client: Client): Promise<Seen> {
  const shapes = client.service(Shapes);
  const seen: Seen = {
    down: await all(shapes.upTo(100)),
    up: await shapes.sum(numbers(100)),
    both: await all(shapes.doubled(numbers(100))),
  };
  const items: number[] = [];
  for await (const item of client.stream<number>("Echo.endless")) {
    if (items.push(item) === 3) break;
  }
  seen.left = [items, await until(() => client.call<number>("Echo.aborted"), 1)];
  return seen;
}

async function failures(client: Client): Promise<Seen> {
  const controller = new AbortController();
  const canceled = failure(client.call("Echo.never", null, { signal: controller.signal }));
  controller.abort();
  return {
    failed: await failure(client.call("Echo.fail"), "details"),
    unknown: await failure(client.call("Echo.nothing")),
    late: await failure(client.call("Echo.never", null, { timeout: 50 })),
    canceled: await canceled,
    aborted: await until(() => client.call<number>("Echo.aborted"), 2),
  };
}

async function calledBack(address: string): Promise<unknown[]> {
  const shown: string[] = [];
  const Screen = {
    show: (line: string) => shown.push(line),
    *lines(count: number) {
      for (let i = 1; i <= count; i++) yield `line ${i}`;
    },
    fail: (_: unknown, { method }: CallContext) => Promise.reject(new Error(method)),
  };
  return [await within(address, { services: { Screen } }, (client) => client.call("Echo.callBack")), shown];
}

/** What cannot be dialled outside of Deno. */
export async function notDialled({ host }: Where): Promise<Seen> {
  const tls = { caCerts: ["-----BEGIN CERTIFICATE-----"] };
  return {
    tcp: await message(connect(`tcp@${host}`)),
    unix: await message(connect("unix@/run/app.sock")),
    wss: await message(connect(`wss@${host}`, { tls })),
  };
}

/** Kinds of values, there and back. */
async function values(client: Client): Promise<unknown[]> {
  const sent = [
    "Grüße, 世界 😀",
    -1.5,
    2n ** 70n,
    -(2n ** 200n),
    new Date(0),
    new Map<unknown, unknown>([[{ key: 1 }, "an object for a key"]]),
    new Set([1, 2]),
    Uint8Array.of(1, 2),
    Float32Array.of(0.5),
    { nested: [null, undefined, true, NaN] },
  ];
  const got = await client.call<unknown[]>("Echo.echo", sent);
  return got.map((value, i) => shown(value) === shown(sent[i]) ? "same" : shown(value));
}

/** A connection that the server ends, and calls after that. */
async function restart(client: Client): Promise<unknown[]> {
  const pending = failure(client.call("Echo.never"));
  await client.call("Echo.restart").catch(() => {});
  return [await pending, await client.call("Echo.echo", "again", { idempotent: true })];
}

/** A list of servers, one of which cannot be reached, and outside of Deno not even be dialled. */
async function fromList(address: string): Promise<unknown[]> {
  const servers = new MultiServers(["tcp@127.0.0.1:1", address]);
  const got: unknown[] = [];
  await within(servers, { balancer: "round_robin" }, async (client) => {
    for (let i = 0; i < 4; i++) got.push(await client.call("Echo.echo", i));
  });
  return got;
}

async function inJson(client: Client): Promise<unknown> {
  return await client.call("Echo.echo", [1, "x", { a: null }]);
}

async function afterClose(address: string): Promise<unknown[]> {
  const client = await connect(address, { token: TOKEN });
  const pending = failure(client.call("Echo.never"));
  await client.close();
  await client.close();
  return [await pending, await failure(client.call("Echo.echo", 1))];
}

async function* numbers(to: number): AsyncGenerator<number> {
  for (let i = 1; i <= to; i++) yield await Promise.resolve(i);
}

async function all(items: AsyncIterable<number>): Promise<number> {
  let sum = 0;
  for await (const item of items) sum += item;
  return sum;
}

async function until(ask: () => Promise<number>, wanted: number): Promise<number> {
  for (let i = 0; i < 200; i++) {
    const got = await ask();
    if (got === wanted) return got;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return await ask();
}

async function failure(promise: Promise<unknown>, ...more: (keyof RpcError)[]): Promise<unknown> {
  try {
    return `no error but ${await promise}`;
  } catch (thrown) {
    const error = thrown as RpcError;
    return more.length === 0 ? error.code : [error.code, error.message, ...more.map((name) => error[name])];
  }
}

async function message(promise: Promise<unknown>): Promise<string> {
  try {
    return `no error but ${await promise}`;
  } catch (error) {
    return (error as RpcError).message;
  }
}

/** A value as text, with what JSON leaves out. */
function shown(value: unknown): string {
  return JSON.stringify(value, (_, each) => {
    if (typeof each === "bigint") return `${each}n`;
    if (each === undefined) return "undefined";
    if (typeof each === "number" && Number.isNaN(each)) return "NaN";
    if (each instanceof Map || each instanceof Set) return [each.constructor.name, ...each];
    if (ArrayBuffer.isView(each)) return [each.constructor.name, ...each as Uint8Array];
    return each;
  });
}
