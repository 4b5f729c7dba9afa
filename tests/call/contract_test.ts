// Contracts over a real server: what both sides get of one, and what cannot be one.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { contractClient, type ServiceClientOptions } from "../../call/typed.ts";
import {
  type CallContext,
  type CallOptions,
  connect,
  type Contract,
  defineService,
  method,
  RpcError,
  Server,
  unchecked,
} from "../../mod.ts";
import { fails } from "../support/session_pair.ts";
import { items, later, natural, Served } from "../support/contract_served.ts";

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

Deno.test("contract: errors thrown by handlers are handled as without a contract", async () => {
  const S = defineService("S", { one: method({ args: natural, result: unchecked<number>() }) });
  await using served = await Served.open(S, {
    one(n) {
      throw n === 1 ? new RpcError("not_found", "no such thing", { details: n }) : new Error("own");
    },
  });
  assertEquals((await fails(served.remote.one(1), "not_found", "no such thing")).details, 1);
  await fails(served.remote.one(2), "data_loss", "mapped");
});

Deno.test("contract: calls of idempotent methods are idempotent by default", async () => {
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

Deno.test("contract: timeout and metadata of a call precede those of its method, then those of the service", async () => {
  const contract = defineService("S", {
    get: method<number, number>({ timeout: 200 }),
    set: method<number, number>(),
    feed: method.serverStream<number, number>({ timeout: Infinity }),
  });
  const { remote, seen } = recorded(contract, { timeout: 700, metadata: { tenant: "a", trace: "1" } });
  const metadata = new Map([["tenant", "a"], ["trace", "1"]]);
  await remote.get(1);
  await remote.set(1);
  remote.feed(1);
  await remote.get(1, { timeout: 50, metadata: { tenant: "b" } });
  await remote.set(1, { timeout: undefined, key: "k" });
  assertEquals(seen, [
    ["call S.get", { metadata, timeout: 200 }],
    ["call S.set", { metadata, timeout: 700 }],
    ["stream S.feed", { metadata, timeout: Infinity }],
    ["call S.get", { metadata: new Map([["tenant", "b"], ["trace", "1"]]), timeout: 50 }],
    ["call S.set", { metadata, timeout: 700, key: "k" }],
  ]);
  assertThrows(() => recorded(contract, { timeout: -1 }), RangeError, "timeout");
  assertThrows(() => recorded(contract, { metadata: { "A B": "" } }), TypeError, "metadata name");
  assertThrows(() => recorded(contract, { deadline: 1 } as never), TypeError, "deadline");
  assertThrows(() => method({ timeout: NaN }), RangeError, "timeout");
});

Deno.test("service: timeout and metadata apply to the calls of a service that is known by its type", async () => {
  await using server = new Server().register("S", {
    left: (_: undefined, { deadline }: CallContext) => deadline - performance.now(),
    tenant: (_: undefined, { metadata }: CallContext) => metadata.get("tenant"),
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  type Service = { left(): number; tenant(): string };
  const remote = client.service<Service>("S", { timeout: 1e9, metadata: { tenant: "a" } });
  assertEquals([await remote.left() > 1e8, await remote.tenant()], [true, "a"]);
  assertEquals(await remote.tenant(undefined, { metadata: { tenant: "b" } }), "b");
});

/** The functions of a contract, and with what they call. */
function recorded<C extends Contract>(contract: C, options?: ServiceClientOptions) {
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
  return { remote: contractClient(client, contract, options), seen };
}

Deno.test("contract: a method without a handler, and a handler without a method", async () => {
  const S = defineService("S", { one: method(), two: method() });
  await using server = new Server();
  const refused = (handlers: object, message: string) => {
    assertThrows(() => server.register(S, handlers as never), TypeError, message);
  };
  const one = () => {};
  refused({ one }, 'Cannot register service "S": method "two" has no handler');
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

Deno.test('contract: an instance with properties "name" and "methods" is not taken for a contract', async () => {
  class Catalogue {
    readonly name = "Cat";
    readonly methods = { one: method() };
    find = () => "found";
  }
  await using server = new Server().register(new Catalogue());
  assertEquals(server.stats().methods.map(({ method }) => method), ["Catalogue.find"]);
});

Deno.test("contract: invalid definitions are refused", () => {
  const define = defineService as (name: unknown, methods: unknown) => unknown;
  for (const name of ["", undefined, 5]) {
    assertThrows(() => define(name, { one: method() }), TypeError, "a name");
  }
  for (const nothing of [{}, []]) assertThrows(() => define("S", nothing), TypeError, "it has no methods");
  for (const name of ["", "then", "constructor", "_one", "#one", "a.b"]) {
    assertThrows(() => define("S", { [name]: method() }), TypeError, `method ${JSON.stringify(name)} of "S"`);
  }
  for (const none of [undefined, null, () => 1, {}, { kind: "other" }]) {
    assertThrows(() => define("S", { one: none }), TypeError, "expected the result of method()");
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
