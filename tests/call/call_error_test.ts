// How calls fail, as a client sees it: with one RpcError, or with a TypeError or RangeError that names the argument.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  type CallContext,
  type CallOptions,
  CODES,
  connect,
  type MetadataInit,
  RpcError,
  Server,
} from "../../mod.ts";
import { Link } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";

Deno.test("call: every code arrives, with its text and its details", async () => {
  await using link = await Link.open({
    fail: (code: typeof CODES[number]) => {
      throw new RpcError(code, `It is ${code} ☺`, { details: [code] });
    },
  });
  for (const code of CODES) {
    const error = await fails(link.call("fail", code), code);
    assertEquals([error.message, error.details, error.remote], [`It is ${code} ☺`, [code], true]);
  }
  assertEquals(link.counts("fail"), { calls: CODES.length, errors: CODES.length, inFlight: 0 });
});

Deno.test("call: a handler's own error is not sent to the caller, but logged by the server", async () => {
  const logged: [string, unknown][] = [];
  await using link = await Link.open({
    fail: () => {
      throw new TypeError("The password is 1234");
    },
  }, { server: { log: (...entry) => void logged.push(entry as [string, unknown]) } });
  const error = await fails(link.call("fail"), "internal", "The handler failed");
  assert(!Deno.inspect(error).includes("1234"));
  assertEquals(logged.length, 1);
  assertEquals(logged[0]![0], "Handler of S.fail failed");
  assertInstanceOf(logged[0]![1], TypeError);
});

Deno.test("call: a log that throws changes nothing for the caller", async () => {
  const nasty = {
    toString() {
      throw new Error("no text");
    },
  };
  await using link = await Link.open({
    sync: () => {
      throw nasty;
    },
    later: () => Promise.reject(nasty),
    ok: () => "ok",
  }, {
    server: {
      log: (message, error) => {
        throw new Error(`${message}: ${error}`);
      },
    },
  });
  await fails(link.call("sync"), "internal");
  await fails(link.call("later"), "internal");
  assertEquals(await link.call("ok"), "ok");
});

Deno.test("call: wrong names, unencodable arguments and results leave the connection as it was", async () => {
  await using link = await Link.open({ bad: () => Symbol(), ok: (args: unknown) => args });
  await fails(link.client.call("Nope.ok"), "unimplemented", "Nope");
  await fails(link.call("nope"), "unimplemented", "nope");
  await fails(link.client.call("ok"), "unimplemented", "Service.method");
  await fails(link.call("bad"), "internal", "Cannot send the result");
  await fails(link.call("ok", { a: [() => 1] }), "invalid_argument", ".a[0]");
  assertEquals(await link.call("ok", 1), 1);
  assertEquals(link.server.stats().accepted, 1);
});

Deno.test("call: invalid arguments of call() are refused, with the argument's name", async () => {
  await using link = await Link.open({ ok: (args: unknown) => args });
  const call = (options: unknown, method: unknown = "S.ok") =>
    link.client.call(method as string, null, options as { timeout: number });
  for (const timeout of [-1, NaN, -Infinity]) {
    await assertRejects(() => call({ timeout }), RangeError, "timeout");
  }
  for (const timeout of ["5", null, 5n]) {
    await assertRejects(() => call({ timeout }), TypeError, "timeout");
  }
  for (const method of [undefined, null, 5, {}, Symbol("m")]) {
    await assertRejects(() => link.client.call(method as string), TypeError, "method");
  }
  const badOptions: [unknown, string][] = [
    [{ timeoutt: 5 }, 'Cannot call: unknown option "timeoutt"; did you mean "timeout"?'],
    [{ timeout: 5, deadline: 5 }, 'Cannot call: unknown option "deadline"'],
    [{ constructor: 1 }, 'Cannot call: unknown option "constructor"'],
    [[5], "Cannot call: expected an object with options"],
    [5, "Cannot call: expected an object with options"],
    [null, "Cannot call: expected an object with options"],
    [{ key: 5 }, "Cannot use key 5: expected text"],
  ];
  for (const [given, about] of badOptions) {
    const options = given as CallOptions;
    const remote = link.client.service<{ ok(n: number): null }>("S");
    await assertRejects(() => link.client.call("S.ok", 1, options), TypeError, about);
    await assertRejects(() => link.client.broadcast("S.ok", 1, options), TypeError, about);
    await assertRejects(() => remote.ok(1, options), TypeError, about);
  }
  assertThrows(
    () => link.client.stream("S.ok", 1, { timeoutt: 5 } as CallOptions),
    TypeError,
    'mean "timeout"?',
  );
  for (const signal of [{}, "x", { aborted: false }, new AbortController()]) {
    await assertRejects(() => call({ signal }), TypeError, "signal");
  }
  const wrong: [unknown, typeof TypeError | typeof RangeError][] = [
    ["text", TypeError],
    [null, TypeError],
    [5, TypeError],
    [{ Upper: "x" }, TypeError],
    [{ "": "x" }, TypeError],
    [{ "sp ace": "x" }, TypeError],
    [{ ["x".repeat(65)]: "x" }, TypeError],
    [{ ["__proto__"]: "x" }, TypeError],
    [{ "rpc-mine": "x" }, TypeError],
    [{ "not-started": "" }, TypeError],
    [{ number: 5 }, TypeError],
    [{ nothing: undefined }, TypeError],
    [{ buffer: new ArrayBuffer(2) }, TypeError],
    [{ lone: "a\ud800" }, TypeError],
    [new Map([["lone", "\udc00a"]]), TypeError],
    [new Date(), TypeError],
    [
      new (class Tags {
        a = "x";
      })(),
      TypeError,
    ],
    [["ab", "cd"], TypeError],
    [[["a", "x", "y"]], TypeError],
    [[["a", "x"], ["a", "y"]], TypeError],
    [new Set(["a"]), TypeError],
    [new URLSearchParams("a=1&a=2"), TypeError],
    [new Headers({ "content-type": "text/plain", "rpc-mine": "x" }), TypeError],
    [formOf("file", new Blob(["x"])), TypeError],
    [new Map([[5, "x"]]), TypeError],
    [Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`n${n}`, "x"])), RangeError],
  ];
  for (const [metadata, type] of wrong) {
    await assertRejects(() => call({ metadata: metadata as MetadataInit }), type, "metadata");
  }
  assertEquals(link.counts("ok").calls, 0);
  assertEquals(await call(undefined), undefined);
  assertEquals(await call({}), undefined);
});

