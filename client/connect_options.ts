// The options of `connect`: checks them and fills in the defaults.

import { AlarmClock } from "../session/alarm_clock.ts";
import { checkOptions, listed, type Names } from "../call/check_options.ts";
import { checkTimeout, type FailMode } from "../call/call_options.ts";
import type { Interceptor } from "../call/interceptor.ts";
import { safeLog } from "../call/log.ts";
import type { Codec } from "../codec/codec.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { DEFAULT_CODEC } from "../codec/handshake_line.ts";
import { CborCodec } from "../codec/cbor.ts";
import type { Balancer } from "../discovery/balancer.ts";
import type { BalancerName } from "../discovery/create_balancer.ts";
import type { EjectionOptions } from "../discovery/ejection.ts";
import { MAX_DELAY } from "../discovery/clock.ts";
import { CallBodies, MAX_HELD_BYTES } from "../session/call_body.ts";
import { checkNetwork, type Network } from "../transport/conn.ts";
import type { Dialer } from "../transport/dialer.ts";
import type { DialOptions } from "../session/dial.ts";
import type { EarlyCallsFactory } from "../session/early_calls.ts";
import type { ClientObserver } from "../call/call_observer.ts";
import { checkTelemetry, type TelemetryOptions } from "../telemetry/telemetry_options.ts";
import type { Observers } from "../telemetry/observers.ts";
import { registered } from "../telemetry/registered.ts";
import { LIMIT_NAMES, type SessionLimits, sessionLimits, whole, wholeOrInfinity } from "../session/limits.ts";
import { sendsToken } from "../call/tokens.ts";
import { reachOf } from "../transport/secure.ts";
import { LimitCounters } from "../session/limit_counters.ts";
import { windowBudget } from "../session/window_budget.ts";
import { checkConnectTls, type ConnectTlsOptions } from "../transport/tls.ts";
import { checkFailMode } from "./fail_mode.ts";
import type { SessionPool } from "./session_pool.ts";
import { RetryBudget, type RetryBudgetOptions } from "./retry_budget.ts";

