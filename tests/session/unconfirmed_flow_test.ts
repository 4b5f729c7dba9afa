// How far a session sends ahead of a peer that buffers what it has not read, as over WebSockets: calls and items wait for
// Pongs, and large frames that wait for their turn count for neither.

import { assert, assertEquals, assertLess } from "@std/assert";
import { type Deferred, deferred } from "../../call/deferred.ts";
import { CborCodec } from "../../codec/cbor.ts";
import { beginReply, Kind, writeShort } from "../../codec/frame.ts";
import { ConnWriter } from "../../session/conn_writer.ts";
import { FrameWriter } from "../../session/frame_writer.ts";
import { MessageLog } from "../../session/message_log.ts";
import { UnconfirmedBytes } from "../../session/unconfirmed_bytes.ts";
import { connPair } from "../../testing/sim_conn.ts";
import { Pair } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { TestLine } from "../support/windows.ts";

const MAX_UNSENT = 1_048_576;

/** Two sessions without backpressure: what the accepting side writes waits for `gate`. */
function unread(gate: Deferred<void>): Pair {
  const [dialled, accepted] = connPair(Infinity);
  const write = accepted.write.bind(accepted);
  accepted.write = async (from) => {
    await gate.promise;
    return await write(from);
  };
  return new Pair([Object.assign(dialled, { buffersUnread: true }), accepted], {
    limits: { maxUnsentBytes: MAX_UNSENT },
    methods: {
      size: (args: Uint8Array) => args.length,
      count: async (args: AsyncIterable<unknown>) => (await Array.fromAsync(args)).length,
    },
  });
}

/** Waits until nothing more is written, for many turns of the event loop. Returns how much was. */
async function stalled(pair: Pair): Promise<number> {
  let written = 0;
  let turns = 0;
  await until(() => {
    turns = written === pair.dialledConn.written ? turns + 1 : 0;
    written = pair.dialledConn.written;
    return turns > 50;
  }, "the session to wait for the peer");
  return written;
}

for (const [what, size] of [["small", 10_000], ["large", 100_000]] as const) {
  Deno.test(`unconfirmed: ${what} calls wait for the Pongs of a peer that buffers`, async () => {
    const gate = deferred<void>();
    await using pair = unread(gate);
    const count = 3_000_000 / size;
    const calls = Array.from({ length: count }, () => pair.call("size", new Uint8Array(size)));
    const written = await stalled(pair);
    assert(written > MAX_UNSENT / 4, `${written}`);
    assertLess(written, MAX_UNSENT / 2 + 2 * size);
    gate.resolve();
    assertEquals(await Promise.all(calls), calls.map(() => size));
  });

  Deno.test(`unconfirmed: streams of ${what} items wait for the Pongs of a peer that buffers`, async () => {
    const gate = deferred<void>();
    await using pair = unread(gate);
    const streams = Array.from({ length: 20 }, () => {
      const items = Array.from({ length: 200_000 / size }, () => new Uint8Array(size));
      return pair.call("count", ReadableStream.from(items));
    });
    const written = await stalled(pair);
    assert(written > MAX_UNSENT / 4, `${written}`);
    assertLess(written, 2 * MAX_UNSENT);
    gate.resolve();
    assertEquals(await Promise.all(streams), streams.map(() => 200_000 / size));
  });
}

Deno.test("unconfirmed: large frames that wait do not count, and no Ping that passes them confirms them", () => {
  let wrote: (count: number) => void = () => {};
  const conn = Object.assign(connPair()[0], {
    write: () => ({ then: (done: typeof wrote) => void (wrote = done) }) as unknown as Promise<number>,
  });
  const owner = { heartbeat: new TestLine(), onProgress: () => {}, onWriteFailed: () => {} };
  const writer = new ConnWriter(conn, owner);
  const turns = { onTurnBegun: () => {}, onTurn: () => {} };
  const log = new MessageLog(undefined, conn, undefined);
  const frameWriter = new FrameWriter(writer, new CborCodec(), 4_194_304, turns, log);
  writeShort(frameWriter.beginFrame(), Kind.Ping, 1);
  const out = frameWriter.beginFrame();
  const start = out.length;
  beginReply(out, 1);
  frameWriter.endFrame(out, start, new Uint8Array(1_000_000));
  assert(frameWriter.isLate(out, start));
  frameWriter.postpone(start);
  assert(frameWriter.unsent > 1_000_000);
  assertEquals(frameWriter.unread, start, "without a bound");

  let pings = 0;
  const unconfirmed = frameWriter.unconfirmedBytes = new UnconfirmedBytes({ ping: () => ++pings }, 1);
  assertEquals(frameWriter.unread, start, "with a bound");
  frameWriter.confirm();
  unconfirmed.onPong(pings);
  assertEquals(frameWriter.unread, 0);
  for (writer.flush(0); writer.unsent > 0;) wrote(writer.unsentSmall);
  assert(frameWriter.unread > 1_000_000, `${frameWriter.unread}`);
});
