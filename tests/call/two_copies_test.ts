// Two copies of the library in one process, as when two dependencies want two versions of it: what is made by one must
// be understood by the other.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import * as one from "../../mod.ts";
import { isRpcError } from "../../call/error.ts";
import { bundle } from "../support/bundle.ts";
import { fails } from "../support/session_pair.ts";

/** A second copy, which shares nothing with the first but the process. */
async function secondCopy(): Promise<typeof one> {
  const path = await Deno.makeTempFile({ suffix: ".mjs" });
  try {
    await Deno.writeTextFile(path, await bundle("../../mod.ts"));
    return await import(`file://${path}`);
  } finally {
    await Deno.remove(path);
  }
}

const two = await secondCopy();

Deno.test("copies: instanceof RpcError is true for errors of either copy, and for nothing else", () => {
  class Mine extends one.RpcError {}
  assert(one.RpcError !== two.RpcError);
  const errors = [
    new one.RpcError("aborted", "x"),
    new two.RpcError("aborted", "x"),
    new Mine("aborted", "x"),
  ];
  for (const error of errors) {
    assertInstanceOf(error, one.RpcError);
    assertInstanceOf(error, two.RpcError);
  }
  assertEquals(errors.map((error) => error instanceof Mine), [false, false, true]);
  const throwing = new Proxy(errors[0]!, {
    get: () => {
      throw new Error("The proxy was read");
    },
    has: () => {
      throw new Error("The proxy was asked");
    },
  });
  const brand = Object.getOwnPropertySymbols(one.RpcError.prototype)[0]!;
  const others = [
    new Error("x"),
    { code: "aborted", message: "x", metadata: new Map() },
    { [brand]: true, code: "no code", message: "x", metadata: new Map() },
    { [brand]: true, code: "aborted", metadata: new Map() },
    throwing,
    null,
    undefined,
    "x",
  ];
  for (const other of others) {
    assert(!(other instanceof one.RpcError), Deno.inspect(other));
    assert(!isRpcError(other));
  }
});

Deno.test("copies: an error of the other copy reaches the caller as it is, thrown or passed on", async () => {
  await using server = new one.Server();
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using inner = await two.connect(address);
  await using client = await one.connect(address);
  server.register("Shop", {
    buy: () => {
      throw new two.RpcError("not_found", "No such item", { details: { id: 7 }, retryAfter: 5 });
    },
    *list() {
      yield 1;
      throw new two.RpcError("out_of_range", "There are no more");
    },
    forward: () => inner.call("Shop.away"),
    away: () => {
      throw new one.RpcError("failed_precondition", "Closed on Sundays");
    },
  });
  const bought = await fails(client.call("Shop.buy"), "not_found", "No such item");
  assertEquals([bought.details, bought.retryAfter, bought.remote], [{ id: 7 }, 5, true]);
  await fails(client.call("Shop.forward"), "failed_precondition", "Closed on Sundays");
  await fails(Array.fromAsync(client.stream("Shop.list")), "out_of_range", "There are no more");
});

Deno.test("copies: a call made by the other copy inherits deadline, signal and trace", async () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await using server = new one.Server();
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using inner = await two.connect(address);
  await using client = await one.connect(address);
  const started = Promise.withResolvers<one.CallContext>();
  const aborted = Promise.withResolvers<unknown>();
  server.register("Shop", {
    nested: () => inner.call("Shop.wait", undefined, { timeout: Infinity }),
    detached: () => two.detach(() => one.detach(() => inner.call("Shop.left"))),
    left: (_: unknown, { deadline }: one.CallContext) => deadline - performance.now(),
    wait: (_: unknown, context: one.CallContext) => {
      context.signal.addEventListener("abort", () => aborted.resolve(context.signal.reason));
      started.resolve(context);
      return aborted.promise.then(() => {});
    },
  });
  const stop = new AbortController();
  const options = { timeout: 5_000, signal: stop.signal, metadata: { traceparent } };
  const call = fails(client.call("Shop.nested", undefined, options), "canceled");
  const context = await started.promise;
  assert(context.deadline - performance.now() <= 5_000);
  assertEquals(context.metadata.get("traceparent"), traceparent);
  stop.abort();
  await call;
  assertInstanceOf(await aborted.promise, one.RpcError);
  const left = await client.call<number>("Shop.detached", undefined, { timeout: 5_000 });
  assert(left > 5_000, `${left} ms`);
});
