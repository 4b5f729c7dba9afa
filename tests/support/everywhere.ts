// What a client does, run in Deno, in browsers, in Node and in Bun by everywhere_test.ts and everywhere_real_test.ts: it records what
// it sees, since these runtimes have no common way to report. Imports what users import, and nothing of Deno's.

import {
  type CallContext,
  type Client,
  type ConnectOptions,
  defineService,
  method,
  type RpcError,
} from "../../client/mod.ts";
import { type Discovery, MultiServers, RegistryDiscovery } from "../../discovery/mod.ts";

/** `connect` of the entry point that the runtime uses. */
export type Connect = (target: string | Discovery, options?: ConnectOptions) => Promise<Client>;

/** Served by everywhere_server.ts. */
export const Shapes = defineService("Shapes", {
  square: method<number, number>(),
  upTo: method.serverStream<number, number>(),
  sum: method.clientStream<number, number>(),
  doubled: method.conversation<number, number>(),
});

/** Where everywhere_server.ts listens. */
export interface Where {
  /** Of its HTTP port, such as `127.0.0.1:9000`. */
  host: string;
  /** Of its registry, on another port: another origin. */
  registry: string;
  /** Its addresses, such as `tcp@127.0.0.1:9001`. */
  addresses: string[];
  /** The authority of its certificate, in PEM. */
  ca: string;
}

export type Seen = Record<string, unknown>;

/** Asked for by the server and by the registry. */
export const TOKEN = "from-everywhere";

/** The scenario: one client after another at one address. */
export class Everywhere {
  readonly #connect: Connect;
  readonly #address: string;
  readonly #where: Where;
  readonly #tls: ConnectOptions["tls"];

  /** @param transport Of the address to use, such as `tcp` */
  constructor(connect: Connect, where: Where, transport: string) {
    this.#connect = connect;
    this.#where = where;
    this.#address = where.addresses.find((address) => address.startsWith(`${transport}@`)) ??
      `${transport}@${where.host}`;
    this.#tls = transport === "tls" ? { caCerts: [where.ca] } : undefined;
  }

  /** Makes every kind of call. */
  async run(): Promise<Seen> {
    const list = new MultiServers(["tcp@127.0.0.1:1", this.#address]);
    const found = new RegistryDiscovery(this.#where.registry, { token: TOKEN });
    return {
      values: await this.#within({}, values),
      ...await this.#within({}, calls),
      ...await this.#within({}, streams),
      ...await this.#within({}, failures),
      back: await this.#calledBack(),
      restarted: await this.#within({}, restart),
      list: await this.#within({ balancer: "round_robin", secure: false }, fourCalls, list),
      json: await this.#within({ codecType: "application/json" }, inJson),
      refused: await failure(this.#connect(this.#address, { token: "no", tls: this.#tls })),
      found: await this.#within({ secure: false }, (client) => client.call("Echo.echo", "found"), found),
      closed: await this.#afterClose(),
    };
  }

  /** A client for as long as `use` takes. Closed by hand, since Node before version 24 has no `await using`. */
  async #within<T>(
    options: ConnectOptions,
    use: (client: Client) => Promise<T>,
    target: string | Discovery = this.#address,
  ): Promise<T> {
    const client = await this.#connect(target, { token: TOKEN, tls: this.#tls, ...options });
    try {
      return await use(client);
    } finally {
      await client.close();
    }
  }

  async #calledBack(): Promise<unknown[]> {
    const shown: string[] = [];
    const Screen = {
      show: (line: string) => shown.push(line),
      *lines(count: number) {
        for (let i = 1; i <= count; i++) yield `line ${i}`;
      },
      fail: (_: unknown, { method }: CallContext) => Promise.reject(new Error(method)),
    };
    return [await this.#within({ services: { Screen } }, (client) => client.call("Echo.callBack")), shown];
  }

  async #afterClose(): Promise<unknown[]> {
    const client = await this.#connect(this.#address, { token: TOKEN, tls: this.#tls });
    const pending = failure(client.call("Echo.never"));
    await client.close();
    await client.close();
    return [await pending, await failure(client.call("Echo.echo", 1))];
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
  const aborted = await client.call<number>("Echo.aborted");
  const items: number[] = [];
  for await (const item of client.stream<number>("Echo.endless")) {
    if (items.push(item) === 3) break;
  }
  seen.left = [items, await until(() => client.call<number>("Echo.aborted"), aborted + 1) - aborted];
  return seen;
}

async function failures(client: Client): Promise<Seen> {
  const aborted = await client.call<number>("Echo.aborted");
  const controller = new AbortController();
  const canceled = failure(client.call("Echo.never", null, { signal: controller.signal }));
  controller.abort();
  return {
    failed: await failure(client.call("Echo.fail"), "details"),
    unknown: await failure(client.call("Echo.nothing")),
    late: await failure(client.call("Echo.never", null, { timeout: 50 })),
    canceled: await canceled,
    aborted: await until(() => client.call<number>("Echo.aborted"), aborted + 2) - aborted,
  };
}

/** The errors of addresses that a browser cannot dial. */
export async function notDialed(connect: Connect, { host }: Where): Promise<Record<string, string>> {
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
  return [await pending, await client.call("Echo.echo", "again", { waitForReady: true })];
}

/** Calls over a list of servers, one of which cannot be reached, or in a browser not even be dialed. */
async function fourCalls(client: Client): Promise<unknown[]> {
  const got: unknown[] = [];
  for (let i = 0; i < 4; i++) got.push(await client.call("Echo.echo", i));
  return got;
}

async function inJson(client: Client): Promise<unknown> {
  return await client.call("Echo.echo", [1, "x", { a: null }]);
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
