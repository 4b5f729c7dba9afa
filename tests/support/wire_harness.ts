// Puts raw peers in front of the answering side, over memory and over TCP, so that one test says the same of both.
// Over memory there is a Session alone; over TCP a whole server, and the peer has completed the handshake.

import { calleeWith } from "../../session/callee.ts";
import { AlarmClock } from "../../session/alarm_clock.ts";
import { assertEquals } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { CborCodec } from "../../codec/cbor.ts";
import { KeyCache } from "../../codec/key_cache.ts";
import type { ServerOptions } from "../../server/server_options.ts";
import { Server } from "../../server/server.ts";
import { ServiceTable } from "../../call/service.ts";
import type { MethodStats } from "../../call/method_stats.ts";
import { sessionLimits } from "../../session/limits.ts";
import { simulate } from "../../testing/mod.ts";
import { connPair } from "../../testing/sim_conn.ts";
import { CallBodies, MAX_HELD_BYTES } from "../../session/call_body.ts";
import { CallSlots, PeerCallSlots } from "../../session/call_slots.ts";
import { windowBudget } from "../../session/window_budget.ts";
import { Session } from "../../session/session.ts";
import { LimitCounters, type LimitStats } from "../../session/limit_counters.ts";
import { call, headerOf, Kind, ping } from "../support/frames.ts";
import { bodyOf, type Frame, OPTION, RawPeer } from "./raw_peer.ts";
import { soon, until } from "./waiting.ts";

/** What answers: services by name, of methods by name. */
// deno-lint-ignore no-explicit-any
export type Services = Record<string, Record<string, (args: any, context: any) => unknown>>;

/** How a wire is laid. */
export interface WireOptions extends ServerOptions {
  /** What the peer says it takes. */
  peerMaxFrameBytes?: number;
}

/** The answering side, and a peer that it knows. */
export interface Wire extends AsyncDisposable {
  readonly peer: RawPeer;
  /** What the answering side logged. */
  readonly log: string[];
  /** A further connection. */
  another(): Promise<RawPeer>;
  stats(method: string): MethodStats;
  /** How often limits were met. */
  limits(): LimitStats;
  /** Resolves when no connection is left. */
  idle(): Promise<void>;
}

/** Lays a wire. */
export type Open = (services: Services, options?: WireOptions) => Promise<Wire>;

/** A service that answers at once. */
export const ECHO: Services = { Echo: { echo: (value: unknown) => value } };

/** One test of a promise that holds over every transport: it is run over memory and over TCP. */
export function overBoth(promise: string, test: (open: Open) => Promise<void>): void {
  Deno.test(`${promise} (memory)`, () => test(openMemory));
  Deno.test(`${promise} (TCP)`, () => test(openTcp));
}

/**
 * As `overBoth`, in simulated time: over memory, and over the simulated network to a whole server. For what is a matter of time,
 * so that a busy machine does not matter. What a handler computes takes no time.
 */
export function overSimulated(promise: string, test: (open: Open) => Promise<void>): void {
  Deno.test(`${promise} (simulated memory)`, () => simulate(() => test(openMemory)));
  Deno.test(`${promise} (simulated network)`, () =>
    simulate(({ network }) => {
      const client = network.host("client");
      const { signal } = new AbortController();
      const dial = async (port: number) =>
        new RawPeer(await client.dial({ transport: "tcp", hostname: "server", port }, signal));
      return test((services, options) =>
        openServer(services, "tcp@server:0", dial, { network: network.host("server"), ...options })
      );
    }));
}

