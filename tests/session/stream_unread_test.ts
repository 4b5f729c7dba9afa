// Items that were not taken yet: long ones wait as their bytes, whatever they would become, and are decoded when they
// are taken. One that cannot be decoded ends its stream there, as if it had come then.

import { assertEquals, assertRejects } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { connect } from "../../client/connect.ts";
import type { ByteBuffer } from "../../codec/bytes.ts";
import { CborCodec } from "../../codec/cbor.ts";
import type { Codec } from "../../codec/codec.ts";
import { Server } from "../../server/server.ts";
import { deferred } from "../../call/deferred.ts";

const long = (text: string) => text.padEnd(1_000, ".");

/** CBOR that notes the items it decodes, and cannot decode those that begin with "bad". */
class Noting implements Codec {
  readonly name = "application/cbor";
  readonly seen: string[] = [];
  readonly #cbor = new CborCodec();

  encode(value: unknown, out: ByteBuffer): void {
    this.#cbor.encode(value, out);
  }

  decode(bytes: Uint8Array, start: number, end: number): unknown {
    const value = this.#cbor.decode(bytes, start, end);
    if (typeof value !== "string") return value;
    const text = value.replace(/\.+$/, "");
    if (text.startsWith("bad")) throw new Error("It is bad");
    this.seen.push(text);
    return text;
  }
}

/** A server whose stream of arguments waits until it is let go, and a client. */
async function link(answer: string[] = []) {
  const [ofServer, ofClient] = [new Noting(), new Noting()];
  const gate = deferred<void>();
  const taken: string[] = [];
  let failure: unknown;
  const server = new Server({ codecs: [ofServer] }).register("S", {
    async take(items: AsyncIterable<string>) {
      await gate.promise;
      try {
        for await (const item of items) taken.push(item);
      } catch (error) {
        failure = error;
        throw error;
      }
      return taken.length;
    },
    async *give() {
      for (const each of answer) yield await Promise.resolve(long(each));
    },
    ping: () => 1,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const client = await connect(address, { codecs: [ofClient] });
  return {
    ofServer,
    ofClient,
    gate,
    taken,
    client,
    failure: () => failure,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
    },
  };
}

/** The texts as long items; `sent` resolves when all have left. */
function items(texts: string[]) {
  const sent = deferred<void>();
  async function* all() {
    for (const text of texts) yield await Promise.resolve(long(text));
    sent.resolve();
  }
  return { all: all(), sent: sent.promise };
}

Deno.test("unread: long items are decoded when they are taken", async () => {
  await using it = await link();
  const { all, sent } = items(["a", "b", "c"]);
  const call = it.client.call("S.take", all);
  await sent;
  await it.client.call("S.ping");
  assertEquals(it.ofServer.seen, []);
  it.gate.resolve();
  assertEquals(await call, 3);
  assertEquals({ taken: it.taken, seen: it.ofServer.seen }, {
    taken: ["a", "b", "c"],
    seen: ["a", "b", "c"],
  });
});

Deno.test("unread: an item of the arguments that cannot be decoded ends the call when it is taken", async () => {
  await using it = await link();
  const { all, sent } = items(["a", "bad", "c"]);
  const call = it.client.call("S.take", all);
  const failed = assertRejects(
    () => call,
    RpcError,
    "Cannot decode an item of the arguments of S.take: It is bad",
  );
  await sent;
  await it.client.call("S.ping");
  it.gate.resolve();
  assertEquals((await failed).code, "invalid_argument");
  assertEquals(it.taken, ["a"]);
  assertEquals((it.failure() as RpcError).code, "invalid_argument");
});

Deno.test("unread: an item of the answer that cannot be decoded ends the stream when it is taken", async () => {
  for (const texts of [["a", "b", "bad", "d"], ["a", "b", "bad"]]) {
    await using it = await link(texts);
    const stream = it.client.stream<string>("S.give");
    assertEquals((await stream.next()).value, "a");
    await it.client.call("S.ping");
    assertEquals((await stream.next()).value, "b");
    const error = await assertRejects(
      () => stream.next(),
      RpcError,
      "Cannot decode an item of S.give: It is bad",
    );
    assertEquals(error.code, "data_loss");
    assertEquals((await stream.next()).done, true);
    assertEquals(await it.client.call("S.ping"), 1);
  }
});
