// Contracts over a real server: what is checked, who is told what, and that nothing else is touched.

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { type as ark } from "npm:arktype@2.2.3";
import * as v from "npm:valibot@1.5.0";
import { z } from "npm:zod@4.6.7";
import { contractClient } from "../call/typed.ts";
import {
  type CallContext,
  type CallOptions,
  type Client,
  connect,
  type Contract,
  type ContractHandlers,
  defineService,
  method,
  RpcError,
  Server,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
  unchecked,
} from "../mod.ts";
import { contractHandlers } from "../call/contract_methods.ts";
import { fails, until } from "./session_pair.ts";

/** A schema by hand. */
function schema<Input, Output = Input>(
  validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>,
): StandardSchema<Input, Output> {
  return { "~standard": { version: 1, vendor: "tests", validate } };
}

/** A schema that lets numbers from 0 on through. */
const natural = schema<number>((value) => {
  return typeof value === "number" && value >= 0 ? { value } : { issues: [{ message: "not natural" }] };
});

/** The same, taking its time. */
const later = schema<number>(async (value) => {
  return await natural["~standard"].validate(await Promise.resolve(value));
});

/** A schema that finds these issues in whatever it is given. */
function finds(...issues: StandardIssue[]): StandardSchema<unknown> {
  return schema(() => ({ issues }));
}

/** A server that answers a contract, a client of it, and what the server's log was told. */
class Served<C extends Contract> implements AsyncDisposable {
  readonly remote;
  private constructor(
    readonly server: Server,
    readonly client: Client,
    readonly log: [string, unknown][],
    contract: C,
  ) {
    this.remote = client.service(contract);
  }

  static async open<C extends Contract>(contract: C, handlers: ContractHandlers<C>): Promise<Served<C>> {
    const log: [string, unknown][] = [];
    const server = new Server({
      log: (message, error) => log.push([message, error]),
      // What goes wrong in checks is none of the handler's errors.
      mapError: () => new RpcError("data_loss", "mapped"),
    });
    server.register<Contract>(contract, handlers);
    const { address } = await server.listen("tcp@127.0.0.1:0");
    return new Served(server, await connect(address), log, contract);
  }

