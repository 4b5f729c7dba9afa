// What register() makes callable from outside, and what it refuses.

import { assertEquals, assertThrows } from "@std/assert";
import { AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { ReadStream } from "node:fs";
import http from "node:http";
import { PassThrough, Readable } from "node:stream";
import { type CallContext, connect, defineService, method, Server } from "../../mod.ts";
import { fails } from "../support/session_pair.ts";

/** The names that can be called. */
function names(server: Server): string[] {
  return server.stats().methods.map(({ method }) => method);
}

/** Calls a method over a connection of its own. */
async function call(server: Server, method: string, args?: unknown): Promise<unknown> {
  await using listening = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(listening.address);
  return await client.call(method, args);
}

Deno.test("register: takes an object's functions, in their order, with the object as this", async () => {
  await using server = new Server();
  const service = {
    factor: 3,
    times(n: number) {
      return n * this.factor;
    },
    arrow: (n: number) => n,
    async later(n: number) {
      return await Promise.resolve(this.times(n));
    },
    text: "no function",
    nothing: undefined,
  };
  assertEquals(server.register("S", service), server);
  assertEquals(names(server), ["S.times", "S.arrow", "S.later"]);
  assertEquals(await call(server, "S.times", 5), 15);
  assertEquals(await call(server, "S.later", 5), 15);
  await fails(call(server, "S.text"), "unimplemented");
});

class Base {
  inherited() {
    return "inherited";
  }
  overridden() {
    return "base";
  }
}

class Derived extends Base {
  #count = 40;
  static stat() {
    return "static";
  }
  override overridden() {
    return `derived over ${super.overridden()}`;
  }
  count() {
    return ++this.#count;
  }
  #secret() {
    return this.#count;
  }
  _internal() {
    return this.#secret();
  }
  get getter(): () => string {
    throw new Error("The getter was run");
  }
  set setter(_: unknown) {
    throw new Error("The setter was run");
  }
  arrow = () => this.#count;
  [Symbol.iterator]() {
    return [][Symbol.iterator]();
  }
}

Deno.test("register: takes an instance under its class's name, with the methods of all its classes", async () => {
  await using server = new Server().register(new Derived());
  assertEquals(
    new Set(names(server)),
    new Set(["arrow", "count", "overridden", "inherited"].map((n) => `Derived.${n}`)),
  );
  assertEquals(await call(server, "Derived.count"), 41);
  assertEquals(await call(server, "Derived.arrow"), 41);
  assertEquals(await call(server, "Derived.overridden"), "derived over base");
  assertEquals(await call(server, "Derived.inherited"), "inherited");
  const never = [
    "constructor",
    "toString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "__proto__",
    "__defineGetter__",
    "__lookupGetter__",
    "_internal",
    "#secret",
    "#count",
    "getter",
    "setter",
    "stat",
    "bind",
    "call",
  ];
  for (const name of never) await fails(call(server, `Derived.${name}`), "unimplemented", "has no method");
});

Deno.test("register: takes an instance under a given name", async () => {
  await using server = new Server().register("One", new Derived()).register("Two", new Derived());
  assertEquals([await call(server, "One.count"), await call(server, "One.count")], [41, 42]);
  assertEquals(await call(server, "Two.count"), 41);
});

Deno.test("register: an own property hides a method of the class, whatever it is", async () => {
  await using server = new Server();
  const instance = new Base();
  Object.defineProperty(instance, "inherited", {
    get() {
      throw new Error("The getter was run");
    },
  });
  Object.assign(instance, { overridden: 5, own: () => "own" });
  server.register(instance);
  assertEquals(names(server), ["Base.own"]);
});

Deno.test("register: takes objects without a prototype, and names in any script", async () => {
  await using server = new Server();
  server.register("Bare", Object.assign(Object.create(null), { ok: () => "ok", größe: () => 1.8 }));
  assertEquals(names(server), ["Bare.ok", "Bare.größe"]);
  assertEquals(await call(server, "Bare.größe"), 1.8);
  server.register("Dienst.Größe", { ok: () => "ok" });
  assertEquals(await call(server, "Dienst.Größe.ok"), "ok");
});

