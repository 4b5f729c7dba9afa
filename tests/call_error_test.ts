// How calls fail, as a client sees it: with one RpcError, or with a TypeError or RangeError that names the argument.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { CODES, connect, type MetadataInit, RpcError, Server } from "../mod.ts";
import { Link } from "./service_link.ts";
import { fails } from "./session_pair.ts";

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

Deno.test("call: a handler's own error stays with the server, whose log is told", async () => {
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

Deno.test("call: what is no call is refused, with the argument's name", async () => {
  await using link = await Link.open({ ok: (args: unknown) => args });
  const call = (options: unknown, method: unknown = "S.ok") =>
    link.client.call(method as string, null, options as { timeout: number });
  for (const timeout of [-1, NaN, -Infinity, "5", null, 5n]) {
    await assertRejects(() => call({ timeout }), RangeError, "timeout");
  }
  for (const method of [undefined, null, 5, {}, Symbol("m")]) {
    await assertRejects(() => link.client.call(method as string), TypeError, "method");
  }
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
    [new Map([[5, "x"]]), TypeError],
    [Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`n${n}`, "x"])), RangeError],
  ];
  for (const [metadata, type] of wrong) {
    await assertRejects(() => call({ metadata: metadata as MetadataInit }), type, "metadata");
  }
  assertEquals(link.counts("ok").calls, 0);
  assertEquals(await call(undefined), null);
  assertEquals(await call({}), null);
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
