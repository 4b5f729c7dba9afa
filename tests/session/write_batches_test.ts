// How many writes a stream takes: items that are ready leave together, however soon each write ends.

import { assert, assertEquals, assertLess } from "@std/assert";
import { CborCodec } from "../../codec/cbor.ts";
import { ConnWriter } from "../../session/conn_writer.ts";
import { FrameWriter } from "../../session/frame_writer.ts";
import { MessageLog } from "../../session/message_log.ts";
import { SendStream } from "../../session/send_stream.ts";
import { connPair } from "../../testing/sim_conn.ts";
import { TestLine } from "../support/windows.ts";

/** Writes frames to a connection whose writes end after some microtasks. */
function writerTo(
  microtasks: number,
): { frameWriter: FrameWriter; writer: ConnWriter; writes: Uint8Array[] } {
  const writes: Uint8Array[] = [];
  const conn = Object.assign(connPair()[0], {
    async write(bytes: Uint8Array) {
      writes.push(bytes.slice());
      for (let i = 0; i < microtasks; i++) await undefined;
      return bytes.length;
    },
  });
  const owner = {
    heartbeat: new TestLine(),
    onProgress: () => frameWriter.resume(),
    onWriteFailed: () => {},
  };
  const writer = new ConnWriter(conn, owner);
  const turns = { onTurnBegun: () => {}, onTurn: () => {} };
  const frameWriter: FrameWriter = new FrameWriter(
    writer,
    new CborCodec(),
    4_194_304,
    turns,
    new MessageLog(undefined, conn, undefined),
  );
  return { frameWriter, writer, writes };
}

async function* items(count: number): AsyncGenerator<Uint8Array> {
  const item = new Uint8Array(100);
  for (let i = 0; i < count; i++) yield item;
}

Deno.test("write batches: items of a stream leave together, however soon each write ends", async () => {
  for (let microtasks = 0; microtasks <= 16; microtasks++) {
    const { frameWriter, writer, writes } = writerTo(microtasks);
    const stream = new SendStream(frameWriter.streamSink(1, "S.items", 8_388_608, () => {}));
    stream.credit(1_000_000, 1_000_000_000);
    await stream.send(items(20_000));
    await writer.flushed();
    const bytes = writes.reduce((sum, { length }) => sum + length, 0);
    assert(bytes > 2_000_000);
    assertLess(writes.length, 1 + 2 * bytes / 65_536, `after ${microtasks} microtasks`);
  }
});

Deno.test("write batches: a large frame that waits leaves although a stream never pauses", async () => {
  const { frameWriter, writer, writes } = writerTo(3);
  const stream = new SendStream(frameWriter.streamSink(1, "S.items", 8_388_608, () => {}));
  stream.credit(1_000_000, 1_000_000_000);
  const sent = stream.send(items(20_000));
  const large = new SendStream(frameWriter.streamSink(2, "S.items", 8_388_608, () => {}));
  await large.send([new Uint8Array(100_000)]);
  await sent;
  await writer.flushed();
  const sizes = writes.map(({ length }) => length);
  const at = sizes.findIndex((size) => size > 100_000 && size < 100_100);
  assert(at >= 0 && at < 5, `${sizes}`);
  assertEquals(writer.unsent, 0);
});