/** Lays a wire over memory. */
export async function openMemory(services: Services, options: WireOptions = {}): Promise<Wire> {
  const table = new ServiceTable();
  for (const [name, methods] of Object.entries(services)) table.register(name, methods);
  const { peerMaxFrameBytes = 4_194_304, handleTimeout = 0 } = options;
  const limits = sessionLimits(options);
  const counters = new LimitCounters();
  const places = new CallSlots(options.maxInFlightTotal ?? 32_768, () => {});
  const clock = new AlarmClock();
  const names = new KeyCache();
  const sessions: Session[] = [];
  const log: string[] = [];
  const another = () => {
    const [near, far] = connPair();
    const agreement = {
      codec: new CborCodec(),
      peerMaxFrameBytes,
      peerMaxInFlight: Infinity,
      handleTimeout,
    };
    sessions.push(
      new Session(far, {
        agreement,
        dialled: false,
        prefix: new Uint8Array(0),
        limits,
        counters,
        slots: new PeerCallSlots(places, () => "everyone"),
        clock,
        bodies: new CallBodies(MAX_HELD_BYTES),
        windows: windowBudget({}),
        names,
        createCallee: calleeWith((name) => table.find(name)),
        log: (message, error) => log.push(`${message} ${error instanceof Error ? error.message : ""}`),
      }),
    );
    return Promise.resolve(new RawPeer(near));
  };
  const idle = async () => void await soon(Promise.all(sessions.map(({ closed }) => closed)), "the end");
  const peer = await another();
  return {
    peer,
    log,
    another,
    limits: () => counters.stats(),
    stats: (method) => table.stats().find((each) => each.method === method)!,
    idle,
    async [Symbol.asyncDispose]() {
      peer.close();
      places.close();
      for (const session of sessions) session.close(new RpcError("unavailable", "The test is over"));
      await idle();
    },
  };
}

function openTcp(services: Services, options?: WireOptions): Promise<Wire> {
  return openServer(services, "tcp@127.0.0.1:0", (port) => RawPeer.dial(port), options);
}

/** Lays a wire to a whole server. */
async function openServer(
  services: Services,
  listenAddress: string,
  dial: (port: number) => Promise<RawPeer>,
  { peerMaxFrameBytes: maxFrameBytes, ...options }: WireOptions = {},
): Promise<Wire> {
  const log: string[] = [];
  const server = new Server({
    ...options,
    log: (message, error) => log.push(`${message} ${error instanceof Error ? error.message : ""}`),
  });
  for (const [name, methods] of Object.entries(services)) server.register(name, methods);
  const { address } = await server.listen(listenAddress);
  const peers: RawPeer[] = [];
  const another = async () => {
    const peer = await dial(portOf(address));
    peers.push(peer);
    await peer.send(
      maxFrameBytes === undefined ? OPTION : `${JSON.stringify({ magicNumber: 3927900, maxFrameBytes })}\n`,
    );
    assertEquals(JSON.parse((await peer.line())!).version, 1);
    return peer;
  };
  return {
    peer: await another(),
    log,
    another,
    limits: () => server.stats().limits,
    stats: (method) => server.stats().methods.find((each) => each.method === method)!,
    idle: () => until(() => server.stats().connections === 0, "no connection to be left"),
    async [Symbol.asyncDispose]() {
      for (const peer of peers) peer.close();
      await server.close();
    },
  };
}

/** The port of an address. */
export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1).split("/", 1)[0]);
}

/** Shows that a connection lives: one call of `Echo.echo` is answered. */
export async function assertLives(peer: RawPeer, seq: number): Promise<void> {
  await peer.send(call(seq, "Echo.echo", `call ${seq}`));
  const reply = await peer.frame();
  assertEquals([reply?.header, reply && bodyOf(reply)], [headerOf.reply(seq), `call ${seq}`]);
}

/** Shows that all before it has been seen: whatever was sent has been read when the Pong is there. */
export async function pingPong(peer: RawPeer, n: number): Promise<Frame[]> {
  await peer.send(ping(n));
  const before: Frame[] = [];
  for (;;) {
    const next = await peer.frame();
    if (next === null) throw new Error("The end came in place of a Pong");
    if (next.kind === Kind.pong && next.seq === n) return before;
    before.push(next);
  }
}

/** Shows that the other side says GoAway with `code` and then ends, and returns what it said before. */
export async function assertGoAway(peer: RawPeer, code: string, lastSeq?: number): Promise<Frame[]> {
  const frames = await peer.rest();
  const last = frames.pop();
  assertEquals(
    [last?.kind, last?.header[2]],
    [Kind.goAway, code],
    `in place of GoAway: ${JSON.stringify(last)}`,
  );
  if (lastSeq !== undefined) assertEquals(last?.seq, lastSeq);
  return frames;
}