Deno.test("register: properties added to Object.prototype are not callable", async () => {
  const prototype = Object.prototype as unknown as Record<string, unknown>;
  prototype.polluted = () => "polluted";
  try {
    await using server = new Server().register("S", { ok: () => "ok" });
    assertEquals(names(server), ["S.ok"]);
  } finally {
    delete prototype.polluted;
  }
});

Deno.test("register: methods of built-in classes that a class extends are not callable", async () => {
  await using server = new Server();
  class Store extends Map<string, number> {
    read(key: string) {
      return this.get(key);
    }
  }
  class Bus extends EventTarget {
    send = () => this.dispatchEvent(new Event("sent"));
  }
  class Deep extends Store {
    deep = () => "deep";
  }
  class Numbers extends Uint8Array {
    first() {
      return this[0];
    }
  }
  server.register(new Store([["a", 1]])).register(new Bus()).register(new Deep()).register(new Numbers([7]));
  assertEquals(names(server), ["Store.read", "Bus.send", "Deep.deep", "Deep.read", "Numbers.first"]);
  assertEquals([await call(server, "Store.read", "a"), await call(server, "Numbers.first")], [1, 7]);
  await fails(call(server, "Store.clear"), "unimplemented");
});

Deno.test("register: a name can be registered once", async () => {
  await using server = new Server().register("S", { one: () => 1 });
  assertThrows(() => server.register("S", { two: () => 2 }), TypeError, '"S": it is registered already');
  assertEquals(names(server), ["S.one"]);
  server.register(new Base());
  assertThrows(() => server.register(new Base()), TypeError, '"Base": it is registered already');
});

Deno.test("register: invalid names are refused", async () => {
  await using server = new Server();
  for (
    const name of ["", " ", "a b", "1st", ".", "a.", ".a", "a..b", "a\n", "-", "a/b", "#a", "é".repeat(65)]
  ) {
    assertThrows(() => server.register(name, { ok: () => 1 }), TypeError, "Cannot register service");
  }
  for (const name of ["a", "a.b.c", "$", "constructor", "toString", "x".repeat(64)]) {
    server.register(name, { ok: () => name });
    assertEquals(await call(server, `${name}.ok`), name);
  }
});

Deno.test("register: a value without methods or without a class, or that is not an object, is refused", async () => {
  await using server = new Server();
  class Empty {}
  class Private {
    _a() {}
    get b() {
      return () => 1;
    }
  }
  for (const nothing of [{}, { a: 1 }, { _a: () => 1 }, [], new Map(), new Empty(), new Private()]) {
    assertThrows(() => server.register("S", nothing), TypeError, "no methods");
  }
  for (const none of [{ ok: () => 1 }, Object.create(null), new (class {})()]) {
    assertThrows(() => server.register(none), TypeError, "no class");
  }
  const register = server.register.bind(server) as (...args: unknown[]) => void;
  for (const args of [["S"], ["S", null], ["S", 5], ["S", () => 1], [Base], [5], [null], [undefined], []]) {
    assertThrows(() => register(...args), TypeError, "expected an object with methods");
  }
  for (const args of [[Base], ["S", () => 1]]) {
    assertThrows(() => register(...args), TypeError, "such as an instance, not the class or function itself");
  }
  assertEquals(names(server), []);
});

Deno.test("register: works on a server that is already listening", async () => {
  await using server = new Server().register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  await fails(client.call("Late.ok"), "unimplemented", 'Unknown service "Late"');
  server.register("Late", { ok: () => "late" });
  assertEquals(await client.call("Late.ok"), "late");
});

Deno.test("server: a hook that is not a function is refused", () => {
  for (const name of ["authenticate", "mapError", "log"]) {
    assertThrows(() => new Server({ [name]: "secret" }), TypeError, name);
  }
});