  /** The one thing that the log was told. */
  logged(): string {
    assertEquals(this.log.length, 1, Deno.inspect(this.log));
    const [message, more] = this.log.pop()!;
    return `${message} ${Deno.inspect(more)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.server.close();
  }
}

async function* items<T>(...values: T[]): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value);
}

/** What is taken from a stream until it fails, and its error. */
async function untilItFails(stream: AsyncIterable<unknown>, code: RpcError["code"]) {
  const taken: unknown[] = [];
  const error = await fails(
    (async () => {
      for await (const item of stream) taken.push(item);
    })(),
    code,
  );
  return { taken, error };
}

Deno.test("contract: describes a service for both sides", async () => {
  const Arith = defineService("Math.Arith", {
    sum: method<{ a: number; b: number }, number>(),
    root: method({ args: natural, result: later }),
    reset: method(),
  });
  let resets = 0;
  await using served = await Served.open(Arith, {
    sum: ({ a, b }) => a + b,
    root: async (n) => await Promise.resolve(Math.sqrt(n)),
    reset: () => void resets++,
  });
  const { sum, root, reset } = served.remote;
  await reset();
  assertEquals([await sum({ a: 1, b: 2 }), await root(16), resets], [3, 4, 1]);
  assertEquals(Object.keys(served.remote), ["sum", "root", "reset"]);
  assert(Object.isFrozen(served.remote) && Object.isFrozen(Arith) && Object.isFrozen(Arith.methods));
  assertEquals(await served.client.call("Math.Arith.sum", { a: 1, b: 2 }), 3);
  // Nothing looks at what has no schema.
  assertEquals(await served.client.call("Math.Arith.sum", { a: "1", b: 2 }), "12");
  assertEquals(served.log, []);
});

Deno.test("contract: arguments that do not fit are invalid, with the issues as details, and reach no handler", async () => {
  const S = defineService("S", {
    sync: method({ args: natural, result: unchecked<string>() }),
    async: method({ args: later, result: unchecked<string>() }),
    places: method({
      args: finds(
        { message: "too dear", path: ["items", { key: 2 }, "price", Symbol("s")] },
        { message: "too many" },
      ),
    }),
    silent: method({ args: finds() }),
  });
  let handled = 0;
  const handler = () => {
    handled++;
    return "handled";
  };
  await using served = await Served.open(S, { sync: handler, async: handler, places() {}, silent() {} });
  assertEquals([await served.remote.sync(1), await served.remote.async(1), handled], [
    "handled",
    "handled",
    2,
  ]);
  for (const name of ["sync", "async"] as const) {
    const error = await fails(served.remote[name](-1), "invalid_argument");
    assertEquals(error.message, `Cannot accept the arguments of S.${name}: not natural`);
    assertEquals(error.details, { issues: [{ message: "not natural", path: [] }] });
    assertEquals(error.remote, true);
  }
  const places = await fails(served.remote.places(1), "invalid_argument");
  assertEquals(
    places.message,
    "Cannot accept the arguments of S.places: at items[2].price.Symbol(s): too dear",
  );
  assertEquals(places.details, {
    issues: [
      { message: "too dear", path: ["items", 2, "price", "Symbol(s)"] },
      { message: "too many", path: [] },
    ],
  });
  await fails(served.remote.silent(1), "invalid_argument", "it does not fit its schema");
  assertEquals([handled, served.log], [2, []]);
});

Deno.test("contract: what is told of issues is bounded and can always be sent", async () => {
  const many = Array.from({ length: 1_000 }, (_, i) => ({
    message: `${i} ${"\u{1f996}".repeat(1_000)}`,
    path: Array.from({ length: 100 }, () => "\ud800".repeat(1_000)),
  }));
  const S = defineService("S", { many: method({ args: finds(...many) }) });
  await using served = await Served.open(S, { many() {} });
  const error = await fails(served.remote.many(1), "invalid_argument");
  const { issues } = error.details as { issues: { message: string; path: string[] }[] };
  assertEquals(issues.length, 20);
  for (const { message, path } of issues) {
    assert(message.length <= 257 && message.isWellFormed());
    assertEquals([path.length, path[0]], [16, `${"\ufffd".repeat(64)}…`]);
  }
  assert(error.message.length < 2_000 && error.message.isWellFormed());
});

Deno.test("contract: a result that does not fit is internal to the caller, and the log is told why", async () => {
  const S = defineService("S", {
    sync: method<number, number>({ result: natural }),
    async: method<number, number>({ result: later }),
  });
  await using served = await Served.open(S, { sync: (n) => n, async: (n) => Promise.resolve(n) });
  for (const name of ["sync", "async"] as const) {
    assertEquals(await served.remote[name](1), 1);
    const error = await fails(served.remote[name](-1), "internal");
    assertEquals(error.message, `Cannot send the result of S.${name}: it is not what its contract says`);
    assertEquals(error.details, undefined);
    assertEquals(
      served.logged(),
      `Cannot send the result of S.${name}: not natural [ { message: "not natural", path: [] } ]`,
    );
  }
});

Deno.test("contract: a schema that fails itself is internal, whatever it throws", async () => {
  const broken = {
    throws: schema<number>(() => {
      throw new Error("secret");
    }),
    rejects: schema<number>(() => Promise.reject(new Error("secret"))),
    nothing: schema<number>(() => undefined as never),
    odd: schema<number>(() => ({ issues: 5 as never })),
    null: schema<number>(() => ({ issues: [null as never] })),
    getter: schema<number>(() => ({
      get issues(): [] {
        throw new Error("secret");
      },
    })),
  };
  for (const failing of Object.values(broken)) {
    const S = defineService("S", {
      args: method({ args: failing, result: unchecked<number>() }),
      result: method<number, number>({ result: failing }),
      down: method.serverStream<void, number>({ result: failing }),
    });
    await using served = await Served.open(S, {
      args: (n) => n,
      result: (n) => n,
      *down() {
        yield 1;
      },
    });
    const error = await fails(served.remote.args(1), "internal");
    assertEquals(error.message, "Cannot check the arguments of S.args: its schema failed");
    assert(served.logged().startsWith(error.message));
    const { message } = await fails(served.remote.result(1), "internal");
    assertEquals(message, "Cannot check the result of S.result: its schema failed");
    served.logged();
    await untilItFails(served.remote.down(), "internal");
    served.logged();
  }
});

Deno.test("contract: what handlers throw is as without a contract", async () => {
  const S = defineService("S", { one: method({ args: natural, result: unchecked<number>() }) });
  await using served = await Served.open(S, {
    one(n) {
      throw n === 1 ? new RpcError("not_found", "no such thing", { details: n }) : new Error("own");
    },
  });
  assertEquals((await fails(served.remote.one(1), "not_found", "no such thing")).details, 1);
  await fails(served.remote.one(2), "data_loss", "mapped");
});

Deno.test("contract: a schema may change what it checks, at the server alone", async () => {
  const S = defineService("S", {
    double: method({ args: z.string().transform(Number), result: z.number().transform((n) => `${n}!`) }),
    halve: method({
      args: z.object({ n: z.number().default(8) }),
      result: z.object({ n: z.number(), secret: z.string().optional() }).transform(({ n }) => ({ n })),
    }),
  });
  await using served = await Served.open(S, {
    double: (n) => n * 2,
    halve: ({ n }) => ({ n: n / 2, secret: "s" }),
  });
  assertEquals(await served.remote.double("21"), "42!");
  assertEquals([await served.remote.halve({}), await served.remote.halve({ n: 3 })], [{ n: 4 }, { n: 1.5 }]);
});

Deno.test("contract: an argument that is left out is what its schema takes for that", async () => {
  const S = defineService("S", {
    optional: method({ args: z.string().optional(), result: unchecked<string>() }),
    nullish: method({ args: z.string().nullish(), result: unchecked<string>() }),
    default: method({ args: z.string().default("default"), result: unchecked<string>() }),
    async: method({
      args: z.string().optional().refine(() => Promise.resolve(true)),
      result: unchecked<string>(),
    }),
    needed: method({ args: z.string(), result: unchecked<string>() }),
  });
  const show = (text: unknown) => `${text}`;
  await using served = await Served.open(S, {
    optional: show,
    nullish: show,
    default: show,
    async: show,
    needed: show,
  });
  const { optional, nullish, default: byDefault, async } = served.remote;
  assertEquals(
    [await optional(), await nullish(), await byDefault(), await async(), await optional("x")],
    ["undefined", "null", "default", "undefined", "x"],
  );
  const error = await fails(served.client.call("S.needed"), "invalid_argument", "received null");
  assertEquals((error.details as { issues: unknown[] }).issues.length, 1);
});

Deno.test("contract: schemas of zod, valibot and arktype", async () => {
  const point = { x: "number", y: "number" } as const;
  const Shapes = defineService("Shapes", {
    zod: method({
      args: z.object({ points: z.array(z.object({ x: z.number(), y: z.number() })) }),
      result: z.number(),
    }),
    valibot: method({
      args: v.object({ points: v.array(v.object({ x: v.number(), y: v.number() })) }),
      result: v.number(),
    }),
    arktype: method({ args: ark({ points: ark(point).array() }), result: ark("number") }),
  });
  const count = ({ points }: { points: unknown[] }) => points.length > 2 ? "many" as never : points.length;
  await using served = await Served.open(Shapes, { zod: count, valibot: count, arktype: count });
  const fine = { x: 1, y: 2 };
  for (const name of ["zod", "valibot", "arktype"] as const) {
    const call = served.remote[name];
    assertEquals(await call({ points: [fine, fine] }), 2);
    const wrong = { points: [fine, { x: 1, y: "2" as never }] };
    const error = await fails(call(wrong), "invalid_argument");
    assert(
      error.message.startsWith(`Cannot accept the arguments of Shapes.${name}: at points[1].y: `),
      error.message,
    );
    const { issues } = error.details as { issues: StandardIssue[] };
    assertEquals(issues.map(({ path }) => path), [["points", 1, "y"]]);
    await fails(call({ points: [fine, fine, fine] }), "internal", "it is not what its contract says");
    assert(served.logged().startsWith(`Cannot send the result of Shapes.${name}: `));
  }
});

const Streams = defineService("Streams", {
  down: method.serverStream({ args: natural, result: natural }),
  up: method.clientStream({ args: natural, result: natural }),
  talk: method.conversation({ args: later, result: later }),
  free: method.conversation<unknown, unknown>(),
});

/** Handlers that count, and what has become of them. */
class StreamHandlers implements ContractHandlers<typeof Streams> {
  readonly ended: string[] = [];
  readonly seen: unknown[] = [];

  async *down(to: number) {
    try {
      for (let i = 3; i >= to - 3; i--) yield await Promise.resolve(i);
    } finally {
      this.ended.push("down");
    }
  }
  async up(args: AsyncIterable<number>) {
    let sum = 0;
    try {
      for await (const item of args) sum += item;
    } catch (error) {
      this.seen.push(error);
      throw error;
    }
    return sum;
  }
  async *talk(args: AsyncIterable<number>) {
    try {
      for await (const item of args) yield item - 5;
    } finally {
      this.ended.push("talk");
    }
  }
  free(args: AsyncIterable<unknown>) {
    return args;
  }
}

Deno.test("contract: streams in all shapes, with and without schemas", async () => {
  const handlers = new StreamHandlers();
  await using served = await Served.open(Streams, handlers);
  const { down, up, talk, free } = served.remote;
  assertEquals(await Array.fromAsync(down(3)), [3, 2, 1, 0]);
  assertEquals(await up(items(1, 2, 3)), 6);
  assertEquals(await up(ReadableStream.from([4, 5])), 9);
  assertEquals(await up(items()), 0);
  assertEquals(await Array.fromAsync(talk(items(7, 6, 5))), [2, 1, 0]);
  assertEquals(await Array.fromAsync(free(items<unknown>("a", -1, null))), ["a", -1, null]);
  const many = Array.from({ length: 1_000 }, (_, i) => i + 5);
  assertEquals((await Array.fromAsync(talk(items(...many)))).length, 1_000);
  assertEquals([handlers.ended, served.log], [["down", "talk", "talk"], []]);
});

Deno.test("contract: each item of arguments is checked when it is taken; handler and caller get the error", async () => {
  const handlers = new StreamHandlers();
  await using served = await Served.open(Streams, handlers);
  const error = await fails(served.remote.up(items(1, -2, 3)), "invalid_argument");
  assertEquals(error.message, "Cannot accept an item of the arguments of Streams.up: not natural");
  assertEquals(error.details, { issues: [{ message: "not natural", path: [] }] });
  assertEquals((handlers.seen as RpcError[]).map(({ code }) => code), ["invalid_argument"]);
  const talk = await untilItFails(served.remote.talk(items(6, 7, -1, 8)), "invalid_argument");
  assertEquals([talk.taken, handlers.ended, served.log], [[1, 2], ["talk"], []]);
});

Deno.test("contract: an item of a result that does not fit ends the stream, and its handler", async () => {
  const handlers = new StreamHandlers();
  await using served = await Served.open(Streams, handlers);
  const down = await untilItFails(served.remote.down(0), "internal");
  const what = "Cannot send an item of the result of Streams.down";
  assertEquals(down.taken, [3, 2, 1, 0]);
  assertEquals(down.error.message, `${what}: it is not what its contract says`);
  assert(served.logged().startsWith(`${what}: not natural`));
  const talk = await untilItFails(served.remote.talk(items(6, 4, 8)), "internal");
  assertEquals([talk.taken, handlers.ended], [[1], ["down", "talk"]]);
  served.logged();
});

Deno.test("contract: leaving a checked stream ends its handler", async () => {
  const ended = Promise.withResolvers<void>();
  const S = defineService("S", { forever: method.serverStream({ result: natural }) });
  await using served = await Served.open(S, {
    async *forever() {
      try {
        for (let i = 0;; i++) yield await Promise.resolve(i);
      } finally {
        ended.resolve();
      }
    },
  });
  for await (const item of served.remote.forever()) {
    if (item === 100) break;
  }
  await ended.promise;
});

Deno.test("contract: a handler may return any iterable, or a promise of one, for a stream", async () => {
  const S = defineService("S", {
    free: method.serverStream<number, number>(),
    checked: method.serverStream({ args: natural, result: natural }),
  });
  const kinds: readonly (() => AsyncIterable<number> | Iterable<number> | Promise<Iterable<number>>)[] = [
    () => [1, 2],
    () => new Set([1, 2]),
    function* () {
      yield* [1, 2];
    },
    () => items(1, 2),
    () => ReadableStream.from([1, 2]),
    () => Promise.resolve([1, 2]),
    () => ({ [Symbol.iterator]: () => [1, 2].values() }),
  ];
  const handler = (kind: number) => kinds[kind]!();
  await using served = await Served.open(S, { free: handler, checked: handler });
  for (const kind of kinds.keys()) {
    assertEquals(await Array.fromAsync(served.remote.free(kind)), [1, 2]);
    assertEquals(await Array.fromAsync(served.remote.checked(kind)), [1, 2]);
  }
});

Deno.test("contract: one value where a stream is wanted, and the other way round", async () => {
  const S = defineService("S", {
    one: method<unknown, number>(),
    checked: method({ args: natural }),
    down: method.serverStream<unknown, number>(),
    up: method.clientStream<unknown, number>(),
    talk: method.conversation<unknown, number>(),
  });
  await using served = await Served.open(S, {
    one: () => 1,
    checked() {},
    down: () => 5 as never,
    up: () => 1,
    talk: () => "text" as never,
  });
  const { client } = served;
  for (const name of ["one", "checked", "down"]) {
    const error = await fails(client.call(`S.${name}`, items(1)), "invalid_argument");
    assertEquals(error.message, `S.${name} takes one value, not a stream`);
  }
  for (const name of ["up", "talk"]) {
    const error = await fails(client.call(`S.${name}`, [1]), "invalid_argument");
    assertEquals(error.message, `S.${name} takes a stream, not one value`);
  }
  await fails(client.call("S.up"), "invalid_argument");
  assertEquals(served.log, []);
  await untilItFails(served.remote.down(1), "internal");
  assert(served.logged().includes("of S.down: the handler did not return a stream"));
  await untilItFails(served.remote.talk(items(1)), "internal");
  served.logged();
});

Deno.test("contract: what is synchronous stays so", async () => {
  const { methods } = defineService("S", {
    free: method<number, number>(),
    checked: method({ args: natural, result: natural }),
    slow: method({ args: later, result: natural }),
  });
  const double = (n: number) => n * 2;
  const offered = new Map(Object.keys(methods).map((name) => [name, double]));
  const handlers = contractHandlers({ name: "S", methods }, offered, true);
  const { signal } = new AbortController();
  const start = (name: string) => handlers.get(name)!(2, { signal } as CallContext);
  assertEquals([start("free"), start("checked")], [4, 4]);
  const slow = start("slow");
  assertInstanceOf(slow, Promise);
  assertEquals(await slow, 4);
  // An iterable that nobody checks is handed on as it is.
  const { free } = Streams.methods;
  const source = items(1);
  const talk = contractHandlers({ name: "S", methods: { free } }, new Map([["free", (args) => args]]), true);
  assertEquals(talk.get("free")!(source, {} as never), source);
});

Deno.test("contract: a call that ends while its arguments are checked starts no handler", async () => {
  const checking = Promise.withResolvers<void>();
  const checked = Promise.withResolvers<void>();
  const slow = schema<number>(async () => {
    checking.resolve();
    await checked.promise;
    return { value: 1 };
  });
  let handled = 0;
  const S = defineService("S", { slow: method({ args: slow }) });
  await using served = await Served.open(S, { slow: () => void handled++ });
  const controller = new AbortController();
  const call = fails(served.remote.slow(1, { signal: controller.signal }), "canceled");
  await checking.promise;
  controller.abort();
  await call;
  // What is sent later arrives later.
  await fails(served.client.call("S.nope"), "unimplemented");
  checked.resolve();
  await until(() => served.server.stats().inFlight === 0, "the call has returned");
  assertEquals([handled, served.log], [0, []]);
});

Deno.test("contract: calls of idempotent methods are so by default", async () => {
  const { remote, seen } = recorded(defineService("S", {
    read: method<number, number>({ idempotent: true }),
    list: method.serverStream<number, number>({ idempotent: true }),
    write: method<number, number>(),
  }));
  await remote.read(1);
  await remote.read(1, { timeout: 5 });
  await remote.read(1, { idempotent: false });
  await remote.read(1, { idempotent: undefined, key: "k" });
  remote.list(1);
  await remote.write(1);
  await remote.write(1, { idempotent: true });
  assertEquals(seen, [
    ["call S.read", { idempotent: true }],
    ["call S.read", { idempotent: true, timeout: 5 }],
    ["call S.read", { idempotent: false }],
    ["call S.read", { idempotent: true, key: "k" }],
    ["stream S.list", { idempotent: true }],
    ["call S.write", undefined],
    ["call S.write", { idempotent: true }],
  ]);
});

/** The functions of a contract, and with what they call. */
function recorded<C extends Contract>(contract: C) {
  const seen: [string, CallOptions | undefined][] = [];
  const client = {
    call(method: string, _args?: unknown, options?: CallOptions) {
      seen.push([`call ${method}`, options]);
      return Promise.resolve(undefined);
    },
    stream(method: string, _args?: unknown, options?: CallOptions) {
      seen.push([`stream ${method}`, options]);
      return items();
    },
  };
  return { remote: contractClient(client, contract), seen };
}

Deno.test("contract: a method without a handler, and a handler without a method", async () => {
  const S = defineService("S", { one: method(), two: method() });
  await using server = new Server();
  const refused = (handlers: object, message: string) => {
    assertThrows(() => server.register(S, handlers as never), TypeError, message);
  };
  const one = () => {};
  refused({ one }, 'Cannot register service "S": there is no handler for its method "two"');
  refused({ one, two: "text" }, '"two"');
  refused({ one, two: one, three: one }, 'Cannot register service "S": its contract has no method "three"');
  refused(Object.assign(Object.create(null), { one, two: one, three: one }), '"three"');
  for (const none of [undefined, null, 5, one]) refused(none as never, "expected an object with methods");
  assertThrows(() => server.register(S), TypeError, "expected an object with methods");
  assertEquals(server.stats().methods, []);
  // Of an instance it is what the contract says that can be called, and what is no function is no handler.
  class Service {
    calls = 0;
    extra = () => {};
    one() {
      this.calls++;
    }
    two() {}
    close() {}
  }
  const service = new Service();
  server.register(S, service);
  assertEquals(server.stats().methods.map(({ method }) => method), ["S.one", "S.two"]);
  assertThrows(() => server.register(S, service), TypeError, "registered already");
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  await client.service(S).one();
  assertEquals(service.calls, 1);
  await fails(client.call("S.close"), "unimplemented");
});

Deno.test("contract: an instance with a name and methods of its own is no contract", async () => {
  class Catalogue {
    readonly name = "Cat";
    readonly methods = { one: method() };
    find = () => "found";
  }
  await using server = new Server().register(new Catalogue());
  assertEquals(server.stats().methods.map(({ method }) => method), ["Catalogue.find"]);
});

Deno.test("contract: what cannot be defined", () => {
  const define = defineService as (name: unknown, methods: unknown) => unknown;
  for (const name of ["", undefined, 5]) {
    assertThrows(() => define(name, { one: method() }), TypeError, "a name");
  }
  for (const nothing of [{}, []]) assertThrows(() => define("S", nothing), TypeError, "it has no methods");
  for (const name of ["", "then", "constructor", "_one", "#one", "a.b"]) {
    assertThrows(() => define("S", { [name]: method() }), TypeError, `method ${JSON.stringify(name)} of "S"`);
  }
  for (const none of [undefined, null, () => 1, {}, { kind: "other" }]) {
    assertThrows(() => define("S", { one: none }), TypeError, "expected what method() returns");
  }
  for (const none of [null, 5, {}, String, { "~standard": {} }]) {
    assertThrows(
      () => method({ args: none as never }),
      TypeError,
      "Cannot use args: expected a Standard Schema",
    );
    assertThrows(() => method.conversation({ result: none as never }), TypeError, "Cannot use result");
  }
});
