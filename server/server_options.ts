// What a server can be told, checked and completed in one place.

import { checkOptions, listed, type Names } from "../call/check_options.ts";
import type { RpcError } from "../call/error.ts";
import type { Codec } from "../codec/codec.ts";
import { CodecTable } from "../codec/table.ts";
import { MAX_DELAY } from "../discovery/clock.ts";
import { checkNetwork, type Network } from "../transport/conn.ts";
import { type Observers, observersOf } from "../telemetry/observers.ts";
import type { TelemetryOptions } from "../telemetry/telemetry_options.ts";
import type { Authenticate } from "../session/handshake.ts";
import { LIMIT_NAMES, type SessionLimits, sessionLimits, whole } from "../session/limits.ts";
import { checkServerTls, type ServerTlsOptions } from "../transport/tls.ts";
import { AllowedOrigins } from "./allowed_origins.ts";
import { checkVisibility, type Visibility, type VisibilityRule } from "../monitoring/visibility.ts";

/** Options of a {@linkcode Server}. Times in ms, sizes in bytes. */
export interface ServerOptions extends Partial<SessionLimits> {
  /**
   * Connections at once, those in their handshake included; the one too many is refused with `resource_exhausted`. While
   * some are still in their handshake, that is the one that has been in it for longest: silence keeps nobody out.
   *
   * @default {10_000}
   */
  maxConnections?: number;
  /**
   * Connections at once from one IP address (IPv6: from one network of 64 bits); the one too many is refused with
   * `resource_exhausted`. Unix sockets are not counted.
   *
   * It is off unless you set it: behind a proxy or a NAT very many clients share one address, and a limit that is good for
   * one deployment is an outage in another. Set it where clients come directly.
   *
   * @default {Infinity}
   */
  maxConnectionsPerPeer?: number;
  /**
   * Calls of all connections together whose handlers may be at work; the call too many is refused with
   * `resource_exhausted`. A handler that does not heed its `signal` counts until it returns, even if its connection is
   * gone. Of the last eighth no peer, which is an identity or else an IP address, gets more than its share while others
   * ask.
   *
   * @default {32_768}
   */
  maxInFlightTotal?: number;
  /**
   * How long a handler may wait for its caller, for credit or for arguments, while more than seven eighths of
   * `maxInFlightTotal` are taken: then its call ends with `resource_exhausted`. With fewer, it may wait as long as the call
   * may take.
   *
   * @default {10_000}
   */
  stallTimeout?: number;
  /**
   * How long a handshake may take, however its bytes come.
   *
   * @default {5_000}
   */
  handshakeTimeout?: number;
  /**
   * How long one call may be worked on, 0 = no limit. A client may ask for less.
   *
   * @default {0}
   */
  handleTimeout?: number;
  /**
   * Codecs besides `application/cbor` and `application/json`, or in their place: `new CborCodec({ maxItems: 1_000_000 })`
   * has limits of its own.
   */
  codecs?: Iterable<Codec>;
  /**
   * Decides who may connect, such as `oneOfTokens([…])`, and may say who it is; absent, everyone may. The library never
   * writes a token anywhere; what this throws goes to `log`, so it should not name one either.
   */
  authenticate?: Authenticate;
  /**
   * Whether the built-in service `rpc.Reflection` is answered, to whoever may call at all: it tells the names of services
   * and methods, their schemas, and what `stats()` returns. See `Reflection`; the command line needs it for `list`,
   * `describe` and `top`.
   *
   * @default {true}
   */
  reflection?: boolean;
  /** Who this server is, for addresses with `tls@`. */
  tls?: ServerTlsOptions;
  /** What connections are made of in the place of sockets, such as a simulated network for tests. */
  network?: Network;
  /**
   * What is told to OpenTelemetry, if that is on: spans and durations of calls. See docs/TELEMETRY.md.
   *
   * @default {true}
   */
  telemetry?: boolean | TelemetryOptions;
  /**
   * Makes an error of a handler's own kind one for its caller. Without it, and where it returns undefined, what is not
   * an `RpcError` arrives as `internal` with a fixed text.
   */
  mapError?: (error: unknown) => RpcError | undefined;
  /**
   * Who is shown what at `/debug/rpc` and `/metrics`, where {@linkcode Server.fetch} or an `http@` address serves them:
   * `true`, everything; `"figures"`, names of methods, counts and latencies, but not who is connected, what is being
   * called, nor what `show` was given; `false`, nothing. A function decides for each request; by `Authorization`, for one.
   *
   * Left out, requests from this machine are shown everything, all others the figures. A proxy on this machine that says
   * nothing of whom it forwards for makes everyone one of this machine.
   *
   * @example Everything, for whoever has the token
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
   * Of which origins pages in a browser may open a WebSocket, such as
   * `["https://app.example.com"]`; `"*"` = of all. Clients that are no pages send no `Origin` and are not asked for one.
   *
   * Left out, those of the server's own origin: whose `Origin` names the host and port that `Host` names.
   */
  origins?: Iterable<string> | "*";
  /** Told of what an operator may want to know. By default nobody is. */
  log?: (message: string, error?: unknown) => void;
}

const NAMES: Names<ServerOptions> = {
  ...LIMIT_NAMES,
  maxConnections: true,
  maxConnectionsPerPeer: true,
  maxInFlightTotal: true,
  stallTimeout: true,
  handshakeTimeout: true,
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

/** The options of a server with nothing left open. */
export interface ServerSettings {
  readonly limits: SessionLimits;
  readonly maxConnections: number;
  readonly maxConnectionsPerPeer: number;
  readonly maxInFlightTotal: number;
  readonly stallTimeout: number;
  readonly handshakeTimeout: number;
  readonly handleTimeout: number;
  readonly codecs: CodecTable;
  readonly reflection: boolean;
  readonly tls: ServerTlsOptions | undefined;
  readonly network: Network | undefined;
  readonly monitoring: false | VisibilityRule;
  readonly origins: AllowedOrigins;
  readonly watchers: Observers | undefined;
}

/**
 * Checks and completes the options.
 *
 * @throws {RangeError} If a number is out of its range
 * @throws {TypeError} If an option is unknown or of the wrong type, or a codec cannot be registered
 */
export function serverSettings(options: ServerOptions): ServerSettings {
  checkOptions("create server", options, NAMES);
  const codecs = CodecTable.standard(listed("codecs", options.codecs));
  const { reflection = true } = options;
  if (typeof reflection !== "boolean") {
    throw new TypeError("Cannot use reflection: expected true or false");
  }
  const perPeer = options.maxConnectionsPerPeer ?? Infinity;
  return {
    limits: sessionLimits(options),
    maxConnections: whole("maxConnections", options.maxConnections ?? 10_000, 1),
    maxConnectionsPerPeer: perPeer === Infinity ? perPeer : whole("maxConnectionsPerPeer", perPeer, 1),
    maxInFlightTotal: whole("maxInFlightTotal", options.maxInFlightTotal ?? 32_768, 1),
    stallTimeout: whole("stallTimeout", options.stallTimeout ?? 10_000, 1, MAX_DELAY),
    handshakeTimeout: whole("handshakeTimeout", options.handshakeTimeout ?? 5_000, 1, MAX_DELAY),
    handleTimeout: whole("handleTimeout", options.handleTimeout ?? 0, 0),
    codecs,
    reflection,
    tls: options.tls === undefined ? undefined : checkServerTls(options.tls),
    network: checkNetwork(options.network),
    monitoring: checkVisibility(options.monitoring),
    origins: new AllowedOrigins(options.origins),
    watchers: observersOf(options.telemetry),
  };
}
