// The server: services, the places where it listens, and the connections it has. What happens on a connection is a
// Session's; how one comes to be is acceptor.ts.

import { type Contract, isContract } from "../call/contract.ts";
import { checkOptions } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import { Health, type HealthStatus } from "../call/health.ts";
import { Reflection } from "../call/reflection.ts";
import type { Interceptor } from "../call/interceptor.ts";
import { type Log, sheltered } from "../call/log.ts";
import { MAX_DELAY } from "../discovery/clock.ts";
import { type Address, formatAddress, parseAddress } from "../discovery/endpoint.ts";
import type { Listener, ListeningOptions, Network } from "../transport/conn.ts";
import { methodNotAllowed, RPC_PATH } from "../transport/http.ts";
import { mostHeld, whole } from "../session/limits.ts";
import { eventLoop } from "../session/event_loop.ts";
import { requestUrl } from "../transport/request_url.ts";
import { adviceForOldDeno } from "../transport/runtime.ts";
import { LimitCounters } from "../session/limit_counters.ts";
import { listenTcp, listenUnix } from "../transport/tcp.ts";
import { renewedServerTls, type ServerTlsOptions } from "../transport/tls.ts";
import { listenTls, TlsListener } from "../transport/tls_listener.ts";
import { Acceptor } from "./acceptor.ts";
import { Entrance, type EntranceOptions } from "./entrance.ts";
import type { AllowedOrigins } from "./allowed_origins.ts";
import { type CheckedMethods, contractCheck, type ServiceHandlers } from "../call/contract_methods.ts";
import { intercepted } from "../call/intercept_incoming.ts";
import { DEBUG_PATH, Monitoring } from "../monitoring/monitoring.ts";
import { HEALTH_PATH, ServerHealth } from "./health.ts";
import { type ServerOptions, serverSettings } from "./server_options.ts";
import { reflection } from "./reflection_handlers.ts";
import { ServiceTable } from "../call/service.ts";
import { cachedFor, STATS_SHARED_FOR } from "../monitoring/cached_for.ts";
import { type StatsSource, StatsSources } from "../monitoring/stats_sources.ts";
import { activity } from "../monitoring/snapshot.ts";
import type { ServerSnapshot, ServerStats } from "../monitoring/server_stats.ts";
import { askerOf, type FetchInfo } from "../transport/unread_responses.ts";
import { asksForWebSocket, upgrade } from "./upgrade.ts";

/** A place where a server listens. */
export interface Listening extends AsyncDisposable {
  /**
   * The address to connect to, with the port that was chosen. Of `0.0.0.0` and `[::]`, which are all addresses of this
   * machine, clients elsewhere need one that is its own.
   */
  readonly address: string;
  /**
   * Takes another certificate, key or list of authorities, on `tls@` alone; what is left out stays as it is. It is for
   * connections that arrive from now on: those that there are stay open, with whatever certificate their client has.
   *
   * @param tls What is replaced
   * @throws {TypeError} If this is not `tls@`, or something in it is invalid; what was in use before stays in use
   */
  renew(tls: Partial<ServerTlsOptions>): void;
  /** Stops accepting there; connections that were accepted stay. Closing twice is fine. */
  close(): Promise<void>;
}

/** Options of {@linkcode Server.listen}. */
export interface ListenOptions {
  /**
   * Whether other processes may listen on the same port, so that a server can use several cores: the system gives each
   * connection to one of them, by its addresses, not by who has least to do (`SO_REUSEPORT`). All of them have to ask
   * for it. On Linux only, not for Unix sockets, and for `tcp@` and `http@` Deno has to run with `--unstable-net`.
   *
   * @default {false}
   */
  reusePort?: boolean;
}

/** Options of {@linkcode Server.shutdown}. */
export interface ShutdownOptions {
  /**
   * How long calls that were accepted may take to finish, in ms.
   *
   * @default {10_000}
   */
  grace?: number;
}

/**
 * Answers calls.
 *
 * @example A service, a server and a client
 * ```ts
 * import { connect, Server } from "@troodon/rpc";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = new Server();
 * server.register("Arith", { sum: ({ a, b }: { a: number; b: number }) => a + b });
 * const listening = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(listening.address);
 * assertEquals(await client.call("Arith.sum", { a: 1, b: 2 }), 3);
 * ```
 */
