// What interceptors see of the metadata of streams, on both sides: empty at first, and there when the stream has ended.

import { assertEquals, assertRejects } from "@std/assert";
import {
  type CallContext,
  connect,
  type ConnectOptions,
  defineService,
  type Interceptor,
  method,
  MultiServers,
  type Reply,
  RpcError,
  Server,
} from "../../mod.ts";
import { answerHandshake, Link, RawServer, readToEnd } from "../support/service_link.ts";
import { taken } from "../support/stream_sources.ts";
import { end, goAway, item } from "../support/frames.ts";

const SERVICE = {
  *rows(count: number, { replyMetadata }: CallContext) {
    for (let i = 0; i < count; i++) yield i;
    replyMetadata.set("rows", `${count}`);
  },
  *torn(_: unknown, { replyMetadata }: CallContext) {
    yield 0;
    replyMetadata.set("rows", "1");
    throw new RpcError("data_loss", "Torn");
  },
  one(_: unknown, { replyMetadata }: CallContext) {
    replyMetadata.set("rows", "one");
    return 1;
  },
};

/** An interceptor that keeps every reply, and records what its metadata were at each item and at the end. */
class Watch {
  readonly replies: Reply[] = [];
  readonly seen: string[] = [];

  readonly interceptor: Interceptor = async (call, next) => {
    const reply = await next(call);
    this.replies.push(reply);
    this.#note("reply", reply);
    const { value } = reply;
    return typeof value === "object" ? { ...reply, value: this.#watched(reply) } : reply;
  };

  async *#watched(reply: Reply) {
    try {
      for await (const item of reply.value as AsyncIterable<unknown>) {
        this.#note("item", reply);
        yield item;
      }
    } finally {
      this.#note("end", reply);
    }
  }

  #note(when: string, { metadata }: Reply): void {
    this.seen.push([when, ...metadata.entries()].join(" "));
  }
}

async function opened(client: ConnectOptions, ...server: Interceptor[]): Promise<Link> {
  const link = await Link.open(SERVICE, { client });
  for (const interceptor of server) link.server.use(interceptor);
  return link;
}

Deno.test("interceptors: a client's see a stream's metadata when it has ended, each of them", async () => {
  const [outer, inner] = [new Watch(), new Watch()];
  await using link = await opened({ interceptors: [outer.interceptor, inner.interceptor] });
  const stream = link.client.stream<number>("S.rows", 2);
  assertEquals(await Array.fromAsync(stream), [0, 1]);
  for (const { seen } of [outer, inner]) assertEquals(seen, ["reply", "item", "item", "end rows,2"]);
  assertEquals([...outer.replies[0]!.metadata], [["rows", "2"]]);
  // Each stream has its own.
  await taken(link.client.stream("S.rows", 0));
  assertEquals(outer.replies.map(({ metadata }) => metadata.get("rows")), ["2", "0"]);
});

Deno.test("interceptors: a client's see what came with the error of a stream, and with one value", async () => {
  const watch = new Watch();
  await using link = await opened({ interceptors: [watch.interceptor] });
  const { error } = await taken(link.client.stream("S.torn"));
  assertEquals([error?.code, error?.metadata.get("rows")], ["data_loss", "1"]);
  assertEquals(watch.seen.splice(0), ["reply", "item", "end rows,1"]);
  assertEquals((await taken(link.client.stream("S.one"))).items, [1]);
  assertEquals(watch.seen, ["reply", "item", "end rows,one"]);
});

Deno.test("interceptors: a stream that is left or never answered has no metadata", async () => {
  const watch = new Watch();
  await using link = await opened({ interceptors: [watch.interceptor] });
  for await (const _ of link.client.stream("S.rows", 3)) break;
  assertEquals(watch.seen, ["reply", "item", "end"]);
  await assertRejects(() => Array.fromAsync(link.client.stream("S.nope")), RpcError, "nope");
  assertEquals(watch.seen.slice(3), ["reply", "end"]);
});

