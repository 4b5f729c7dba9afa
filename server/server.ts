// The server: its services, and its start and end. Listeners opens addresses, Acceptor makes sessions of connections,
// HttpRequests answers HTTP.

import { type Contract, isContract } from "../call/contract.ts";
import { checkOptions } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import { Health, type HealthStatus } from "../call/health.ts";
import { Reflection } from "../call/reflection.ts";
import type { Interceptor } from "../call/interceptor.ts";
import { type Log, safeLog } from "../call/log.ts";
import { wireLimit } from "../codec/handshake_line.ts";
import { MAX_DELAY } from "../discovery/clock.ts";
import { calleeWith } from "../session/callee.ts";
import { mostHeld, whole } from "../session/limits.ts";
import { LimitCounters } from "../session/limit_counters.ts";
import { Acceptor } from "./acceptor.ts";
import { Entrance, type EntranceOptions } from "./entrance.ts";
import { ServerHealth } from "./server_health.ts";
import { HttpRequests } from "./http_requests.ts";
import { Listeners, type Listening, type ListenOptions } from "./listeners.ts";
import { type CheckedMethods, contractCheck, type ServiceHandlers } from "../call/contract_methods.ts";
import { intercepted } from "../call/intercept_incoming.ts";
import { Monitoring } from "../monitoring/monitoring.ts";
import { checkHook, type ServerOptions, serverSettings } from "./server_options.ts";
import { reflection } from "./reflection_handlers.ts";
import { className, ServiceTable } from "../call/service.ts";
import { cachedFor, STATS_SHARED_FOR } from "../monitoring/cached_for.ts";
import { type StatsSource, StatsSources } from "../monitoring/stats_sources.ts";
import { activity } from "../monitoring/snapshot.ts";
import type { ServerSnapshot, ServerStats } from "../monitoring/server_stats.ts";
import type { FetchInfo } from "../transport/unread_responses.ts";

/** Options of {@linkcode Server.shutdown}. */
export interface ShutdownOptions {
  /**
   * How long calls that were accepted may take to finish, in ms, 0 or more.
   *
   * @default {10_000}
   */
  grace?: number;
}

