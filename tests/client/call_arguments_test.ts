// The arguments of a call are what they were when `call()` was called, however long the call waits and however often it is
// sent; and the limit on what is kept for that.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import type { CallContext } from "../../call/handler.ts";
import type { Interceptor } from "../../call/interceptor.ts";
import { type Client, connect, type ConnectOptions } from "../../client/mod.ts";
import { MultiServers } from "../../discovery/mod.ts";
import { Server, type ServerOptions } from "../../server/mod.ts";

interface Row {
  id: number;
}

/** A server that echoes, and a client that dials with its first call unless `dialed`. */
async function open(options: { server?: ServerOptions; client?: ConnectOptions; dialed?: boolean } = {}) {
  const gate = Promise.withResolvers<void>();
  const server = new Server(options.server).register("Echo", {
    echo: (value: unknown) => value,
    async late(value: unknown) {
      await gate.promise;
      return value;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = await connect(options.dialed ? address : new MultiServers([address]), options.client);
  return {
    client,
    release: gate.resolve,
    async [Symbol.asyncDispose]() {
      gate.resolve();
      await client.close();
      await server.close();
    },
  };
}

/** Makes `count` calls with one object that is changed before each, and returns the ids that came back. */
function reuse(client: Client, count: number, method = "Echo.echo"): Promise<number[]> {
  const row: Row = { id: 0 };
  const calls = Array.from({ length: count }, (_, i) => {
    row.id = i;
    return client.call<Row>(method, row).then(({ id }) => id);
  });
  row.id = -1;
  return Promise.all(calls);
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

Deno.test("arguments: an object that the caller changes after a call arrives as it was at each call", async () => {
  await using at = await open({ server: { maxInFlight: 16 }, dialed: true });
  assertEquals(await reuse(at.client, 300), numbers(300));
});

Deno.test("arguments: calls that wait for a connection send what they were called with", async () => {
  await using at = await open();
  assertEquals(await reuse(at.client, 10), numbers(10));
});

Deno.test("arguments: a byte buffer that is reused arrives as it was for each call, short or long", async () => {
  await using at = await open({ server: { maxInFlight: 16 }, dialed: true });
  for (const length of [4, 100, 1_000, 5_000]) {
    const buffer = new Uint8Array(length);
    const calls = numbers(100).map((i) => {
      buffer.fill(i);
      return at.client.call<Uint8Array>("Echo.echo", buffer);
    });
    const answers = await Promise.all(calls);
    assert(answers.every((bytes, i) => bytes.length === length && bytes.every((byte) => byte === i)));
  }
});

Deno.test("arguments: bytes in metadata are those of the moment of the call", async () => {
  const server = new Server().register("Echo", {
    metadata: (_: unknown, { metadata }: CallContext) => metadata.get("bytes"),
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using _server = server;
  await using client = await connect(new MultiServers([address]));
  const bytes = new Uint8Array([1]);
  const call = client.call("Echo.metadata", undefined, { metadata: { bytes } });
  bytes[0] = 2;
  assertEquals(await call, new Uint8Array([1]));
});

for (
  const [why, refuse, options] of [
    ["an idempotent call", () => new RpcError("unavailable", "Out of order"), { idempotent: true }],
    ["a call that was refused before it started", undefined, {}],
  ] as const
) {
  Deno.test(`arguments: ${why} is sent to a second server with what it was called with`, async () => {
    const seen: number[] = [];
    const started = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const put = (row: Row) => {
      seen.push(row.id);
      if (refuse !== undefined) throw refuse();
      return row.id;
    };
    const hold = async () => {
      started.resolve();
      await gate.promise;
    };
    // Full: further calls are refused without being started.
    const first = new Server({ maxInFlightTotal: refuse === undefined ? 1 : 100 }).register("Row", {
      put,
      hold,
    });
    const second = new Server().register("Row", { put: (row: Row) => (seen.push(row.id), row.id) });
    await using _first = first;
    await using _second = second;
    const addresses = await Promise.all(
      [first, second].map(async (each) => (await each.listen("tcp@127.0.0.1:0")).address),
    );
    await using filler = await connect(addresses[0]!);
    const held = filler.call("Row.hold");
    await started.promise;
    await using client = await connect(new MultiServers(addresses), { ejection: false });
    for (let i = 0; i < 8; i++) {
      seen.length = 0;
      const row: Row = { id: 1 };
      const call = client.call("Row.put", row, options);
      row.id = 2;
      assertEquals(await call, 1);
      assertEquals([...new Set(seen)], [1]);
    }
    gate.resolve();
    await held;
  });
}

Deno.test("arguments: backup, fork and broadcast send the same to every server", async () => {
  const seen: number[] = [];
  const servers = [0, 1].map(() =>
    new Server().register("Row", { put: (row: Row) => void seen.push(row.id) })
  );
  const addresses = await Promise.all(
    servers.map(async (each) => (await each.listen("tcp@127.0.0.1:0")).address),
  );
  await using client = await connect(new MultiServers(addresses));
  const row: Row = { id: 0 };
  const calls = [
    client.call("Row.put", row, { idempotent: true, failMode: { fork: 2 } }),
    client.call("Row.put", row, { idempotent: true, failMode: { backup: 0 } }),
    client.broadcast("Row.put", row),
    client.call("Row.put", row, { failMode: "retry" }),
    client.call("Row.put", row, { failMode: "failfast" }),
  ];
  row.id = 9;
  await Promise.all(calls);
  assertEquals([...new Set(seen)], [0]);
  await client.close();
  await Promise.all(servers.map((each) => each.close()));
});

Deno.test("arguments: a handler's calls back that wait send what they were called with", async () => {
  // With so few bytes that may wait to leave, most of the calls back wait for the ones before.
  await using server = new Server({ maxUnsentBytes: 65_536 }).register("S", {
    async start(_: unknown, { peer }: CallContext) {
      const buffer = new Uint8Array(20_000);
      const calls = numbers(50).map((i) => {
        buffer.fill(i);
        return peer.call<Uint8Array>("Back.echo", buffer);
      });
      return (await Promise.all(calls)).map((bytes) =>
        bytes.every((byte) => byte === bytes[0]) ? bytes[0] : -1
      );
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { services: { Back: { echo: (value: unknown) => value } } });
  assertEquals(await client.call("S.start"), numbers(50));
});

Deno.test("arguments: those that cannot be encoded fail their call alone, also while it would wait", async () => {
  await using at = await open();
  const bad = { run: () => {} };
  const waits = at.client.call("Echo.echo", bad);
  const fine = at.client.call("Echo.echo", { id: 1 });
  const error = await assertRejects(() => waits, RpcError);
  assertEquals({ code: error.code, notStarted: error.notStarted }, {
    code: "invalid_argument",
    notStarted: true,
  });
  assertEquals(await fine, { id: 1 });
});

Deno.test("maxHeldBytes: beyond it calls are refused, and taken again once others have ended", async () => {
  await using at = await open({ client: { maxHeldBytes: 10_000 }, dialed: true });
  const bytes = new Uint8Array(6_000);
  const held = [at.client.call("Echo.late", bytes), at.client.call("Echo.late", bytes)];
  const error = await assertRejects(() => at.client.call("Echo.echo", { id: 1 }), RpcError, "(maxHeldBytes)");
  assertEquals(
    { code: error.code, notStarted: error.notStarted, remote: error.remote },
    { code: "resource_exhausted", notStarted: true, remote: false },
  );
  at.release();
  await Promise.all(held);
  assertEquals(await at.client.call("Echo.echo", { id: 1 }), { id: 1 });
});

Deno.test("maxHeldBytes: what fails, is canceled or is left gives its bytes back", async () => {
  await using at = await open({ client: { maxHeldBytes: 10_000 }, dialed: true });
  const bytes = new Uint8Array(6_000);
  for (let i = 0; i < 10; i++) {
    await assertRejects(() => at.client.call("Echo.unknown", bytes), RpcError, "unknown");
    const stop = new AbortController();
    const canceled = at.client.call("Echo.late", bytes, { signal: stop.signal });
    stop.abort();
    await assertRejects(() => canceled, RpcError, "canceled");
    for await (const _ of at.client.stream("Echo.echo", bytes)) break;
  }
});

Deno.test("arguments: a call that an interceptor holds back sends what it was called with", async () => {
  const slow: Interceptor = async (call, next) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return await next(call);
  };
  await using at = await open({ client: { interceptors: [slow], maxHeldBytes: 1_000 }, dialed: true });
  assertEquals(await reuse(at.client, 20), numbers(20));
  const row: Row = { id: 1 };
  const items = at.client.stream<Row>("Echo.echo", row);
  const first = items.next();
  const everywhere = at.client.broadcast<Row>("Echo.echo", row);
  row.id = 2;
  assertEquals([(await first).value, await everywhere], [{ id: 1 }, { id: 1 }]);
  await items.return!();
  // Nothing of them is held any more, nor of those that an interceptor refuses.
  assertEquals((await at.client.call<Uint8Array>("Echo.echo", new Uint8Array(900))).length, 900);
});

Deno.test("arguments: those that an interceptor replaces are sent as it replaced them", async () => {
  const replace: Interceptor = async (call, next) => {
    await null;
    return await next({ ...call, args: { id: 7 } });
  };
  await using at = await open({ client: { interceptors: [replace], maxHeldBytes: 10 }, dialed: true });
  for (let i = 0; i < 10; i++) {
    assertEquals(await at.client.call("Echo.echo", { id: 1, more: "x".repeat(20) }), { id: 7 });
  }
});

Deno.test("arguments: kept ones stay as they are while streams keep a turn going and writes end within it", async () => {
  const failed = new Set<number>();
  const server = new Server().register("Row", {
    // Every call fails once, so that its second attempt sends what was kept.
    put(row: Row) {
      if (failed.has(row.id)) return row.id;
      failed.add(row.id);
      throw new RpcError("unavailable", "Again");
    },
    async collect(items: AsyncIterable<number>) {
      let count = 0;
      for await (const _ of items) count++;
      return count;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using _server = server;
  await using client = await connect(address, { retryBudget: false, ejection: false });
  async function* items() {
    for (let i = 0; i < 20_000; i++) {
      if (i % 7 === 0) await null;
      yield i;
    }
  }
  const streams = [1, 2, 3].map(() => client.call<number>("Row.collect", items()));
  const calls: Promise<number>[] = [];
  const row = { id: 0, filler: "" };
  for (let i = 0; i < 4_000; i++) {
    row.id = i;
    row.filler = "x".repeat(i % 200);
    calls.push(client.call<number>("Row.put", row, { idempotent: true }));
    if (i % 5 === 0) await null;
    if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  row.id = -1;
  assertEquals(await Promise.all(calls), numbers(4_000));
  assertEquals(await Promise.all(streams), [20_000, 20_000, 20_000]);
});