Deno.test("interceptors: a server's see what the handler has set so far, and may add to it", async () => {
  const [watch, client] = [new Watch(), new Watch()];
  const add: Interceptor = async (call, next) => {
    const reply = await next(call);
    return { ...reply, metadata: new Map([...reply.metadata, ["server", "one"]]) };
  };
  await using link = await opened({ interceptors: [client.interceptor] }, add, watch.interceptor);
  assertEquals((await taken(link.client.stream("S.rows", 1))).items, [0]);
  assertEquals(watch.seen, ["reply", "item server,one", "end server,one rows,1"]);
  assertEquals(client.seen, ["reply", "item", "end server,one rows,1"]);
});

Deno.test("interceptors: metadata of a stream come through contracts with checks as well", async () => {
  const watch = new Watch();
  const S = defineService("Rows", {
    all: method.serverStream<number, number>(),
    checked: method.serverStream<number, number>({ result: { "~standard": STANDARD } }),
    back: method.conversation<number, number>({ args: { "~standard": STANDARD } }),
  });
  await using server = new Server().register(S, {
    all: SERVICE.rows,
    checked: SERVICE.rows,
    async *back(args, { replyMetadata }) {
      for await (const item of args) yield item;
      replyMetadata.set("rows", "back");
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { interceptors: [watch.interceptor] });
  const { all, checked, back } = client.service(S);
  await taken(all(1));
  await taken(checked(2));
  await taken(back(all(3)));
  assertEquals(watch.replies.map(({ metadata }) => metadata.get("rows")), ["1", "2", "back", "3"]);
});

const STANDARD = {
  version: 1 as const,
  vendor: "tests",
  validate: (value: unknown) => ({ value: value as number }),
};

Deno.test("interceptors: metadata of a stream come whichever way its call was sent", async () => {
  const gate = Promise.withResolvers<void>();
  // Gives its client up before a call is taken up.
  await using refusing = new RawServer(async (conn) => {
    await answerHandshake(conn);
    await conn.read(new Uint8Array(1_024));
    await conn.write(goAway(0, "unavailable"));
    gate.resolve();
    await readToEnd(conn);
  });
  await using server = new Server().register("S", SERVICE);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const watch = new Watch();
  const servers = new MultiServers([refusing.address, address]);
  await using client = await connect(servers, { interceptors: [watch.interceptor] });
  // The first calls wait for a connection, and one of them goes to a second server.
  const streams = [1, 2].map((count) => taken(client.stream("S.rows", count)));
  assertEquals((await Promise.all(streams)).map(({ items }) => items.length), [1, 2]);
  await gate.promise;
  assertEquals(watch.replies.map(({ metadata }) => metadata.get("rows")), ["1", "2"]);
});

Deno.test("interceptors: names of the protocol's own are not shown of a stream either", async () => {
  const watch = new Watch();
  const metadata = new Map([["rpc-later", "1"], ["a", "x"], ["not-started", ""]]);
  await using answering = new RawServer(async (conn) => {
    await answerHandshake(conn);
    await conn.read(new Uint8Array(1_024));
    await conn.write(item(1, "it"));
    await conn.write(end(1, metadata));
    await readToEnd(conn);
  });
  await using client = await connect(answering.address, { interceptors: [watch.interceptor] });
  assertEquals((await taken(client.stream("S.any"))).items, ["it"]);
  assertEquals(watch.seen, ["reply", "item", "end a,x"]);
});

Deno.test("interceptors: a stream from a handler to a client may have metadata that the client ignores", async () => {
  const back: unknown[] = [];
  await using server = new Server().register("S", {
    ask: async (_: unknown, { peer }: CallContext) => {
      for await (const item of peer.stream("C.rows", 3)) back.push(item);
      return back.length;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { services: { C: SERVICE } });
  assertEquals([await client.call("S.ask"), back], [3, [0, 1, 2]]);
});