/**
 * Serves methods to clients: registers services, listens on addresses, and answers calls.
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
   * Answers HTTP requests: `/debug/rpc` with a page about the server (JSON if the request accepts that), `/metrics`
   * with metrics for Prometheus, `/healthz` with the server's health, `/_rpc_` with a WebSocket for clients at `ws@` and
   * `wss@` addresses, everything else with an error. Pass it to `Deno.serve` on a shared port; an `http@` address also
   * serves it, and can cut WebSockets off, which `Deno.serve` cannot. Never rejects. The option `monitoring` decides
   * what each request may see.
   *
   * Pages of other origins may open a WebSocket only if the option `origins` lists them.
   */
  readonly fetch: (request: Request, info?: FetchInfo) => Promise<Response>;

  readonly #services: ServiceTable;
  readonly #interceptors: Interceptor[] = [];
  readonly #acceptor: Acceptor;
  readonly #listeners: Listeners;
  readonly #entranceOptions: Omit<EntranceOptions, "slots">;
  /** Answers calls that arrive without a connection; created for the first entrance that needs it. */
  #entrance: Entrance | undefined;
  readonly #health: ServerHealth;
  readonly #counters: LimitCounters;
  readonly #log: Log | undefined;
  readonly #shown: StatsSources;
  readonly #began = performance.now();
  /** Aborts when the server starts to shut down or close. */
  readonly #stopping = new AbortController();
  #ending: Promise<void> | undefined;

  /**
   * Makes a server without services, which does not listen yet.
   *
   * @param options Limits and hooks
   * @throws {RangeError} If a number is out of range
   * @throws {TypeError} If an option is unknown or of the wrong type, or a codec cannot be registered
   */
  constructor(options: ServerOptions = {}) {
    const settings = serverSettings(options);
    const { limits, maxConnections, maxConnectionsPerPeer, handshakeTimeout } = settings;
    const { maxInFlightTotal, stallTimeout, windows } = settings;
    const authenticate = checkHook("authenticate", options.authenticate);
    const log = safeLog(options.log);
    this.#log = log;
    this.#services = new ServiceTable(log, settings.observers?.incoming);
    const recent = cachedFor(STATS_SHARED_FOR, () => this.stats());
    this.#health = new ServerHealth(this.#services, this.#stopping.signal);
    const health = this.#health.handlers();
    this.#services.registerBuiltIn(Health, health, contractCheck(Health, health, log));
    if (settings.reflection) {
      const handlers = reflection(this.#services, recent, this.#stopping.signal);
      this.#services.registerBuiltIn(Reflection, handlers, contractCheck(Reflection, handlers, log));
    }
    this.#counters = new LimitCounters();
    this.#shown = new StatsSources(log);
    const mapError = checkHook("mapError", options.mapError);
    this.#acceptor = new Acceptor({
      terms: {
        codecs: settings.codecs,
        authenticate,
        lifetime: settings.lifetime,
        answer: {
          ...limits,
          handleTimeout: wireLimit(settings.handleTimeout),
          heartbeatInterval: wireLimit(limits.heartbeatInterval),
        },
      },
      limits,
      counters: this.#counters,
      createCallee: calleeWith((name, peer) => this.#services.find(name, peer)),
      http: {
        fetch: (request, peer) => http.answer(request, peer),
        refuseWebSocket: (headers, peer) => http.refuseWebSocket(headers, peer),
        log,
      },
      maxConnections,
      maxConnectionsPerPeer,
      handshakeTimeout,
      maxInFlightTotal,
      windows,
      stallTimeout,
      endStalled: () => this.#entrance?.endStalled(stallTimeout),
      mapError,
      log,
    });
    this.#listeners = new Listeners({
      tls: settings.tls,
      network: settings.network,
      log,
      reset: () => this.#acceptor.countProbe(),
      take: (conn, httpPath) => this.#acceptor.take(conn, httpPath),
    });
    const source = { stats: recent, snapshot: () => this.snapshot() };
    const http = new HttpRequests({
      monitoring: new Monitoring(source, this.#shown, settings.monitoring, log),
      health: this.#health,
      origins: settings.origins,
      maxHeld: mostHeld(limits),
      log,
      closing: () => this.#ending !== undefined,
      take: (conn) => this.#acceptor.take(conn, undefined),
      limitFor: (peer) => this.#acceptor.limitFor(peer),
      refuse: (reason) => this.#acceptor.refusals.add(reason),
    });
    this.fetch = (request, info) => http.fetch(request, info);
    this.#entranceOptions = {
      limits,
      services: this.#services,
      counters: this.#counters,
      json: settings.codecs.get("application/json")!,
      authenticate,
      handshakeTimeout,
      onUnauthenticated: () => this.#acceptor.refusals.add("unauthenticated"),
      handleTimeout: wireLimit(settings.handleTimeout),
      mapError,
      log,
      fetch: this.fetch,
    };
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

  /** The names of the services that clients can call, without built-in ones. */
  get services(): readonly string[] {
    return this.#services.names;
  }

  /** The addresses on which the server listens, with their real ports. */
  get addresses(): readonly string[] {
    return this.#listeners.addresses;
  }

  /**
   * Registers the functions of a plain object as the methods of a service.
   *
   * Clients can call the object's own functions and those of its classes, except names that begin with `_` or `#`. With
   * a contract, they can call exactly the contract's methods, and every call is checked against its schemas.
   *
   * A handler takes one argument and the context, so `sum(a: number, b: number)` is not a handler.
   *
   * @typeParam S The type of a contract, or string
   * @typeParam M The type of the object
   * @param service The service's name, such as `Arith`, which may have dots; or what `defineService` returned
   * @param methods The handlers by name; for a contract, an instance, or a plain object with exactly its methods
   * @returns This server
   * @throws {TypeError} If the name is invalid, is taken or begins with `rpc.`, if there is no method, if a method
   * takes   more than one argument and the context, or if the handlers do not match the contract
   */
  register<S extends string | Contract, M extends object = object>(
    service: S,
    methods: ServiceHandlers<S, M>,
  ): this;
  /**
   * Registers an instance under its class's name.
   *
   * @typeParam M Its type
   * @param instance Clients can call its public methods
   * @returns This server
   * @throws {TypeError} If it has no class of its own, if the name is taken, if there is no method, or if a method
   * takes   more than one argument and the context
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
   * Puts an interceptor around the handlers of all services, including those registered later. The first interceptor is
   * the outermost.
   *
   * @param interceptor See {@linkcode Interceptor}
   * @returns This server
   * @throws {TypeError} If it is not a function
   */
  use(interceptor: Interceptor): this {
    if (typeof interceptor !== "function") throw new TypeError("Cannot use interceptor: expected a function");
    this.#interceptors.push(interceptor);
    this.#services.wrap((handler) => intercepted(this.#interceptors, handler));
    return this;
  }

  /**
   * Listens on an address: `tcp@host:port`, `tls@host:port` with the option `tls`, `unix@/path`, `http@host:port[/path]`
   * for RPC over HTTP CONNECT and over WebSockets (`ws@host:port[/path]`) on a port that also serves {@linkcode Server.fetch},
   * or `fd@3` for an inherited TCP or Unix socket that listens already, such as one of systemd. Port 0 picks a free port.
   *
   * @param address Where to listen; a server may listen on several addresses
   * @param options Whether the port is shared, and which proxies name their clients
   * @returns The address with the real port, and how to close it
   * @throws {TypeError} If the address is invalid, or its port cannot be shared here
   * @throws {Error} If the address is taken or not allowed, or the file descriptor is not a listening socket
   */
  async listen(address: string, options: ListenOptions = {}): Promise<Listening> {
    checkOptions<ListenOptions>("listen", options, { reusePort: true, proxyProtocol: true });
    return await this.#listeners.listen(address, options);
  }

  /**
   * Shuts down gracefully: accepts no more connections, asks clients to use other servers, lets accepted calls finish,
   * then closes. The `signal` of handlers that are still running after `grace` aborts. Calling it again returns the
   * same shutdown.
   *
   * @throws {RangeError} If `grace` is out of range
   * @throws {TypeError} If an option is unknown
   */
  shutdown(options: ShutdownOptions = {}): Promise<void> {
    checkOptions("shut down", options, { grace: true });
    const grace = whole("grace", options.grace ?? 10_000, 0, MAX_DELAY);
    return this.#ending ??= this.#shutdown(grace);
  }

  /**
   * Closes now: calls without an answer end with `unavailable`. May be called more than once, and during a shutdown.
   */
  async close(): Promise<void> {
    // While shutting down this cuts the grace short.
    const ending = this.#ending ??= this.#stop();
    this.#closeSessions("The server was closed");
    await ending;
  }

  /** The same as {@linkcode Server.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Sets what `rpc.Health` and `/healthz` report for one service, or for the whole server. Calls are accepted in any case. A
   * server that shuts down is not serving, whatever is set.
   *
   * @param status The status; `serving` is the default
   * @param service The name of a registered service
   * @throws {TypeError} If the service is not registered, or the status is invalid
   */
  setHealth(status: HealthStatus, service?: string): void {
    this.#health.set(status, service);
  }

  /**
   * Shows the stats of another object in this process at `/debug/rpc` and in {@linkcode snapshot}, such as those of a
   * client that handlers use. Metrics of clients are also at `/metrics`.
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
   * @param name Its name on the page; replaces a source with the same name
   * @param source A `Client`, or any object with `stats()`
   * @returns Removes the source when disposed
   * @throws {TypeError} If the name is invalid, or there is no `stats()`
   */
  show(name: string, source: StatsSource): Disposable {
    return this.#shown.add(name, source);
  }

  /** Returns {@linkcode stats}, with the oldest calls and streams, the connections, and the stats of shown sources. */
  snapshot(): ServerSnapshot {
    return {
      ...this.stats(),
      ...activity(this.#acceptor.sessions, this.#entrance?.calls()),
      shown: this.#shown.stats(),
    };
  }

  /** Returns counters and gauges since the start: plain data, which JSON and CBOR can carry. */
  stats(): ServerStats {
    const { sessions, handshakes, accepted, probes, refusals } = this.#acceptor;
    const methods = this.#services.stats();
    const { unknown } = this.#services;
    const inFlight = methods.reduce((sum, method) => sum + method.inFlight, unknown.inFlight);
    let unsentBytes = 0;
    for (const { unsent } of sessions) unsentBytes += unsent;
    return {
      uptime: performance.now() - this.#began,
      draining: this.#stopping.signal.aborted,
      connections: sessions.size,
      handshakes,
      accepted,
      refused: refusals.sum,
      refusals: refusals.byReason(),
      probes,
      acceptErrors: this.#listeners.acceptErrors,
      inFlight,
      unknownMethods: unknown.calls,
      unsentBytes,
      limits: this.#counters.stats(),
      methods,
    };
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
    await Promise.all([this.#listeners.close(), this.#acceptor.close()]);
    await this.#entrance?.drain(shuttingDown());
    await Promise.all([...this.#acceptor.sessions].map(({ closed }) => closed));
  }

  #closeSessions(why: string): void {
    const reason = new RpcError("unavailable", why);
    for (const session of [...this.#acceptor.sessions]) session.close(reason);
    this.#entrance?.close(reason);
  }
}

function shuttingDown(): RpcError {
  return new RpcError("unavailable", "The server is shutting down", { notStarted: true });
}
