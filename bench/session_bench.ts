// Benchmarks two sessions connected in memory: the full cost of a call except sockets and clients. `deno
// bench bench/session_bench.ts`.

import { calleeWith } from "../session/callee.ts";
import { AlarmClock } from "../session/alarm_clock.ts";
import { ServiceTable } from "../call/service.ts";
import { CborCodec } from "../codec/cbor.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { CallStream } from "../session/call_stream.ts";
import type { Conn } from "../transport/conn.ts";
import { RecvStream } from "../session/recv_stream.ts";
import { sessionLimits } from "../session/limits.ts";
import { connPair } from "../testing/sim_conn.ts";
import { CallBodies, MAX_HELD_BYTES } from "../session/call_body.ts";
import { windowBudget } from "../session/window_budget.ts";
import { Session } from "../session/session.ts";
import { LimitCounters } from "../session/limit_counters.ts";

const ITEMS = 1_000;
const LARGE = new Uint8Array(65_536).fill(7);
const item = new Uint8Array(100).fill(7);

const services = new ServiceTable();
services.register("S", {
  sum: ({ a, b }: { a: number; b: number }) => ({ sum: a + b }),
  later: ({ a, b }: { a: number; b: number }) => Promise.resolve({ sum: a + b }),
  echo: (value: unknown) => value,
  async *items() {
    for (let i = 0; i < ITEMS; i++) yield item;
  },
});

function sessionOn(conn: Conn, dialled: boolean): Session {
  const limits = sessionLimits({});
  return new Session(conn, {
    agreement: {
      codec: new CborCodec(),
      peerMaxFrameBytes: limits.maxFrameBytes,
      peerMaxInFlight: limits.maxInFlight,
      handleTimeout: 0,
    },
    dialled,
    prefix: new Uint8Array(0),
    limits,
    counters: new LimitCounters(),
    clock: new AlarmClock(),
    bodies: new CallBodies(MAX_HELD_BYTES),
    windows: windowBudget({}),
    names: new KeyCache(),
    createCallee: dialled ? undefined : calleeWith((name) => services.find(name)),
  });
}

const [here, there] = connPair();
const caller = sessionOn(here, true);
sessionOn(there, false);

function call(method: string, args: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    caller.call({
      seq: 0,
      method,
      args,
      body: undefined,
      repeatable: false,
      deadline: Infinity,
      signal: undefined,
      metadata: undefined,
      ownMetadata: undefined,
      recvStream: undefined,
      sendStream: undefined,
      resolve,
      reject,
    });
  });
}

function stream(method: string): CallStream<Uint8Array> {
  const recvStream = new RecvStream();
  return new CallStream(recvStream, () => {
    caller.call({
      seq: 0,
      method,
      args: null,
      body: undefined,
      repeatable: false,
      deadline: Infinity,
      signal: undefined,
      metadata: undefined,
      ownMetadata: undefined,
      recvStream,
      sendStream: undefined,
      resolve() {},
      reject: (error) => recvStream.fail(error, false),
    });
  });
}

async function sum(method: string, i: number): Promise<void> {
  const { sum } = await call(method, { a: i, b: 2 }) as { sum: number };
  if (sum !== i + 2) throw new Error(`Wrong response: ${i} + 2 = ${sum}`);
}

const many = Array.from({ length: 128 }, (_, i) => i);
Deno.bench("128 sequential calls", async () => {
  for (const i of many) await sum("S.sum", i);
});
Deno.bench("128 concurrent calls", async () => {
  await Promise.all(many.map((i) => sum("S.sum", i)));
});
Deno.bench("128 concurrent calls of a handler that returns a promise", async () => {
  await Promise.all(many.map((i) => sum("S.later", i)));
});
Deno.bench("64 KiB echo", async () => {
  const { length } = await call("S.echo", LARGE) as Uint8Array;
  if (length !== LARGE.length) throw new Error(`Wrong response: ${length} bytes`);
});
Deno.bench("a stream of 1,000 items", async () => {
  let count = 0;
  for await (const _ of stream("S.items")) count++;
  if (count !== ITEMS) throw new Error(`Wrong stream: ${count} items instead of ${ITEMS}`);
});