export class Server implements AsyncDisposable {
  /**
   * Answers HTTP requests: `/debug/rpc` with a page of what the server does (JSON if that is what the request accepts),
   * `/metrics` with the figures for Prometheus, `/healthz` with whether calls are accepted, `/_rpc_` with a WebSocket for clients that come by `ws@` or `wss@`,
   * everything else with an error. Made for `Deno.serve`, and what an `http@` address serves beside RPC. Never rejects.
   * The option `monitoring` says who is shown what.
   *
   * Pages of other origins may not open a WebSocket, but for those that the option `origins` names.
   */
  readonly fetch: (request: Request, info?: FetchInfo) => Promise<Response>;

  readonly #services: ServiceTable;
  readonly #interceptors: Interceptor[] = [];
  readonly #acceptor: Acceptor;
  readonly #entranceOptions: Omit<EntranceOptions, "slots">;
  /** Answers calls that arrive without a connection; created for the first entrance that needs it. */
  #entrance: Entrance | undefined;
  readonly #counters: LimitCounters;
  readonly #tls: ServerTlsOptions | undefined;
  readonly #log: Log | undefined;
  readonly #network: Network | undefined;
  readonly #monitoring: Monitoring;
  readonly #origins: AllowedOrigins;
  readonly #health: ServerHealth;
  readonly #shown: StatsSources;
  readonly #began = performance.now();
  /** Bytes that may wait to be read of one WebSocket. */
  readonly #maxHeld: number;
  readonly #listening = new Map<Listener, Promise<void>>();
  #acceptErrors = 0;
  /** Aborts when it begins to end. */
  readonly #stopping = new AbortController();
  #ending: Promise<void> | undefined;

