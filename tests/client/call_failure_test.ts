// What the error of a failed call says: its method and address, the caller's frames in its stack, the metadata that a
// handler attached; and that a signal's own timeout is a deadline.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import type { Interceptor } from "../../call/interceptor.ts";
import { type Client, connect, type ConnectOptions } from "../../client/mod.ts";
import { MultiServers } from "../../discovery/mod.ts";
import { Server } from "../../server/mod.ts";

const metadata = new Map<string, string | Uint8Array>([["reason", "quota"], [
  "help",
  "https://example.com/",
]]);
const thrown = () => new RpcError("resource_exhausted", "No more", { details: 1, retryAfter: 7, metadata });

/** A server whose methods fail in every way, and a client of it. */
async function open(options: ConnectOptions = {}) {
  const server = new Server({ mapError: (error) => error instanceof RangeError ? thrown() : undefined });
  server.register("Bad", {
    refuse: () => {
      throw thrown();
    },
    map: () => {
      throw new RangeError();
    },
    crash: () => {
      throw new Error("private");
    },
    hang: (_: unknown, { signal }: CallContext) =>
      new Promise((resolve) => signal.addEventListener("abort", resolve)),
    async *stream() {
      yield 1;
      throw thrown();
    },
    own(_: unknown, { replyMetadata }: CallContext) {
      replyMetadata.set("reason", "own");
      throw thrown();
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = await connect(address, { failMode: "failfast", ...options });
  return {
    address,
    client,
    server,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
    },
  };
}

const failed = (call: Promise<unknown>) => assertRejects(() => call, RpcError);

Deno.test("error: metadata of an RpcError arrive, whether it was thrown, mapped or ended a stream", async () => {
  await using at = await open();
  for (
    const error of [
      await failed(at.client.call("Bad.refuse")),
      await failed(at.client.call("Bad.map")),
      await failed(Array.fromAsync(at.client.stream("Bad.stream"))),
    ]
  ) {
    assertEquals([...error.metadata], [...metadata]);
    assertEquals({ details: error.details, retryAfter: error.retryAfter }, { details: 1, retryAfter: 7 });
  }
});

Deno.test("error: what a handler sets itself goes before the metadata of the error that it throws", async () => {
  await using at = await open();
  const error = await failed(at.client.call("Bad.own"));
  assertEquals(Object.fromEntries(error.metadata), { reason: "own", help: "https://example.com/" });
});

Deno.test("error: metadata of an error that a second server passes on arrive", async () => {
  await using back = await open();
  await using front = new Server().register("Front", { forward: () => back.client.call("Bad.refuse") });
  const { address } = await front.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { failMode: "failfast" });
  const error = await failed(client.call("Front.forward"));
  assertEquals([...error.metadata], [...metadata]);
  assertEquals({ method: error.method, address: error.address }, { method: "Front.forward", address });
});

Deno.test("error: metadata of an error that cannot be sent are left out, and the log says so", async () => {
  const log: string[] = [];
  await using server = new Server({ log: (line) => log.push(line) }).register("Bad", {
    refuse: () => {
      throw new RpcError("aborted", "No", { metadata: new Map([["Not A Name", "x"]]) });
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const error = await failed(client.call("Bad.refuse"));
  assertEquals({ code: error.code, entries: error.metadata.size }, { code: "aborted", entries: 0 });
  assertEquals(log, ["Bad.refuse set metadata that cannot be sent"]);
});

const pass: Interceptor = (call, next) => next(call);

for (
  const [name, options] of [["a client", {}], ["a client with interceptors", {
    interceptors: [pass],
  }]] as const
) {
  Deno.test(`error: one of ${name} names method and address, and its stack the caller`, async () => {
    await using at = await open(options);
    const { client, address } = at;
    async function caller(method: string): Promise<unknown> {
      return await client.call(method, undefined, { timeout: 500 });
    }
    for (const method of ["Bad.unknown", "Bad.crash", "Bad.hang", "Bad.refuse"]) {
      const error = await failed(caller(method));
      assertEquals({ method: error.method, address: error.address }, { method, address });
      assertStringIncludes(error.stack ?? "", "caller");
      assertStringIncludes(error.stack ?? "", error.message);
    }
    async function streamer(): Promise<void> {
      for await (const _ of client.stream("Bad.stream"));
    }
    const error = await failed(streamer());
    assertEquals({ method: error.method, address: error.address }, { method: "Bad.stream", address });
    assertStringIncludes(error.stack ?? "", "streamer");
    async function typed(): Promise<void> {
      await client.service<{ crash(): void }>("Bad").crash();
    }
    assertStringIncludes((await failed(typed())).stack ?? "", "typed");
    async function broadcaster(): Promise<void> {
      await client.broadcast("Bad.crash");
    }
    const third = await failed(broadcaster());
    assertEquals({ method: third.method, address: third.address }, { method: "Bad.crash", address });
    assertStringIncludes(third.stack ?? "", "broadcaster");
  });
}

Deno.test("error: one of a call that reached no server names the method, and the address if there is one", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `tcp@127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  listener.close();
  await using client = await connect(new MultiServers([address]));
  // Side by side: they share the failed dial, not its error.
  const [one, two] = await Promise.all([failed(client.call("A.one")), failed(client.call("A.two"))]);
  assertEquals([one.method, one.address, two.method, two.address], ["A.one", address, "A.two", address]);
  await using empty = await connect(new MultiServers([]));
  const three = await failed(empty.call("A.three"));
  assertEquals({ method: three.method, address: three.address }, { method: "A.three", address: undefined });
  await client.close();
  assertEquals((await failed(client.call("A.four"))).method, "A.four");
});

Deno.test("error: a failed connect names the address, and the function that awaits it", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `tcp@127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  listener.close();
  async function starter(): Promise<void> {
    await connect(address);
  }
  const error = await failed(starter());
  assertEquals({ method: error.method, address: error.address }, { method: undefined, address });
  assertStringIncludes(error.stack ?? "", "starter");
  assertStringIncludes(error.stack ?? "", error.message);
});

Deno.test("error: one of a call back names its method and the peer", async () => {
  let back: RpcError | undefined;
  await using server = new Server().register("S", {
    async start(_: unknown, { peer }: CallContext) {
      back = await failed(peer.call("Back.unknown"));
      return peer.address;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { services: { Back: { echo: (value: unknown) => value } } });
  const peer = await client.call("S.start");
  assertEquals({ method: back?.method, address: back?.address }, {
    method: "Back.unknown",
    address: peer as string,
  });
});

Deno.test("error: an interceptor that passes on another call's error leaves that error's own method", async () => {
  await using at = await open();
  const other: Interceptor = async () => {
    await at.client.call("Bad.crash");
    throw new Error("unreachable");
  };
  await using client = await connect(at.address, { interceptors: [other] });
  assertEquals((await failed(client.call("Bad.hang"))).method, "Bad.crash");
});

const withTimeout = (client: Client, ms: number) =>
  failed(client.call("Bad.hang", undefined, { signal: AbortSignal.timeout(ms) }));

Deno.test("signal: that of AbortSignal.timeout ends a call as deadline_exceeded wherever the call is", async () => {
  await using at = await open();
  const error = await withTimeout(at.client, 20);
  assertEquals({ code: error.code, cause: (error.cause as Error).name }, {
    code: "deadline_exceeded",
    cause: "TimeoutError",
  });
  const over = AbortSignal.timeout(0);
  await new Promise((resolve) => over.addEventListener("abort", resolve));
  assertEquals((await failed(at.client.call("Bad.hang", null, { signal: over }))).code, "deadline_exceeded");
  const items = at.client.stream("Bad.hang", null, { signal: AbortSignal.timeout(20) });
  assertEquals((await failed(Array.fromAsync(items))).code, "deadline_exceeded");
});
