// Two sessions that talk to each other, over memory and over TCP: every promise of a session is tested over both.

import { calleeWith } from "../../session/callee.ts";
import { AlarmClock } from "../../session/alarm_clock.ts";
import { assertEquals, fail } from "@std/assert";
import type { Handler } from "../../call/handler.ts";
import { type Code, RpcError } from "../../call/error.ts";
import { toMetadata } from "../../call/metadata.ts";
import { CborCodec } from "../../codec/cbor.ts";
import { KeyCache } from "../../codec/key_cache.ts";
import type { CallOptions } from "../../call/call_options.ts";
import { CallStream, endsAtOnce } from "../../session/call_stream.ts";
import { ServiceTable } from "../../call/service.ts";
import type { Conn } from "../../transport/conn.ts";
import { type SessionLimits, sessionLimits } from "../../session/limits.ts";
import { RecvStream } from "../../session/recv_stream.ts";
import { connPair } from "../../testing/sim_conn.ts";
import { CallBodies, MAX_HELD_BYTES } from "../../session/call_body.ts";
import { windowBudget } from "../../session/window_budget.ts";
import { Session } from "../../session/session.ts";
import { LimitCounters } from "../../session/limit_counters.ts";
import { dialTcp, listenTcp } from "../../transport/tcp.ts";

/** A Conn that counts what it writes and can be broken. */
export class Tap implements Conn {
  readonly peer: string;
  readonly buffersUnread: boolean | undefined;
  /** Bytes written so far. */
  written = 0;
  /** What the next write fails with, if anything. */
  writeError: Error | undefined;
  readonly #conn: Conn;

  constructor(conn: Conn) {
    this.#conn = conn;
    this.peer = conn.peer;
    this.buffersUnread = conn.buffersUnread;
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    return this.#conn.read(into);
  }

  async write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    if (this.writeError !== undefined) throw this.writeError;
    const count = await this.#conn.write(from);
    this.written += count;
    return count;
  }

  closeWrite(fault?: boolean): Promise<void> {
    return this.#conn.closeWrite(fault);
  }

  /** Also what a lost connection looks like to the session that holds this end. */
  close(): void {
    this.#conn.close();
  }
}

async function tcpPair(): Promise<[Conn, Conn]> {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  const [accepted, dialled] = await Promise.all([
    listener.accept(),
    dialTcp({ hostname: "127.0.0.1", port: listener.port }),
  ]);
  listener.close();
  return [dialled, accepted!];
}

/** What the two sessions are made with. */
export interface PairOptions {
  /** What the accepting side answers, as the service `S`. */
  methods?: Record<string, Handler>;
  /** What the dialling side answers, as the service `S`; absent = nothing. */
  callbacks?: Record<string, Handler>;
  /** Of both sides. */
  limits?: Partial<SessionLimits>;
  /** Of the accepting side, in ms. */
  handleTimeout?: number;
  /** Of the accepting side. */
  log?: (message: string, error?: unknown) => void;
}

/** Both sides of one connection. */
export class Pair implements AsyncDisposable {
  readonly dialled: Session;
  readonly accepted: Session;
  readonly dialledConn: Tap;
  readonly acceptedConn: Tap;
  readonly table = new ServiceTable();

  constructor(conns: [Conn, Conn], options: PairOptions) {
    const limits = sessionLimits(options.limits ?? {});
    const callbacks = new ServiceTable();
    this.table.register("S", { echo: (args: unknown) => args, ...options.methods });
    if (options.callbacks !== undefined) callbacks.register("S", options.callbacks);
    const agreement = {
      codec: new CborCodec(),
      peerMaxFrameBytes: limits.maxFrameBytes,
      peerMaxInFlight: limits.maxInFlight,
      handleTimeout: 0,
    };
    const common = {
      prefix: new Uint8Array(0),
      limits,
      counters: new LimitCounters(),
      clock: new AlarmClock(),
      bodies: new CallBodies(MAX_HELD_BYTES),
      windows: windowBudget({}),
      names: new KeyCache(),
    };
    this.dialledConn = new Tap(conns[0]);
    this.acceptedConn = new Tap(conns[1]);
    this.dialled = new Session(this.dialledConn, {
      ...common,
      agreement,
      dialled: true,
      createCallee: options.callbacks === undefined ? undefined : calleeWith((name) => callbacks.find(name)),
    });
    this.accepted = new Session(this.acceptedConn, {
      ...common,
      agreement: { ...agreement, handleTimeout: options.handleTimeout ?? 0 },
      dialled: false,
      createCallee: calleeWith((name) => this.table.find(name)),
      log: options.log,
    });
  }