  /**
   * Makes a server without services that listens nowhere yet.
   *
   * @param options Limits and hooks
   * @throws {RangeError} If a number is out of its range
   * @throws {TypeError} If an option is unknown or of the wrong type, or a codec cannot be registered
   */
  constructor(options: ServerOptions = {}) {
    const settings = serverSettings(options);
    const { limits, maxConnections, maxConnectionsPerPeer, handshakeTimeout } = settings;
    const { maxInFlightTotal, stallTimeout } = settings;
    const authenticate = checkHook("authenticate", options.authenticate);
    const log = sheltered(options.log);
    this.#log = log;
    this.#services = new ServiceTable(log, settings.watchers?.answered);
    const recent = cachedFor(STATS_SHARED_FOR, () => this.stats());
    this.#health = new ServerHealth(this.#services, this.#stopping.signal);
    const health = this.#health.handlers();
    this.#services.registerBuiltIn(Health, health, contractCheck(Health, health, log));
    if (settings.reflection) {
      const handlers = reflection(this.#services, recent, this.#stopping.signal);
      this.#services.registerBuiltIn(Reflection, handlers, contractCheck(Reflection, handlers, log));
    }
    this.#tls = settings.tls;
    this.#counters = new LimitCounters();
    this.#network = settings.network;
    this.#maxHeld = mostHeld(limits);
    this.#origins = settings.origins;
    this.#shown = new StatsSources(log);
    const source = { stats: recent, snapshot: () => this.snapshot() };
    this.#monitoring = new Monitoring(source, this.#shown, settings.monitoring, log);
    this.fetch = async (request, info) => {
      try {
        return this.#upgrade(request, info) ?? await this.#fetch(request, askerOf(info));
      } catch (error) {
        log?.("A request could not be answered", error);
        return new Response("The request could not be answered\n", { status: 500 });
      }
    };
    const mapError = checkHook("mapError", options.mapError);
    this.#entranceOptions = {
      limits,
      services: this.#services,
      counters: this.#counters,
      json: settings.codecs.get("application/json")!,
      authenticate,
      handleTimeout: settings.handleTimeout,
      mapError,
      log,
      fetch: this.fetch,
    };
    this.#acceptor = new Acceptor({
      terms: {
        codecs: settings.codecs,
        authenticate,
        answer: { ...limits, handleTimeout: settings.handleTimeout },
      },
      limits,
      counters: this.#counters,
      lookup: (name, peer) => this.#services.find(name, peer),
      fetch: (request, peer) => this.#fetch(request, peer),
      maxConnections,
      maxConnectionsPerPeer,
      handshakeTimeout,
      maxInFlightTotal,
      stallTimeout,
      endStalled: () => this.#entrance?.endStalled(stallTimeout),
      mapError,
      log,
    });
  }

  /** @ignore For entrances such as `web`: answers calls that arrive without a connection. */
  static entranceOf(server: Server): Entrance {
    if (!(#acceptor in server)) throw new TypeError("Cannot serve calls: expected a Server");
    if (server.#entrance !== undefined) return server.#entrance;
    const entrance = new Entrance({ ...server.#entranceOptions, slots: server.#acceptor.slots });
    server.#stopping.signal.addEventListener("abort", () => void entrance.drain(shuttingDown()));
    if (server.#stopping.signal.aborted) void entrance.drain(shuttingDown());
    return server.#entrance = entrance;
  }

  /**
   * Registers the functions of a plain object as the methods of a service.
   *
   * Own functions and those of its classes can be called from outside, but none whose name begins with `_` or `#`. With
   * a contract it is just the contract's methods, and what it says is checked at every call.
   *
   * A handler takes one argument and the context: `sum(a: number, b: number)` is not a handler.
   *
   * @typeParam S A contract's type, or text
   * @typeParam M The type of the object
   * @param service The service's name, such as `Arith`, which may have dots; or what `defineService` returned
   * @param methods The handlers by name; for a contract, an instance, or a plain object with nothing else to call
   * @returns This server
   * @throws {TypeError} If the name is invalid, is taken or begins with `rpc.`, there is nothing to call, a method takes
   *   more than one argument and the context, a method of the contract has no handler, or a handler no method
   */
  register<S extends string | Contract, M extends object = object>(
    service: S,
    methods: ServiceHandlers<S, M>,
  ): this;
  /**
   * Registers an instance under its class's name.
   *
   * @typeParam M Its type
   * @param instance Its public methods are what can be called
   * @returns This server
   * @throws {TypeError} If it has no class of its own, the name is taken, there is nothing to call, or a method takes more
   *   than one argument and the context
   */
  register<M extends object>(instance: M & CheckedMethods<M>): this;
  register(service: string | object, methods?: object): this {
    const contract = isContract(service) ? service : undefined;
    const target = typeof service === "string" || contract !== undefined ? methods : service;
    if (typeof target !== "object" || target === null) {
      const hint = typeof target === "function"
        ? ", such as an instance, not the class or function itself"
        : "";
      throw new TypeError(`Cannot register service: expected an object with methods${hint}`);
    }
    const name = typeof service === "string" ? service : contract?.name ?? className(target);
    const check = contract === undefined ? undefined : contractCheck(contract, target, this.#log);
    this.#services.register(name, target, contract, check);
    return this;
  }

  /**
   * Sets what `rpc.Health` and `/healthz` tell: for one service, or for the whole server. Calls are accepted all the same.
   * A server that shuts down is not serving, whatever is set.
   *
   * @param status The status; `serving` is the default
   * @param service The name of a registered service
   * @throws {TypeError} If the service is not registered, or the status is invalid
   */
  setHealth(status: HealthStatus, service?: string): void {
    this.#health.set(status, service);
  }

  /**
   * Puts an interceptor around the handlers of all services, those registered later included. The first one is the
   * outermost.
   *
   * @param interceptor See {@linkcode Interceptor}
   * @returns This server
   * @throws {TypeError} If it is no function
   */
  use(interceptor: Interceptor): this {
    if (typeof interceptor !== "function") throw new TypeError("Cannot use interceptor: expected a function");
    this.#interceptors.push(interceptor);
    this.#services.wrap((handler) => intercepted(this.#interceptors, handler));
    return this;
  }

  /**
   * Listens on an address: `tcp@host:port`, `tls@host:port` with the option `tls`, `unix@/path`, or
   * `http@host:port[/path]` for RPC over HTTP CONNECT on a port that also serves {@linkcode Server.fetch}. Port 0
   * takes a free one.
   *
   * @param address Where to listen; a server may listen in several places
   * @param options Whether the port is shared
   * @returns Where it listens, with the real port
   * @throws {TypeError} If that is no address to listen on, or its port cannot be shared here
   * @throws {Error} If the address is taken or not allowed
   */
  async listen(address: string, options: ListenOptions = {}): Promise<Listening> {
    checkOptions<ListenOptions>("listen", options, { reusePort: true });
    if (this.#ending !== undefined) throw new TypeError("Cannot listen: the server is closed");
    const parsed = parseAddress(address, { listen: true });
    let where = address;
    const trouble = (error: Error, first: boolean) => {
      this.#acceptErrors++;
      if (first) this.#log?.(`Accepts nothing on ${where} for now: ${error.message}`);
    };
    const advice = adviceForOldDeno();
    if (advice !== undefined) this.#log?.(advice);
    const listener = await this.#open(parsed, address, { trouble, reusePort: options.reusePort });
    where = formatAddress(parsed.transport === "unix" ? parsed : { ...parsed, port: listener.port });
    if (this.#ending !== undefined) {
      listener.close();
      throw new TypeError("Cannot listen: the server is closed");
    }
    const accepting = this.#accept(listener, parsed.transport === "http" ? parsed.path : undefined);
    this.#listening.set(listener, accepting);
    const close = async () => {
      listener.close();
      this.#listening.delete(listener);
      await accepting;
    };
    let tls = this.#tls;
    const renew = (changes: Partial<ServerTlsOptions>) => {
      if (!(listener instanceof TlsListener) || tls === undefined) {
        throw new TypeError(`Cannot renew ${where}: only tls@ addresses have a certificate`);
      }
      const renewed = renewedServerTls(tls, changes);
      try {
        listener.renew(renewed);
      } catch (error) {
        throw located(error, `Cannot renew ${where}`);
      }
      tls = renewed;
    };
    return {
      address: where,
      renew,
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  /**
   * Ends in good order: accepts nothing more, tells clients to call elsewhere, lets accepted calls finish, then closes.
   * Handlers that are not done when `grace` is over are aborted through their `signal`. Calling it again waits for
   * the same end.
   *
   * @throws {RangeError} If `grace` is out of its range
   * @throws {TypeError} If an option is unknown
   */
  shutdown(options: ShutdownOptions = {}): Promise<void> {
    checkOptions("shut down", options, { grace: true });
    const grace = whole("grace", options.grace ?? 10_000, 0, MAX_DELAY);
    return this.#ending ??= this.#shutdown(grace);
  }

  /** Ends now: calls that are not answered yet end with `unavailable`. Calling it again, or late, is fine. */
  async close(): Promise<void> {
    // While shutting down this cuts the grace short.
    const ending = this.#ending ??= this.#stop();
    this.#closeSessions("The server was closed");
    await ending;
  }

  /** As {@linkcode Server.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Shows what something else in this process tells of itself on the page at `/debug/rpc` and in {@linkcode snapshot},
   * such as the clients that its handlers call with. Figures of clients are in the metrics, too.
   *
   * @example
   * ```ts
   * import { connect, Server } from "@troodon/rpc";
   *
   * await using store = new Server().register("Store", { get: () => "x" });
   * const { address } = await store.listen("tcp@127.0.0.1:0");
   * await using client = await connect(address);
   *
   * await using server = new Server().register("Front", { get: () => client.call("Store.get") });
   * using _shown = server.show("Store's client", client);
   * ```
   *
   * @param name What it is called; what was shown under that name before is not any more
   * @param source A `Client`, or whatever else has `stats()`
   * @returns Takes it off again when disposed of
   * @throws {TypeError} If the name is none, or there is no `stats()`
   */
  show(name: string, source: StatsSource): Disposable {
    return this.#shown.add(name, source);
  }

  /** What it is doing now: {@linkcode stats}, with its oldest calls and streams, its connections, and what it shows. */
  snapshot(): ServerSnapshot {
    return {
      ...this.stats(),
      ...activity(this.#acceptor.sessions, this.#entrance?.calls()),
      shown: this.#shown.stats(),
    };
  }

  /** What it has done so far: plain data, which JSON and CBOR can carry. */
  stats(): ServerStats {
    const { sessions, handshakes, accepted, refusals } = this.#acceptor;
    const methods = this.#services.stats();
    const { unknown } = this.#services;
    const inFlight = methods.reduce((sum, method) => sum + method.inFlight, unknown.inFlight);
    let unsentBytes = 0;
    for (const { unsent } of sessions) unsentBytes += unsent;
    return {
      uptime: performance.now() - this.#began,
      connections: sessions.size,
      handshakes,
      accepted,
      refused: refusals.sum,
      refusals: refusals.byReason(),
      acceptErrors: this.#acceptErrors,
      inFlight,
      unknownMethods: unknown.calls,
      unsentBytes,
      limits: this.#counters.stats(),
      methods,
    };
  }

  async #open(parsed: Address, address: string, listening: ListeningOptions): Promise<Listener> {
    const { transport } = parsed;
    if (transport === "ws" || transport === "wss") {
      throw new TypeError(
        `Cannot listen on ${address}: give server.fetch to Deno.serve, for WebSockets at /_rpc_`,
      );
    }
    const tls = this.#tls;
    const network = this.#network;
    if (transport === "tls" && tls === undefined && network === undefined) {
      throw new TypeError(`Cannot listen on ${address}: give the server a certificate, as its option tls`);
    }
    if (listening.reusePort && (transport === "unix" || Deno.build.os !== "linux")) {
      throw new TypeError(
        `Cannot listen on ${address}: only ports can be shared, and on Linux alone (reusePort)`,
      );
    }
    try {
      if (network !== undefined) return await network.listen(parsed);
      if (transport === "unix") return await listenUnix(parsed, listening);
      return transport === "tls" ? await listenTls(parsed, tls!, listening) : listenTcp(parsed, listening);
    } catch (error) {
      throw located(error, `Cannot listen on ${address}`);
    }
  }

  async #accept(listener: Listener, httpPath: string | undefined): Promise<void> {
    eventLoop.enter();
    try {
      for (;;) {
        const conn = await listener.accept();
        if (conn === null) return;
        this.#acceptor.take(conn, httpPath);
        await eventLoop.yieldIfDue();
      }
    } finally {
      eventLoop.leave();
    }
  }

  async #shutdown(grace: number): Promise<void> {
    this.#stopping.abort();
    const late = `The server shut down, after a grace of ${grace} ms`;
    const timer = setTimeout(() => this.#closeSessions(late), grace);
    for (const session of this.#acceptor.sessions) session.drain();
    await this.#stop();
    clearTimeout(timer);
  }

  /** Stops accepting, and waits for the end of every connection. */
  async #stop(): Promise<void> {
    this.#stopping.abort();
    for (const listener of this.#listening.keys()) listener.close();
    await Promise.all([...this.#listening.values(), this.#acceptor.close()]);
    await this.#entrance?.drain(shuttingDown());
    await Promise.all([...this.#acceptor.sessions].map(({ closed }) => closed));
    this.#listening.clear();
  }

  #closeSessions(why: string): void {
    const reason = new RpcError("unavailable", why);
    for (const session of [...this.#acceptor.sessions]) session.close(reason);
    this.#entrance?.close(reason);
  }

  #fetch(request: Request, peer: string): Response | Promise<Response> {
    const url = requestUrl(request.url, request.headers.get("host"));
    if (url === undefined) return new Response("Cannot read the target or the Host\n", { status: 400 });
    const { pathname } = url;
    if (this.#monitoring.has(pathname)) return this.#monitoring.answer(request, url, peer);
    if (pathname === HEALTH_PATH) return this.#health.answer(request, url);
    if (pathname === RPC_PATH) return methodNotAllowed();
    if (request.method === "POST") {
      const where = 'Calls over HTTP are answered by web() of "@troodon/rpc/web", which Deno.serve takes';
      return Response.json({ code: "unimplemented", message: where }, { status: 421 });
    }
    const see = this.#monitoring.has(DEBUG_PATH) ? `; see ${DEBUG_PATH}` : "";
    return new Response(`Nothing is served at ${pathname}${see}\n`, { status: 404 });
  }

  /** The answer that opens a WebSocket; undefined if the request asks for something else. */
  #upgrade(request: Request, info: FetchInfo | undefined): Response | undefined {
    if (!asksForWebSocket(request)) return undefined;
    const url = requestUrl(request.url, request.headers.get("host"));
    if (url?.pathname !== RPC_PATH) return undefined;
    if (!this.#origins.allows(request, url)) {
      this.#acceptor.refusals.add("http");
      this.#log?.(`Refused ${askerOf(info)}: it is a page of another origin (origins)`);
      return new Response("Pages of this origin may not call this server\n", { status: 403 });
    }
    if (this.#ending !== undefined) {
      this.#acceptor.refusals.add("closing");
      return new Response("The server is shutting down\n", { status: 503 });
    }
    const upgraded = upgrade(request, info, this.#maxHeld);
    if (upgraded === undefined) return undefined;
    this.#acceptor.take(upgraded.conn, undefined);
    return upgraded.response;
  }
}

function shuttingDown(): RpcError {
  return new RpcError("unavailable", "The server is shutting down", { notStarted: true });
}

/** The same error, of the same class, with what could not be done, such as "Cannot listen on" and an address. */
function located(error: unknown, failed: string): unknown {
  if (!(error instanceof Error)) return error;
  const message = `${failed}: ${error.message}`;
  return Reflect.construct(error.constructor, [message, { cause: error }]);
}

function className(instance: object): string {
  const { name } = instance.constructor ?? {};
  if (typeof name !== "string" || name === "" || name === "Object") {
    throw new TypeError("Cannot register service: the object has no class, so call register(name, methods)");
  }
  return name;
}

/** Checks an option that is a function. */
function checkHook<F>(name: string, hook: F | undefined): F | undefined {
  if (hook !== undefined && typeof hook !== "function") {
    throw new TypeError(`Cannot use ${name}: expected a function`);
  }
  return hook;
}
