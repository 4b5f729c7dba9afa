// The library's calling side and a peer that answers it by hand, over memory and over TCP.

import { AlarmClock } from "../../session/alarm_clock.ts";
import { assertEquals } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { connect, type ConnectOptions } from "../../client/mod.ts";
import { CborCodec } from "../../codec/cbor.ts";
import { KeyCache } from "../../codec/key_cache.ts";
import type { CallOptions } from "../../mod.ts";
import { sessionLimits } from "../../session/limits.ts";
import { simulate } from "../../testing/mod.ts";
import { connPair } from "../../testing/sim_conn.ts";
import { CallBodies, MAX_HELD_BYTES } from "../../session/call_body.ts";
import { windowBudget } from "../../session/window_budget.ts";
import { Session } from "../../session/session.ts";
import { LimitCounters } from "../../session/limit_counters.ts";
import { ANSWER, type Item, RawPeer } from "./raw_peer.ts";
import { callOver, streamOver } from "./session_pair.ts";
import { soon } from "./waiting.ts";
import { pingPong } from "./wire_harness.ts";

/** A caller of the library's, and the peer that answers it by hand. */
export interface Answering extends AsyncDisposable {
  readonly peer: RawPeer;
  readonly pending: () => number;
  call(method: string, args?: unknown, options?: CallOptions): Promise<unknown>;
  stream(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
}

/** One test of what the calling side makes of a peer's answers: over memory and over TCP. */
export function answering(promise: string, test: (open: () => Promise<Answering>) => Promise<void>): void {
  Deno.test(`${promise} (memory)`, () => test(() => Promise.resolve(answeringMemory())));
  Deno.test(`${promise} (TCP)`, () => test(answeringTcp));
}

/** As `answering`, in simulated time, for what is a matter of time. */
export function answeringSimulated(
  promise: string,
  test: (open: () => Promise<Answering>) => Promise<void>,
): void {
  Deno.test(`${promise} (simulated memory)`, () =>
    simulate(() => test(() => Promise.resolve(answeringMemory()))));
  Deno.test(`${promise} (simulated network)`, () =>
    simulate(({ network }) =>
      test(() => {
        const listener = network.host("peer").listen({ transport: "tcp", hostname: "peer", port: 1 });
        const accepting = listener.accept().then((conn) => new RawPeer(conn!));
        return answeringClient("tcp@peer:1", accepting, { network: network.host("client") })
          .finally(() => listener.close());
      })
    ));
}

function answeringMemory(): Answering {
  const [near, far] = connPair();
  const limits = sessionLimits({});
  const session = new Session(near, {
    agreement: {
      codec: new CborCodec(),
      peerMaxFrameBytes: limits.maxFrameBytes,
      peerMaxInFlight: 1_024,
      handleTimeout: 0,
    },
    dialled: true,
    prefix: new Uint8Array(0),
    limits,
    counters: new LimitCounters(),
    clock: new AlarmClock(),
    bodies: new CallBodies(MAX_HELD_BYTES),
    windows: windowBudget({}),
    names: new KeyCache(),
  });
  const peer = new RawPeer(far);
  return {
    peer,
    pending: () => session.pending,
    call: (...rest) => callOver(session, ...rest),
    stream: (...rest) => streamOver(session, ...rest),
    async [Symbol.asyncDispose]() {
      peer.close();
      session.close(new RpcError("unavailable", "The test is over"));
      await session.closed;
    },
  };
}

async function answeringTcp(): Promise<Answering> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept().then((socket) => RawPeer.of(socket));
  return await answeringClient(`tcp@127.0.0.1:${listener.addr.port}`, accepting);
}

async function answeringClient(
  address: string,
  accepting: Promise<RawPeer>,
  options?: ConnectOptions,
): Promise<Answering> {
  const shaking = accepting.then(async (peer) => {
    await peer.line();
    await peer.send(ANSWER);
    return peer;
  });
  const client = await connect(address, options);
  const peer = await shaking;
  return {
    peer,
    pending: () => client.stats().pending,
    call: (...rest) => client.call(...rest),
    stream: (...rest) => client.stream(...rest),
    async [Symbol.asyncDispose]() {
      peer.close();
      await client.close();
    },
  };
}

/** Takes the next `count` items. */
export async function take(stream: AsyncIterator<unknown>, count: number): Promise<unknown[]> {
  const items: unknown[] = [];
  while (items.length < count) items.push((await soon(stream.next(), "an item")).value);
  return items;
}

/** Shows that the calling side has sent nothing but this, so far. */
export async function assertTold(peer: RawPeer, ...headers: Item[][]): Promise<void> {
  assertEquals((await pingPong(peer, 99)).map(({ header }) => header), headers);
}
