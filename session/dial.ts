// From an address to a Session on the dialing side: connects, by TLS, WebSocket or HTTP CONNECT as the address says, and
// shakes hands, all within one time limit. Used by the client's channels. Runs in browsers too, over ws@ and wss@.

import type { AlarmClock } from "./alarm_clock.ts";
import { deferred } from "../call/deferred.ts";
import { ofCall, RpcError } from "../call/error.ts";
import type { Codec } from "../codec/codec.ts";
import { wireLimit } from "../codec/handshake_line.ts";
import type { KeyCache } from "../codec/key_cache.ts";
import { parseAddress, urlHost } from "../discovery/endpoint.ts";
import { advised } from "../transport/wrong_protocol.ts";
import type { CallBodies } from "./call_body.ts";
import type { CreateCallee } from "./callee_half.ts";
import type { Conn } from "../transport/conn.ts";
import type { Dialer } from "../transport/dialer.ts";
import type { EarlyCalls, EarlyCallsFactory } from "./early_calls.ts";
import { type Agreement, requestHandshake } from "./handshake.ts";
import { mostHeld, type SessionLimits } from "./limits.ts";
import { LineReader } from "../transport/line_reader.ts";
import { textOf } from "./frame_writer.ts";
import { isWithin, type Reach, type Token } from "../transport/secure.ts";
import { Session } from "./session.ts";
import type { SessionOptions } from "./session_options.ts";
import type { WindowBudget } from "./window_budget.ts";
import type { LimitCounters } from "./limit_counters.ts";
import type { ConnectTlsOptions } from "../transport/tls.ts";

/** How a client dials. Times in ms. */
export interface DialOptions {
  readonly codec: Codec;
  readonly limits: SessionLimits;
  readonly counters: LimitCounters;
  /** Wakes the client's sessions. */
  readonly clock: AlarmClock;
  /** Keeps the encoded arguments of the client's calls. */
  readonly bodies: CallBodies;
  /** The credit that the client's streams may hold beyond their initial windows. */
  readonly windows: WindowBudget;
  readonly names: KeyCache;
  /** Time limit of connecting and the handshake together; Infinity = no limit. */
  readonly connectTimeout: number;
  /** The time limit requested for each call at the server; Infinity = the server's own limit. */
  readonly handleTimeout: number;
  readonly token: Token | undefined;
  /** Which addresses may be dialled. */
  readonly reach: Reach;
  /** Creates the half of a session that answers calls back; absent = the client answers none. */
  readonly createCallee?: CreateCallee;
  readonly tls: ConnectTlsOptions;
  /** For calls that leave with the handshake; absent in browsers, whose bundles do without, since WebSockets have none. */
  readonly earlyCalls: EarlyCallsFactory | undefined;
  /** Opens connections: over sockets, in a browser over its WebSockets, or over the option `network`. */
  readonly dialer: Dialer;
  readonly log?: (message: string, error?: unknown) => void;
}

const NOT_ENCRYPTED = "a client with a token, or with the option tls or secure, connects only over TLS; " +
  "use tls@ or wss@, or pass secure: false";

/** The transports over which calls may leave before the server has answered the handshake. */
const EARLY: ReadonlySet<string> = new Set(["tcp", "tls", "unix"]);

/** What a dial and its session report to the channel. */
export interface DialEvents extends Pick<SessionOptions, "room" | "draining" | "ended"> {
  /** Called when calls can be made that leave with the handshake; absent = none do. If the dial fails, they are ended by the channel. */
  readonly early?: (calls: EarlyCalls) => void;
}

/**
 * Dials an address.
 *
 * @param signal Aborts the attempt
 * @throws {RpcError} The server's refusal; `failed_precondition` if the client's options allow no connection to the
 * address; else `unavailable`, also after `connectTimeout`. It names the address, and says that no call was started. Never `deadline_exceeded`, even if the server says so: that code is for calls
 */
