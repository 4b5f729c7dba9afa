// The server: services, the places where it listens, and the connections it has. What happens on a connection is a
// Session's; how one comes to be is admission.ts.

import { RpcError } from "../call/error.ts";
import { sheltered } from "../call/log.ts";
import { formatAddress, parseAddress } from "../discovery/endpoint.ts";
import type { Listener } from "../transport/conn.ts";
import { methodNotAllowed, RPC_PATH } from "../transport/http.ts";
import { whole } from "../transport/limits.ts";
import { listenTcp, listenUnix } from "../transport/tcp.ts";
import { Admission } from "./admission.ts";
import { DEBUG_PATH, debugPage } from "./debug_page.ts";
import { type ServerOptions, serverSettings } from "./options.ts";
import { ServiceTable } from "./service.ts";
import type { ServerStats } from "./stats.ts";

/** A place where a server listens. */
export interface Listening extends AsyncDisposable {
  /** The address to connect to, with the port that was chosen. */
  readonly address: string;
  /** Stops accepting there; connections that were accepted stay. Closing twice is fine. */
  close(): Promise<void>;
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
   * Answers HTTP requests: `/debug/rpc` with a page of services, methods, counts and latencies (JSON if that is what
   * the request accepts), everything else with an error. Made for `Deno.serve`, and what an `http@` address serves
   * beside RPC. Never rejects.
   */
  readonly fetch: (request: Request) => Promise<Response>;

  readonly #services = new ServiceTable();
  readonly #admission: Admission;
  readonly #listening = new Map<Listener, Promise<void>>();
  #ending: Promise<void> | undefined;

  /**
   * Makes a server without services that listens nowhere yet.
   *
   * @param options Limits and hooks
   * @throws {RangeError} If a number is out of its range
   * @throws {TypeError} If a codec cannot be registered
   */
  constructor(options: ServerOptions = {}) {
    const { limits, maxConnections, handshakeTimeout, handleTimeout, codecs } = serverSettings(options);
    const { authenticate } = options;
    const log = sheltered(options.log);
    this.fetch = (request) => Promise.resolve(this.#fetch(request));
    this.#admission = new Admission({
      terms: { codecs, authenticate, answer: { ...limits, handleTimeout } },
      limits,
      lookup: (name) => this.#services.find(name),
      fetch: this.fetch,
      maxConnections,
      handshakeTimeout,
      log,
    });
  }

  /**
   * Registers the functions of a plain object as the methods of a service.
   *
   * Own functions and those of its classes can be called from outside, but none whose name begins with `_` or `#`.
   *
   * @param name The service's name, such as `Arith`; may have dots
   * @param methods The handlers by name
   * @returns This server
   * @throws {TypeError} If the name is none or is taken, or there is nothing to call
   */
  register(name: string, methods: object): this;
  /**
   * Registers an instance under its class's name.
   *
   * @param instance Its public methods are what can be called
   * @returns This server
   * @throws {TypeError} If it has no class of its own, the name is taken, or there is nothing to call
   */
  register(instance: object): this;
  register(nameOrInstance: string | object, methods?: object): this {
    const target = typeof nameOrInstance === "string" ? methods : nameOrInstance;
    if (typeof target !== "object" || target === null) {
      throw new TypeError("Cannot register service: expected an object with methods");
    }
    this.#services.register(typeof nameOrInstance === "string" ? nameOrInstance : className(target), target);
    return this;
  }

  /**
   * Listens on an address: `tcp@host:port`, `unix@/path`, or `http@host:port[/path]` for RPC over HTTP CONNECT on a
   * port that also serves {@linkcode Server.fetch}. Port 0 takes a free one.
   *
   * @param address Where to listen; a server may listen in several places
   * @returns Where it listens, with the real port
   * @throws {TypeError} If that is no address to listen on
   * @throws {Error} If the address is taken or not allowed
   */
  // Not all transports listen at once, and those that do fail as a rejection too.
  // deno-lint-ignore require-await
  async listen(address: string): Promise<Listening> {
    if (this.#ending !== undefined) throw new TypeError("Cannot listen: the server is closed");
    const parsed = parseAddress(address, { listen: true });
    if (parsed.transport !== "tcp" && parsed.transport !== "unix" && parsed.transport !== "http") {
      throw new TypeError(`Cannot listen on ${address}: use tcp@, unix@ or http@`);
    }
    let listener: Listener;
    try {
      listener = parsed.transport === "unix" ? listenUnix(parsed) : listenTcp(parsed);
    } catch (error) {
      throw located(error, address);
    }
    const accepting = this.#accept(listener, parsed.transport === "http" ? parsed.path : undefined);
    this.#listening.set(listener, accepting);
    const close = async () => {
      listener.close();
      this.#listening.delete(listener);
      await accepting;
    };
    return {
      address: formatAddress(parsed.transport === "unix" ? parsed : { ...parsed, port: listener.port }),
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
   */
  shutdown(options: ShutdownOptions = {}): Promise<void> {
    const grace = whole("grace", options.grace ?? 10_000, 0, 2_147_483_647);
    return this.#ending ??= this.#shutdown(grace);
  }

  /** Ends now: calls that are not answered yet end with `unavailable`. Calling it again, or late, is fine. */
  async close(): Promise<void> {
    // While shutting down this cuts the grace short.
    const ending = this.#ending ??= this.#stop();
    this.#closeSessions();
    await ending;
  }

  /** As {@linkcode Server.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What it has done so far. */
  stats(): ServerStats {
    const { sessions, accepted, refused } = this.#admission;
    const methods = this.#services.stats();
    const inFlight = methods.reduce((sum, method) => sum + method.inFlight, 0);
    return { connections: sessions.size, accepted, refused, inFlight, methods };
  }

  async #accept(listener: Listener, httpPath: string | undefined): Promise<void> {
    for (;;) {
      const conn = await listener.accept();
      if (conn === null) return;
      this.#admission.take(conn, httpPath);
    }
  }

  async #shutdown(grace: number): Promise<void> {
    const timer = setTimeout(() => this.#closeSessions(), grace);
    for (const session of this.#admission.sessions) session.drain();
    await this.#stop();
    clearTimeout(timer);
  }

  /** Stops accepting, and waits for the end of every connection. */
  async #stop(): Promise<void> {
    for (const listener of this.#listening.keys()) listener.close();
    await Promise.all([...this.#listening.values(), this.#admission.close()]);
    await Promise.all([...this.#admission.sessions].map(({ closed }) => closed));
    this.#listening.clear();
  }

  #closeSessions(): void {
    const reason = new RpcError("unavailable", "The server was closed");
    for (const session of [...this.#admission.sessions]) session.close(reason);
  }

  #fetch(request: Request): Response {
    const { pathname } = new URL(request.url);
    if (pathname === DEBUG_PATH) return debugPage(request, this.stats());
    if (pathname === RPC_PATH) return methodNotAllowed();
    return new Response(`Nothing is served at ${pathname}; see ${DEBUG_PATH}\n`, { status: 404 });
  }
}

/** The same error, of the same class, with the address that the system leaves out. */
function located(error: unknown, address: string): unknown {
  if (!(error instanceof Error)) return error;
  const message = `Cannot listen on ${address}: ${error.message}`;
  return Reflect.construct(error.constructor, [message, { cause: error }]);
}

function className(instance: object): string {
  const { name } = instance.constructor ?? {};
  if (typeof name !== "string" || name === "" || name === "Object") {
    throw new TypeError("Cannot register service: the object has no class, so call register(name, methods)");
  }
  return name;
}
