// The checks of contracts: what does not match is refused, and which side receives which error.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { type as ark } from "npm:arktype@2.2.3";
import * as v from "npm:valibot@1.5.0";
import { z } from "npm:zod@4.6.7";
import { type CallContext, defineService, method, unchecked } from "../../mod.ts";
import type { StandardIssue } from "../../server/mod.ts";
import { contractCheck } from "../../call/contract_methods.ts";
import { fails } from "../support/session_pair.ts";
import { finds, items, later, natural, schema, Served, untilItFails } from "../support/contract_served.ts";
import { until } from "../support/waiting.ts";

Deno.test("contract: arguments that do not match the schema are invalid_argument, with the issues as details, and reach no handler", async () => {
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
  await fails(served.remote.silent(1), "invalid_argument", "the value does not fit its schema");
  assertEquals([handled, served.log], [2, []]);
});

Deno.test("contract: reported issues are limited in size and can always be sent", async () => {
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

Deno.test("contract: an invalid result is an internal error for the caller, and the server logs why", async () => {
  const S = defineService("S", {
    sync: method<number, number>({ result: natural }),
    async: method<number, number>({ result: later }),
  });
  await using served = await Served.open(S, { sync: (n) => n, async: (n) => Promise.resolve(n) });
  for (const name of ["sync", "async"] as const) {
    assertEquals(await served.remote[name](1), 1);
    const error = await fails(served.remote[name](-1), "internal");
    assertEquals(
      error.message,
      `Cannot send the result of S.${name}: it does not match the service's contract`,
    );
    assertEquals(error.details, undefined);
    assertEquals(
      served.logged(),
      `Cannot send the result of S.${name}: not natural [ { message: "not natural", path: [] } ]`,
    );
  }
});

Deno.test("contract: issues that are null, false or empty text mean that the value fits", async () => {
  for (const issues of [null, false, "", 0]) {
    const S = defineService("S", {
      get: method({
        args: schema<number>((value) => ({ value, issues }) as never),
        result: unchecked<number>(),
      }),
    });
    await using served = await Served.open(S, { get: (n) => n });
    assertEquals(await served.remote.get(5), 5);
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

Deno.test("contract: an omitted argument is passed to its schema as undefined", async () => {
  const S = defineService("S", {
    optional: method({ args: z.string().optional(), result: unchecked<string>() }),
    nullish: method({ args: z.string().nullish(), result: unchecked<string>() }),
    default: method({ args: z.string().default("default"), result: unchecked<string>() }),
    async: method({
      args: z.string().optional().refine(() => Promise.resolve(true)),
      result: unchecked<string>(),
    }),
    coerced: method({ args: z.coerce.number(), result: unchecked<string>() }),
    date: method({ args: z.coerce.date().optional(), result: unchecked<string>() }),
    needed: method({ args: z.string(), result: unchecked<string>() }),
  });
  const show = (text: unknown) => `${text}`;
  await using served = await Served.open(S, {
    optional: show,
    nullish: show,
    default: show,
    async: show,
    coerced: show,
    date: show,
    needed: show,
  });
  const { optional, nullish, default: byDefault, async, date } = served.remote;
  assertEquals(
    [await optional(), await nullish(), await byDefault(), await async(), await date(), await optional("x")],
    ["undefined", "undefined", "default", "undefined", "undefined", "x"],
  );
  // A coercion would make 0 of null.
  await fails(served.client.call("S.coerced"), "invalid_argument", "received NaN");
  const error = await fails(served.client.call("S.needed"), "invalid_argument", "received undefined");
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
    await fails(call({ points: [fine, fine, fine] }), "internal", "it does not match the service's contract");
    assert(served.logged().startsWith(`Cannot send the result of Shapes.${name}: `));
  }
});

Deno.test("contract: synchronous checks stay synchronous", async () => {
  const { methods } = defineService("S", {
    free: method<number, number>(),
    checked: method({ args: natural, result: natural }),
    slow: method({ args: later, result: natural }),
  });
  const double = (n: number) => n * 2;
  const offered = new Map(Object.keys(methods).map((name) => [name, double]));
  const handlers = contractCheck({ name: "S", methods }, {})(offered);
  const { signal } = new AbortController();
  const start = (name: string) => handlers.get(name)!(2, { signal } as CallContext);
  assertEquals([start("free"), start("checked")], [4, 4]);
  const slow = start("slow");
  assertInstanceOf(slow, Promise);
  assertEquals(await slow, 4);
  // An unchecked iterable is passed on as it is.
  const free = method.conversation<unknown, unknown>();
  const source = items(1);
  const check = contractCheck({ name: "S", methods: { free } }, {});
  const talk = check(new Map([["free", (args: unknown) => args]]));
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
  await fails(served.client.call("rpc.nope"), "unimplemented");
  checked.resolve();
  await until(() => served.server.stats().inFlight === 0, "the call has returned");
  assertEquals([handled, served.log], [0, []]);
});