/** Options of `connect`. Times in ms, sizes in bytes. */
export interface ConnectOptions extends Partial<SessionLimits> {
  /**
   * The codec of arguments and results, by its media type.
   *
   * @default {"application/cbor"}
   */
  codecType?: string;
  /**
   * Codecs in addition to `application/cbor` and `application/json`, or replacing them, such as
   * `new CborCodec({ maxItems: 1_000_000 })`.
   */
  codecs?: Iterable<Codec>;
  /**
   * How long connecting to a server may take, handshake included; Infinity = no limit.
   *
   * @default {10_000}
   */
  connectTimeout?: number;
  /**
   * Timeout of calls that set none themselves; Infinity = no limit.
   *
   * @default {30_000}
   */
  timeout?: number;
  /**
   * How long servers may work on one call; Infinity = no limit. A server's own `handleTimeout` holds as well.
   *
   * @default {Infinity}
   */
  handleTimeout?: number;
  /**
   * Bytes of encoded arguments that the client may keep: of calls that wait to be sent, and of calls that may be sent
   * again. While it keeps more, further calls fail with `resource_exhausted`, `notStarted`.
   *
   * @default {268_435_456}
   */
  maxHeldBytes?: number;
  /**
   * Credit that the streams of all the client's connections may hold beyond their initial windows, in bytes.
   *
   * @default {268_435_456}
   */
  maxWindowBytesTotal?: number;
  /**
   * Connections to each server, 1 to 64. A call takes the one with the least load. Streams, and methods with messages of
   * more than 64 KiB, leave one connection to the other calls. Use 2 if small calls have to be fast during bulk transfers,
   * and more for servers whose processes share a port (`reusePort`).
   *
   * They are opened one after the other, and calls wait for the first only. Limits of a connection, such as `maxInFlight`,
   * apply to each. The server sees each as a peer of its own.
   *
   * @example Small calls during a download
   * ```ts
   * import { connect, Server } from "@troodon/rpc";
   *
   * await using server = new Server().register("Files", {
   *   size: () => 67_108_864,
   *   read: async function* () {
   *     for (let part = 0; part < 1024; part++) yield new Uint8Array(65_536);
   *   },
   * });
   * const { address } = await server.listen("tcp@127.0.0.1:0");
   *
   * await using client = await connect(address, { connections: 2 });
   * for await (const part of client.stream<Uint8Array>("Files.read")) {
   *   console.log(part.length, "of", await client.call("Files.size")); // over another connection
   *   break;
   * }
   * ```
   *
   * @default {1}
   */
  connections?: number;
  /**
   * The balancer, which picks the server of each call.
   *
   * @default {"round_robin"}
   */
  balancer?: BalancerName | Balancer;
  /**
   * What the client does about a server that fails, for calls without a `failMode` of their own.
   *
   * @default {"failover"}
   */
  failMode?: FailMode;
  /**
   * How many calls may be sent again; false = any number.
   *
   * @default {a fifth of the calls, and 100 in ten seconds}
   */
  retryBudget?: RetryBudgetOptions | false;
  /**
   * When servers that fail are ejected, and for how long; false = never.
   *
   * @default {after 5 failures in a row, for 1 second at first}
   */
  ejection?: EjectionOptions | false;
  /**
   * Services that servers may call over the client's connections, through their handlers' `context.peer`: objects or
   * instances by service name, under the same rules as those of `Server.register`.
   */
  services?: Readonly<Record<string, object>>;
  /** Interceptors around every call, the first one outermost. */
  interceptors?: Iterable<Interceptor>;
  /**
   * A credential, which the handshake sends to the server's `authenticate`; or a function that returns it. The function
   * is called at every dial, so that it can renew a token that expires. If it fails, or takes longer than
   * `connectTimeout`, the dial fails. The token is sent to other machines over TLS only, unless `secure` is false.
   *
   * @example A token that expires
   * ```ts
   * import { connect, oneOfTokens, Server } from "@troodon/rpc";
   *
   * await using server = new Server({ authenticate: oneOfTokens(["fresh"]) });
   * server.register("Echo", { echo: (value: string) => value });
   * const { address } = await server.listen("tcp@127.0.0.1:0");
   *
   * const fetchToken = () => Promise.resolve("fresh"); // of your identity provider
   * await using client = await connect(address, { token: fetchToken });
   * console.log(await client.call("Echo.echo", "hello"));
   * ```
   */
  token?: string | (() => string | Promise<string>);
  /**
   * Whether the client connects only over TLS (`tls@`, `wss@`) and Unix sockets (`unix@`), whatever addresses a
   * registry lists. Other addresses fail with `unavailable`, and calls go to the remaining ones.
   *
   * By default, true for clients with `tls`. Also true for clients with a `token`, or with `sendToken` among their
   * interceptors, except for addresses of this machine (`localhost`, 127.0.0.0/8, `::1`). Otherwise false. If an
   * interceptor of your own sends a token, set this option, since the client does not know about that token.
   *
   * @default {true with tls; with a token, but for this machine; else false}
   */
  secure?: boolean;
  /**
   * The authorities to trust, and the client's certificate, for addresses with TLS. By default, those that Deno trusts.
   */
  tls?: ConnectTlsOptions;
  /** Makes connections instead of sockets, such as a simulated network for tests. */
  network?: Network;
  /**
   * What is reported to OpenTelemetry, if that is on: spans and durations of calls. See docs/TELEMETRY.md.
   *
   * @default {true}
   */
  telemetry?: boolean | TelemetryOptions;
  /** Receives messages for operators. Silent by default. */
  log?: (message: string, error?: unknown) => void;
}

/** The default balancer. */
export const DEFAULT_BALANCER = "round_robin";

/** The most connections to one server. */
const MAX_CONNECTIONS = 64;

const NAMES: Names<ConnectOptions> = {
  ...LIMIT_NAMES,
  codecType: true,
  codecs: true,
  connectTimeout: true,
  timeout: true,
  handleTimeout: true,
  maxHeldBytes: true,
  maxWindowBytesTotal: true,
  connections: true,
  balancer: true,
  failMode: true,
  retryBudget: true,
  ejection: true,
  services: true,
  interceptors: true,
  token: true,
  secure: true,
  tls: true,
  log: true,
  network: true,
  telemetry: true,
};

/** The options of a client, complete. */
export interface ClientSettings {
  readonly dial: DialOptions;
  readonly timeout: number;
  readonly observer: ClientObserver | undefined;
  readonly connectTimeout: number;
  /** Makes the pool of a channel; undefined if there is one connection to each server. */
  readonly newPool: (() => SessionPool) | undefined;
  readonly interceptors: readonly Interceptor[];
  readonly failMode: FailMode;
  readonly budget: RetryBudget;
  /** The balancer's name, for `stats()`. */
  readonly balancer: string;
  readonly ejection: EjectionOptions | false;
}

