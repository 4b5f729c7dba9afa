// The options of a server: checks them and fills in the defaults.

import { checkOptions, listed, type Names } from "../call/check_options.ts";
import type { RpcError } from "../call/error.ts";
import type { Codec } from "../codec/codec.ts";
import { CodecTable } from "../codec/table.ts";
import { MAX_DELAY } from "../discovery/clock.ts";
import { checkNetwork, type Network } from "../transport/conn.ts";
import { type Observers, observersOf } from "../telemetry/observers.ts";
import type { TelemetryOptions } from "../telemetry/telemetry_options.ts";
import type { Authenticate } from "../session/handshake.ts";
import { LIMIT_NAMES, type SessionLimits, sessionLimits, whole, wholeOrInfinity } from "../session/limits.ts";
import type { Lifetime } from "../session/lifetime.ts";
import { type WindowBudget, windowBudget } from "../session/window_budget.ts";
import { checkServerTls, type ServerTlsOptions } from "../transport/tls.ts";
import { AllowedOrigins } from "./allowed_origins.ts";
import { checkVisibility, type Visibility, type VisibilityRule } from "../monitoring/visibility.ts";

/** Options of a {@linkcode Server}. Times in ms, sizes in bytes. */
export interface ServerOptions extends Partial<SessionLimits> {
  /**
   * Concurrent connections, including those in their handshake. Beyond it, the oldest handshake is refused with
   * `resource_exhausted` or, if there is no handshake, the new connection: silent connections cannot block others.
   *
   * @default {10_000}
   */
  maxConnections?: number;
  /**
   * Concurrent connections from one IP address (IPv6: from one /64 network). A new connection beyond it is refused with
   * `resource_exhausted`. Unix sockets do not count.
   *
   * No limit by default: behind a proxy or a NAT many clients share one address, and a limit that suits one deployment
   * is an outage in another. Set it where clients connect directly.
   *
   * @default {Infinity}
   */
  maxConnectionsPerPeer?: number;
  /**
   * Running handlers of all connections together. A call beyond it is refused with `resource_exhausted`. A handler that
   * ignores its `signal` counts until it returns, even if its connection has ended. When seven eighths are taken, no
   * peer (an identity, or an IP address) gets more than its share while other peers call.
   *
   * @default {32_768}
   */
  maxInFlightTotal?: number;
  /**
   * Credit that the streams of all connections may hold beyond their initial windows, in bytes. One that finds none left
   * returns to its initial window.
   *
   * @default {268_435_456}
   */
  maxWindowBytesTotal?: number;
  /**
   * How long a handler may wait for its caller, for credit or for arguments, while more than seven eighths of
   * `maxInFlightTotal` are taken. After that its call ends with `resource_exhausted`. Below seven eighths, a handler
   * may wait until the call's deadline.
   *
   * @default {10_000}
   */
  stallTimeout?: number;
  /**
   * How long a handshake may take, however many bytes arrive meanwhile.
   *
   * @default {5_000}
   */
  handshakeTimeout?: number;
  /**
   * How long a connection may last, from its handshake on, ±10 %. Then the server asks the client to use another one, and
   * closes it when the calls that it has accepted have ended. Clients open the next connection shortly before, so that no
   * call waits: behind a balancer of connections, new servers get their share within this time. Infinity = no limit.
   *
   * @default {Infinity}
   */
  maxConnectionAge?: number;
  /**
   * How long a connection may go without a call, ±10 %; it may last a quarter longer. Then the server closes it, and the
   * client opens another for its next call. Infinity = no limit.
   *
   * @default {Infinity}
   */
  maxConnectionIdle?: number;
  /**
   * How long a handler may work on one call; Infinity = no limit. A client may ask for less.
   *
   * @default {Infinity}
   */
  handleTimeout?: number;
  /**
   * Codecs in addition to `application/cbor` and `application/json`, or replacing them, such as
   * `new CborCodec({ maxItems: 1_000_000 })`.
   */
  codecs?: Iterable<Codec>;
  /**
   * Decides which clients may connect, such as `oneOfTokens([…])`, and may return the client's identity. Without it,
   * every client may connect. The library never writes a token anywhere. What this function throws goes to `log`, so it
   * should not contain a token either.
   */
  authenticate?: Authenticate;
  /**
   * Whether clients may call the built-in service `rpc.Reflection`: it returns the names of services and methods, their
   * schemas, and the result of `stats()`. See `Reflection`. The command line uses it for `list`, `describe` and `top`.
   *
   * @default {true}
   */
  reflection?: boolean;
  /** The server's certificate and key, for `tls@` addresses. */
  tls?: ServerTlsOptions;
  /** Makes connections instead of sockets, such as a simulated network for tests. */
  network?: Network;
  /**
   * What is reported to OpenTelemetry, if that is on: spans and durations of calls. See docs/TELEMETRY.md.
   *
   * @default {true}
   */
  telemetry?: boolean | TelemetryOptions;
  /**
   * Maps an error that a handler threw to one for the caller. Without it, or where it returns undefined, an error that
   * is not an `RpcError` reaches the caller as `internal` with a fixed message.
   */
  mapError?: (error: unknown) => RpcError | undefined;
  /**
   * What requests may see at `/debug/rpc` and `/metrics`, where {@linkcode Server.fetch} or an `http@` address serves
   * them: `true`, everything; `"figures"`, method names, counts and latencies, but no connections, no running calls and
   * no sources of `show`; `false`, nothing. A function decides for each request, for example by its `Authorization`
   * header.
   *
   * By default, requests from this machine see everything, all others the figures. Requests through a proxy on this
   * machine that sends no forwarding header count as requests from this machine.
   *
   * @example Everything for requests with the token
   * ```ts
   * import { oneOfTokens, Server } from "@troodon/rpc";
   *
   * const isRight = oneOfTokens(["secret"]);
   * new Server({
   *   monitoring: (request) => isRight(request.headers.get("authorization")?.replace(/^Bearer /, "")),
   * });
   * ```
   */
  monitoring?: Visibility | VisibilityRule;
  /**
   * The origins whose web pages may open a WebSocket, such as
   * `["https://app.example.com"]`; `"*"` = all origins. Clients outside of browsers send no `Origin`, and need none.
   *
   * By default only the server's own origin: the `Origin` header must have the host and port of the `Host` header.
   */
  origins?: Iterable<string> | "*";
  /** Receives messages for operators. Silent by default. */
  log?: (message: string, error?: unknown) => void;
}