  /** Calls a method of the accepting side's service `S`. */
  call(method: string, args?: unknown, options?: CallOptions): Promise<unknown> {
    return callOver(this.dialled, `S.${method}`, args, options);
  }

  /** As `call`, for an answer that is a stream. */
  stream<T>(
    method: string,
    args?: unknown,
    options?: CallOptions,
    replyMetadata?: Map<string, string | Uint8Array>,
  ): CallStream<T> {
    return streamOver(this.dialled, `S.${method}`, args, options, replyMetadata);
  }

  /** Whether neither side has anything to do with any call. */
  get idle(): boolean {
    const { dialled, accepted } = this;
    return dialled.pending + accepted.pending + dialled.running + accepted.running === 0;
  }

  /** Calls whose handlers the accepting side has started so far. */
  get started(): number {
    return this.table.stats().reduce((sum, { calls }) => sum + calls, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new RpcError("unavailable", "The test is over");
    this.dialled.close(reason);
    this.accepted.close(reason);
    await Promise.all([this.dialled.closed, this.accepted.closed]);
    assertEquals([this.dialled.pending, this.accepted.pending], [0, 0], "calls are left over");
  }
}

/** Calls a method over a session. */
export function callOver(
  session: Session,
  method: string,
  args?: unknown,
  options: CallOptions = {},
): Promise<unknown> {
  const { timeout = Infinity, signal, metadata } = options;
  const own = toMetadata(metadata);
  const deadline = performance.now() + timeout;
  return new Promise((resolve, reject) => {
    session.call({
      seq: 0,
      method,
      args,
      body: undefined,
      repeatable: false,
      deadline,
      signal,
      metadata: own,
      ownMetadata: own,
      recvStream: undefined,
      sendStream: undefined,
      resolve,
      reject,
    });
  });
}

/**
 * Calls a method over a session that answers with a stream, as a client does.
 *
 * @param replyMetadata Is given what comes with the answer
 */
export function streamOver<T>(
  session: Session,
  method: string,
  args?: unknown,
  options: CallOptions = {},
  replyMetadata?: Map<string, string | Uint8Array>,
): CallStream<T> {
  const { timeout = Infinity, signal, metadata } = options;
  const own = toMetadata(metadata);
  const recvStream = new RecvStream(replyMetadata);
  return new CallStream<T>(recvStream, () => {
    session.call({
      seq: 0,
      method,
      args,
      body: undefined,
      repeatable: false,
      deadline: performance.now() + timeout,
      signal,
      metadata: own,
      ownMetadata: own,
      recvStream,
      sendStream: undefined,
      resolve(result, metadata) {
        if (recvStream.closed) return;
        recvStream.push(result, 0);
        recvStream.end(metadata);
      },
      reject: (error) => recvStream.fail(error, endsAtOnce(error)),
    });
  });
}

/** Opens a pair of sessions. */
export type Open = (options?: PairOptions) => Promise<Pair>;

/** Registers a test of two sessions over each transport. */
export function testSession(promise: string, test: (open: Open) => Promise<void>): void {
  const transports = { memory: () => Promise.resolve(connPair()), tcp: tcpPair };
  for (const [name, connect] of Object.entries(transports)) {
    Deno.test(`session over ${name}: ${promise}`, () => {
      return test(async (options = {}) => new Pair(await connect(), options));
    });
  }
}

/** Waits for a call to fail with a code, and returns its error. */
export async function fails(call: Promise<unknown>, code: Code, message = ""): Promise<RpcError> {
  let error: unknown;
  try {
    const result = await call;
    error = new Error(`Expected ${code}, got the result ${Deno.inspect(result)}`);
  } catch (thrown) {
    error = thrown;
  }
  if (!(error instanceof RpcError)) fail(`Expected ${code}, got ${Deno.inspect(error)}`);
  assertEquals(error.code, code, error.message);
  if (!error.message.includes(message)) assertEquals(error.message, message);
  return error;
}

/** A handler, `wait`, that ends when its signal aborts, and what it was aborted with. */
export class Patient {
  started = 0;
  readonly reasons: unknown[] = [];

  readonly wait: Handler = (_, { signal }) => {
    this.started++;
    return new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => {
        this.reasons.push(signal.reason);
        resolve();
      });
    });
  };
}