/**
 * Checks and completes the options, and loads what only some of them need.
 *
 * @param sockets Opens connections if there is no option `network`
 * @param earlyCalls For calls that leave with the handshake; absent = none do
 * @throws {RangeError} If a number is out of range
 * @throws {TypeError} If an option is unknown or of the wrong type, or the codec or the fail mode is unknown
 */
export async function clientSettings(
  options: ConnectOptions,
  sockets: Dialer,
  earlyCalls?: EarlyCallsFactory,
): Promise<ClientSettings> {
  checkOptions("connect", options, NAMES);
  const codec = await codecOf(options);
  const { token } = options;
  if (token !== undefined && typeof token !== "string" && typeof token !== "function") {
    throw new TypeError("Cannot use token: expected text, or a function that returns it");
  }
  const interceptors = listed("interceptors", options.interceptors);
  const log = safeLog(options.log);
  const observers = await observersOf(options.telemetry);
  const services = servicesOf(options);
  const network = checkNetwork(options.network);
  const bodies = new CallBodies(whole("maxHeldBytes", options.maxHeldBytes ?? MAX_HELD_BYTES, 1));
  const connectTimeout = wholeOrInfinity("connectTimeout", options.connectTimeout ?? 10_000, MAX_DELAY);
  return {
    dial: {
      codec,
      limits: sessionLimits(options),
      counters: new LimitCounters(),
      clock: new AlarmClock(),
      bodies,
      windows: windowBudget(options),
      names: new KeyCache(),
      connectTimeout,
      handleTimeout: wholeOrInfinity("handleTimeout", options.handleTimeout ?? Infinity),
      token,
      reach: reachOf(options, token !== undefined || interceptors.some(sendsToken)),
      tls: checkConnectTls(options.tls),
      earlyCalls,
      dialer: network === undefined ? sockets : (address, _, signal) => network.dial(address, signal),
      createCallee: services === undefined
        ? undefined
        : (await import("./client_services.ts")).answerWith(services, log, observers?.incoming),
      log,
    },
    timeout: checkTimeout(options.timeout ?? 30_000),
    observer: observers?.outgoing,
    connectTimeout,
    newPool: await poolOf(options, bodies),
    interceptors,
    failMode: options.failMode === undefined ? "failover" : checkFailMode(options.failMode),
    budget: new RetryBudget(options.retryBudget),
    balancer: balancerName(options.balancer),
    ejection: options.ejection ?? {},
  };
}

/** The name of a balancer, or of its class. */
function balancerName(balancer: BalancerName | Balancer = DEFAULT_BALANCER): string {
  if (typeof balancer === "string") return balancer;
  const name: unknown = balancer?.constructor?.name;
  return typeof name === "string" && name !== "" && name !== "Object" ? name : "custom";
}

/** The codec by its name, among the standard ones and those of the option `codecs`. */
async function codecOf({ codecs, codecType = DEFAULT_CODEC }: ConnectOptions): Promise<Codec> {
  if (codecs === undefined && codecType === DEFAULT_CODEC) return new CborCodec();
  const { CodecTable } = await import("../codec/table.ts");
  const table = CodecTable.standard(listed("codecs", codecs));
  const codec = table.get(codecType);
  if (codec !== undefined) return codec;
  throw new TypeError(
    `Cannot use codecType ${JSON.stringify(codecType)}: expected one of ${table.names.join(", ")}`,
  );
}

async function poolOf(
  { connections = 1 }: ConnectOptions,
  bodies: CallBodies,
): Promise<ClientSettings["newPool"]> {
  if (whole("connections", connections, 1, MAX_CONNECTIONS) === 1) return undefined;
  const { SessionPool } = await import("./session_pool.ts");
  return () => new SessionPool(connections, bodies);
}

async function observersOf(option: ConnectOptions["telemetry"]): Promise<Observers | undefined> {
  const settings = checkTelemetry(option);
  if (settings === undefined || registered() === undefined) return undefined;
  const { observersOf } = await import("../telemetry/observers.ts");
  return observersOf(settings);
}

/** The services that servers may call; undefined without any. */
function servicesOf({ services = {} }: ConnectOptions): Readonly<Record<string, object>> | undefined {
  if (typeof services !== "object" || services === null || Array.isArray(services)) {
    throw new TypeError("Cannot use services: expected an object with services by their names");
  }
  return Object.keys(services).length === 0 ? undefined : services;
}