function formOf(name: string, value: string | Blob): FormData {
  const form = new FormData();
  form.set(name, value);
  return form;
}

Deno.test("metadata: may be a plain object, a Map, or anything else that is pairs of names and values", async () => {
  await using link = await Link.open({ got: (_: unknown, { metadata }: CallContext) => metadata });
  const inits: MetadataInit[] = [
    { a: "x" },
    Object.assign(Object.create(null), { a: "x" }),
    new Map([["a", "x"]]),
    [["a", "x"]],
    new Headers({ A: "x" }),
    new URLSearchParams("a=x"),
    formOf("a", "x") as Iterable<[string, string]>,
  ];
  for (const metadata of inits) {
    assertEquals(await link.call("got", undefined, { metadata }), new Map([["a", "x"]]));
  }
  for (const metadata of [{}, new Map(), new Headers(), []] as MetadataInit[]) {
    assertEquals(await link.call("got", undefined, { metadata }), new Map());
  }
});

Deno.test("call: a result or item that cannot be sent is logged by the server, with the method", async () => {
  const logged: string[] = [];
  await using link = await Link.open({
    result: () => ({ at: () => 1 }),
    later: () => Promise.resolve(Symbol()),
    long: () => "x".repeat(100_000),
    *items() {
      yield 1;
      yield { a: [Symbol()] };
    },
    details: () => {
      throw new RpcError("aborted", "x", { details: Symbol() });
    },
  }, { server: { log: (line) => void logged.push(line) }, client: { maxFrameBytes: 70_000 } });
  await fails(link.call("result"), "internal", "Cannot send the result");
  await fails(link.call("later"), "internal", "Cannot send the result");
  await fails(link.call("long"), "resource_exhausted", "Cannot send the result");
  await fails(Array.fromAsync(link.client.stream("S.items")), "internal", "Cannot send the result");
  await fails(link.call("details"), "aborted");
  assertEquals(logged, [
    "Cannot send the result of S.result",
    "Cannot send the result of S.later",
    "Cannot send the result of S.long",
    "Cannot send an item of S.items",
    "An error of S.details cannot be sent with all that it carries",
  ]);
});

Deno.test("RpcError: takes the sixteen codes and no other", () => {
  for (const code of CODES) {
    const error = new RpcError(code, "x");
    assertEquals([error.code, error.name, error.remote, error.notStarted, error.details], [
      code,
      "RpcError",
      false,
      false,
      undefined,
    ]);
  }
  for (const code of ["", "ok", "OK", "Canceled", "cancelled", "constructor", undefined, 3]) {
    assertThrows(() => new RpcError(code as "unknown", "x"), TypeError, "code");
  }
});

Deno.test("error: mapError makes a handler's own errors ones for its caller, and nothing else", async () => {
  class NotInStock extends Error {}
  await using server = new Server({
    mapError: (error) => {
      if (error instanceof NotInStock) {
        return new RpcError("not_found", error.message, { details: { sku: 7 } });
      }
      if (error === "worse") throw new Error("the hook itself fails");
      return undefined;
    },
  });
  server.register("Shop", {
    buy: () => {
      throw new NotInStock("Sold out");
    },
    pay: () => Promise.reject(new Error("private")),
    fail: () => Promise.reject("worse"),
    list: function* () {
      yield 1;
      throw new NotInStock("The rest is sold out");
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const sold = await assertRejects(() => client.call("Shop.buy"), RpcError, "Sold out");
  assertEquals([sold.code, sold.details], ["not_found", { sku: 7 }]);
  for (const method of ["Shop.pay", "Shop.fail"]) {
    const error = await assertRejects(() => client.call(method), RpcError, "The handler failed");
    assertEquals(error.code, "internal");
  }
  const items: unknown[] = [];
  const error = await assertRejects(async () => {
    for await (const item of client.stream("Shop.list")) items.push(item);
  }, RpcError);
  assertEquals([items, error.code], [[1], "not_found"]);
});

Deno.test("call: an error that its author has frozen fails the call like any other", async () => {
  const frozen = Object.freeze(new RpcError("aborted", "Enough", { metadata: { why: "full" } }));
  await using link = await Link.open({
    take: async (items: AsyncIterable<unknown>) => {
      for await (const _ of items);
    },
  });
  const args = async function* () {
    yield 1;
    await Promise.reject(frozen);
  };
  const error = await fails(link.call("take", args()), "aborted", "Enough");
  assertEquals(error.metadata.get("why"), "full");
});