Deno.test("register: methods of node: classes that a class extends are not callable", async () => {
  class Bus extends EventEmitter {
    publish(text: string) {
      return this.emit("text", text);
    }
  }
  class Feed extends Readable {
    override _read() {}
    latest = () => "latest";
  }
  class Job extends AsyncResource {
    start = () => this.runInAsyncScope(() => "started");
  }
  class Web extends http.Server {
    where() {
      return this.listening;
    }
  }
  class Log extends ReadStream {
    size = () => 0;
  }
  class Ask extends Request {
    ask = () => this.url;
  }
  class Root {
    root = () => "root";
    shared() {
      return "shared";
    }
  }
  class Leaf extends Root {
    leaf() {
      return "leaf";
    }
  }
  const cases: [object, string[]][] = [
    [new Bus(), ["publish"]],
    [new Feed(), ["latest"]],
    [new Job("job"), ["start"]],
    // Without their constructors, which open a file, or set callbacks as properties of the instance.
    [Object.create(Web.prototype), ["where"]],
    [Object.create(Log.prototype, { size: { value: () => 0 } }), ["size"]],
    [new Ask("http://127.0.0.1"), ["ask"]],
    [new Leaf(), ["leaf", "root", "shared"]],
  ];
  for (const [instance, expected] of cases) {
    await using server = new Server().register(instance);
    assertEquals(names(server).map((name) => name.split(".")[1]).sort(), expected);
  }
  await using server = new Server().register(new Bus());
  await fails(call(server, "Bus.emit", "error"), "unimplemented", 'no method "emit"');
  await using raw = new Server();
  assertThrows(() => raw.register("Raw", new PassThrough()), TypeError, "no methods");
});

Deno.test("register: a method of more than one argument and the context is refused when it would be offered", async () => {
  await using server = new Server();
  const three = (a: number, b: number, c: number) => a + b + c;
  assertThrows(
    () => server.register("S", { three } as object),
    TypeError,
    'Cannot register method "S.three": it takes 3 parameters; expected at most two, the argument and the context, such as ({ a, b }, ' +
      "context) => …",
  );
  class Sums {
    add({ a, b }: { a: number; b: number }, _context: CallContext, extra = 0) {
      return this._three(a, b, extra) + this.#more(0, 0, 0);
    }
    helper = three;
    _three = three;
    #more = three;
  }
  assertThrows(() => server.register(new Sums() as object), TypeError, "Sums.helper");
  const contract = defineService("Sums", { add: method<{ a: number; b: number }, number>() });
  server.register(contract, new Sums());
  assertEquals(await call(server, "Sums.add", { a: 1, b: 2 }), 3);
});

/** Compiled, never run: what can be no handler, and objects whose methods are not all offered. */
export function checkedHandlers(server: Server): void {
  class Arith {
    sum(a: number, b: number) {
      return a + b;
    }
  }
  // @ts-expect-error: the second parameter is the context
  server.register("S", { sum: (a: number, b: number) => a + b });
  // @ts-expect-error: also where it has a default
  server.register("S", { sum: (a: number, b = 1) => a + b });
  // @ts-expect-error: or would take no property of the context
  server.register("S", { list: (_: unknown, { limit = 5 }: { limit?: number } = {}) => limit });
  // @ts-expect-error: nor are there three
  server.register("S", { sum: (a: number, _context: CallContext, c: number) => a + c });
  // @ts-expect-error: the same for a class
  server.register("S", new Arith());
  // @ts-expect-error: under its own name, too
  server.register(new Arith());
  // @ts-expect-error: an argument that is left out is undefined
  server.register("S", { find: (name: string | null) => name });
  class Fine extends EventEmitter {
    #secret(a: number, b: number) {
      return a + b;
    }
    private helper(a: number, b: number) {
      return this.#secret(a, b);
    }
    _internal(a: number, b: number) {
      return this.helper(a, b);
    }
    one<T>(value: T) {
      return value;
    }
    two(value?: unknown, context?: CallContext) {
      return [value, context];
    }
  }
  server.register("S", new Fine()).register(new Fine());
  server.register("S", { part: (_: unknown, { signal }: Pick<CallContext, "signal">) => signal.aborted });
}