export async function dial(
  address: string,
  options: DialOptions,
  events: DialEvents,
  signal: AbortSignal,
): Promise<Session> {
  const { early: offer, ...sessionEvents } = events;
  const { codec, limits, counters, clock, bodies, windows, names, connectTimeout, createCallee, log } =
    options;
  const parsed = parseAddress(address);
  if (!isWithin(options.reach, parsed)) {
    throw failure("failed_precondition", address, NOT_ENCRYPTED, undefined);
  }
  const stop = new AbortController();
  let late = false;
  let conn: Conn | undefined;
  const giveUp = () => {
    stop.abort();
    conn?.close();
  };
  const timer = connectTimeout === Infinity ? undefined : setTimeout(() => {
    late = true;
    giveUp();
  }, connectTimeout);
  signal.addEventListener("abort", giveUp);
  try {
    const token = await currentToken(options.token, stop.signal);
    conn = await options.dialer(parsed, { tls: options.tls, maxHeld: mostHeld(limits) }, stop.signal);
    const reader = new LineReader(conn);
    if (stop.signal.aborted) throw stop.signal.reason;
    if (parsed.transport === "http") {
      const { requestHttp } = await import("../transport/http.ts");
      await requestHttp(conn, reader, parsed.path, `${urlHost(parsed.hostname)}:${parsed.port}`);
    }
    // The calls follow the option, which is written before they learn of this.
    const mayBeEarly = offer !== undefined && EARLY.has(parsed.transport);
    const early = mayBeEarly ? options.earlyCalls?.(conn, codec, clock) : undefined;
    if (early !== undefined) offer?.(early);
    const asked = performance.now();
    const agreement: Agreement = await requestHandshake(
      conn,
      reader,
      {
        codecType: codec.name,
        connectTimeout: wireLimit(connectTimeout),
        handleTimeout: wireLimit(options.handleTimeout),
        maxFrameBytes: limits.maxFrameBytes,
        token,
      },
      codec,
      early,
    );
    const handshakeTime = performance.now() - asked;
    await early?.stop();
    if (stop.signal.aborted) throw stop.signal.reason;
    const session = new Session(conn, {
      agreement,
      dialled: true,
      handshakeTime,
      prefix: reader.rest(),
      limits,
      counters,
      clock,
      bodies,
      windows,
      names,
      createCallee,
      log,
      ...sessionEvents,
    });
    early?.handOver(session);
    return session;
  } catch (error) {
    conn?.close();
    if (signal.aborted) throw failure("unavailable", address, "the client was closed", signal.reason);
    if (late) {
      throw failure("unavailable", address, `no answer within ${connectTimeout} ms (connectTimeout)`, error);
    }
    const code = error instanceof RpcError && error.code !== "deadline_exceeded" ? error.code : "unavailable";
    throw failure(code, address, textOf(error), error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}

/**
 * The token for this attempt.
 *
 * @throws {RpcError} `unauthenticated` if the application's function fails, or returns something other than text
 */
async function currentToken(token: Token | undefined, signal: AbortSignal): Promise<string | undefined> {
  if (typeof token !== "function") return token;
  const stopped = deferred<never>();
  const stop = () => stopped.reject(signal.reason);
  signal.addEventListener("abort", stop);
  try {
    const value = await Promise.race([token(), stopped.promise]);
    if (typeof value === "string") return value;
    throw new TypeError("it did not return text");
  } catch (error) {
    if (signal.aborted) throw error;
    const message = `the function that is the option token failed: ${textOf(error)}`;
    throw new RpcError("unauthenticated", message, { cause: error });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function failure(code: RpcError["code"], address: string, message: string, cause: unknown): RpcError {
  const remote = cause instanceof RpcError && cause.remote;
  const error = new RpcError(code, `Cannot connect to ${address}: ${advised(message)}`, {
    cause,
    remote,
    notStarted: true,
  });
  ofCall(error, undefined, address);
  return error;
}