const NAMES: Names<ServerOptions> = {
  ...LIMIT_NAMES,
  maxConnections: true,
  maxConnectionsPerPeer: true,
  maxInFlightTotal: true,
  maxWindowBytesTotal: true,
  stallTimeout: true,
  handshakeTimeout: true,
  maxConnectionAge: true,
  maxConnectionIdle: true,
  handleTimeout: true,
  codecs: true,
  authenticate: true,
  reflection: true,
  tls: true,
  mapError: true,
  monitoring: true,
  origins: true,
  log: true,
  network: true,
  telemetry: true,
};

/** The options of a server, complete. */
export interface ServerSettings {
  readonly limits: SessionLimits;
  readonly maxConnections: number;
  readonly maxConnectionsPerPeer: number;
  readonly maxInFlightTotal: number;
  /** `maxWindowBytesTotal` */
  readonly windows: WindowBudget;
  readonly stallTimeout: number;
  readonly handshakeTimeout: number;
  readonly lifetime: Lifetime | undefined;
  readonly handleTimeout: number;
  readonly codecs: CodecTable;
  readonly reflection: boolean;
  readonly tls: ServerTlsOptions | undefined;
  readonly network: Network | undefined;
  readonly monitoring: false | VisibilityRule;
  readonly origins: AllowedOrigins;
  readonly observers: Observers | undefined;
}

/**
 * Checks and completes the options.
 *
 * @throws {RangeError} If a number is out of range
 * @throws {TypeError} If an option is unknown or of the wrong type, or a codec cannot be registered
 */
export function serverSettings(options: ServerOptions): ServerSettings {
  checkOptions("create server", options, NAMES);
  const codecs = CodecTable.standard(listed("codecs", options.codecs));
  const { reflection = true } = options;
  if (typeof reflection !== "boolean") {
    throw new TypeError("Cannot use reflection: expected true or false");
  }
  return {
    limits: sessionLimits(options),
    maxConnections: whole("maxConnections", options.maxConnections ?? 10_000, 1),
    maxConnectionsPerPeer: wholeOrInfinity(
      "maxConnectionsPerPeer",
      options.maxConnectionsPerPeer ?? Infinity,
    ),
    windows: windowBudget(options),
    maxInFlightTotal: whole("maxInFlightTotal", options.maxInFlightTotal ?? 32_768, 1),
    stallTimeout: whole("stallTimeout", options.stallTimeout ?? 10_000, 1, MAX_DELAY),
    handshakeTimeout: whole("handshakeTimeout", options.handshakeTimeout ?? 5_000, 1, MAX_DELAY),
    lifetime: lifetimeOf(options),
    handleTimeout: wholeOrInfinity("handleTimeout", options.handleTimeout ?? Infinity),
    codecs,
    reflection,
    tls: options.tls === undefined ? undefined : checkServerTls(options.tls),
    network: checkNetwork(options.network),
    monitoring: checkVisibility(options.monitoring),
    origins: new AllowedOrigins(options.origins),
    observers: observersOf(options.telemetry),
  };
}

/** How long connections last; undefined if there is no limit. */
function lifetimeOf({ maxConnectionAge = Infinity, maxConnectionIdle = Infinity }: ServerOptions) {
  const maxAge = wholeOrInfinity("maxConnectionAge", maxConnectionAge);
  const maxIdle = wholeOrInfinity("maxConnectionIdle", maxConnectionIdle);
  return maxAge === Infinity && maxIdle === Infinity ? undefined : { maxAge, maxIdle };
}

/** Checks an option that is a function. */
export function checkHook<F>(name: string, hook: F | undefined): F | undefined {
  if (hook !== undefined && typeof hook !== "function") {
    throw new TypeError(`Cannot use ${name}: expected a function`);
  }
  return hook;
}
