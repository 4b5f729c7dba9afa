// Large frames wait for their turn, and small ones pass them. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { ByteBuffer } from "../../codec/bytes.ts";
import { LargeFrames } from "../../session/large_frames.ts";
import { fails, testSession } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { TestLine } from "../support/windows.ts";

const LARGE = new Uint8Array(1_000_000).fill(7);

testSession("small calls pass large ones that wait, both as arguments and as results", async (open) => {
  await using pair = await open({ methods: { make: (size: number) => new Uint8Array(size) } });
  for (const start of [() => pair.call("echo", LARGE), () => pair.call("make", LARGE.length)]) {
    let large = 0;
    // Many: on a busy machine a turn ends after a few, and those leave before the small call is read.
    const calls = Array.from({ length: 20 }, () => start().then(() => large++));
    await pair.call("echo", 1);
    assert(large < calls.length, `${large} of ${calls.length} large calls had ended`);
    await Promise.all(calls);
  }
});

testSession(
  "a large call that is canceled before its turn was not started, and is not sent",
  async (open) => {
    await using pair = await open();
    const stop = new AbortController();
    const first = [pair.call("echo", LARGE), pair.call("echo", LARGE)];
    const last = pair.call("echo", LARGE, { signal: stop.signal });
    stop.abort();
    const error = await fails(last, "canceled");
    assertEquals(error.notStarted, true);
    await Promise.all(first);
    await pair.call("echo", 1);
    assertEquals(pair.started, 3);
  },
);

testSession("the items of a stream stay in order, whether they are large or small", async (open) => {
  const sizes = [1, 100_000, 2, 200_000, 300_000, 3, 70_000, 4];
  await using pair = await open({
    methods: {
      *items() {
        for (const size of sizes) yield new Uint8Array(size);
      },
      sizes: async (args: AsyncIterable<Uint8Array>) => {
        const seen: number[] = [];
        for await (const { length } of args) seen.push(length);
        return seen;
      },
    },
  });
  const one = async () => {
    const seen: number[] = [];
    for await (const { length } of pair.stream<Uint8Array>("items")) seen.push(length);
    assertEquals(seen, sizes);
    const parts = sizes.map((size) => new Uint8Array(size));
    assertEquals(await pair.call("sizes", ReadableStream.from(parts)), sizes);
  };
  await Promise.all([one(), one(), one()]);
});

testSession("a session that closes ends large calls that wait, as not started", async (open) => {
  const pair = await open();
  const calls = Array.from({ length: 4 }, () => pair.call("echo", LARGE));
  pair.dialled.close(new RpcError("unavailable", "Closed"));
  const errors = await Promise.all(calls.map((call) => fails(call, "unavailable")));
  assertEquals(errors.some(({ notStarted }) => notStarted), true);
  await pair[Symbol.asyncDispose]();
});

testSession("large answers that wait leave after the peer has ended its side", async (open) => {
  await using pair = await open({ methods: { make: () => LARGE } });
  const calls = Array.from({ length: 8 }, () => pair.call("make"));
  await until(() => pair.started >= 8, "the calls to be started");
  pair.dialled.drain();
  for (const call of calls) assertEquals((await call as Uint8Array).length, LARGE.length);
});

/** The frames of one line, and how many have left. */
function lineOf(
  ms: number,
): { line: TestLine; frames: LargeFrames; send(count: number): number; arrive(): void } {
  const line = new TestLine(ms);
  if (ms < Infinity) line.roundTrip.measured(line.time - ms, line.time);
  const marks: (() => void)[] = [];
  line.mark = (onArrived) => void marks.push(onArrived);
  const frames = new LargeFrames(line, () => {});
  const send = (count: number) => {
    for (let i = 0; i < count; i++) frames.add({ length: 1_000_000, take: () => new ByteBuffer(0) });
    let sent = 0;
    for (; frames.next() !== undefined; sent++) frames.left(1_000_000);
    return sent;
  };
  return { line, frames, send, arrive: () => marks.splice(0).forEach((mark) => mark()) };
}

Deno.test("large frames: on a short line all leave one after the other", () => {
  assertEquals(lineOf(0.2).send(20), 20);
});

Deno.test("large frames: on a long and slow line one leaves at a time", () => {
  const { line, send, arrive } = lineOf(20);
  let sent = send(20);
  for (let i = 0; i < 10; i++) {
    assertEquals(sent, 1, `${i}`);
    line.time += 100;
    arrive();
    sent = send(0);
  }
});

Deno.test("large frames: on a long and fast line as many leave as it carries in two round trips", () => {
  const { line, send, arrive } = lineOf(100);
  let sent = send(1_000);
  for (let i = 0; i < 10; i++) {
    line.time += 100;
    arrive();
    sent = send(0);
  }
  assert(sent > 50, `${sent}`);
});

Deno.test("large frames: they do not wait for pings that are not read", () => {
  const { frames, send } = lineOf(100);
  assertEquals(send(5), 1);
  frames.awaitPings(false);
  assertEquals(send(0), 4);
});
