// The client: one object for calls to many servers. Owns the list of endpoints, one channel for each, and the choice
// between them. What happens on a connection is the channel's; when a call goes to another server is retry.ts.

import type { Contract } from "../call/contract.ts";
import { ambient } from "../call/ambient.ts";
import { isRpcError, rejection, RpcError } from "../call/error.ts";
import type { Reply } from "../call/interceptor.ts";
import { applicationMetadata, type Metadata, NO_METADATA } from "../call/metadata.ts";
import type { Balancer } from "../discovery/balancer.ts";
import { createBalancer } from "../discovery/create_balancer.ts";
import type { Discovery } from "../discovery/discovery.ts";
import { type Endpoint, parseAddress } from "../discovery/endpoint.ts";
import { MultiServers } from "../discovery/multi_servers.ts";
import { broadcast } from "./broadcast.ts";
import { openStream } from "../session/call_stream.ts";
import { type CallBodies, type CallBody, canChange } from "../session/call_body.ts";
import { unencodable } from "../session/frame_writer.ts";
import { endedWith } from "../call/outcome.ts";
import { type CallDefaults, OutgoingCall } from "../session/outgoing_call.ts";
import { type Answer, mayRetry, sendsAgain } from "./send_attempt.ts";
import type { LimitStats } from "../session/limit_counters.ts";
import type { CallOptions, FailMode } from "../call/call_options.ts";
import { failModeOf } from "./fail_mode.ts";
import type { Attempt } from "./attempt.ts";
import { callServer } from "./single_server.ts";
import {
  type ClientSettings,
  clientSettings,
  type ConnectOptions,
  DEFAULT_BALANCER,
} from "./connect_options.ts";
import { noServer, reach, retry, type RetryContext } from "./retry_loop.ts";
import type { RetryBudget } from "./retry_budget.ts";
import { type EndpointStats, Servers } from "./servers.ts";
import { fanOut, hedge } from "./hedging.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { Chain, type Make } from "./intercept_outgoing.ts";
import { type ContractClient, contractClient, type ServiceClient, serviceClient } from "../call/typed.ts";

/** What a client has to do with now. */
export interface ClientStats {
  /** Who chooses the servers: the name of the balancer, or that of its class; `custom` if it has none. */
  readonly balancer: string;
  /** The servers that calls may go to. */
  readonly endpoints: readonly EndpointStats[];
  /** Calls that are not settled. */
  readonly pending: number;
  /** Calls that were sent again so far, or a second time as a backup: what the retry budget counts. */
  readonly retries: number;
  /** Calls that were not, because the retry budget was used up. */
  readonly refusedRetries: number;
  /** How often limits were met. */
  readonly limits: LimitStats;
}

/** Makes calls. Made by {@linkcode connect}. */
export class Client implements AsyncDisposable {
  readonly #settings: ClientSettings;
  readonly #defaults: CallDefaults;
  readonly #chain: Chain;
  readonly #servers: Servers;
  readonly #budget: RetryBudget;
  readonly #context: RetryContext;
  readonly #bodies: CallBodies;
  readonly #stop = new AbortController();
  /** What fails calls that no server could be reached for, in the next turn of the event loop. */
  readonly #failing = new Set<() => void>();
  #watching: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** @ignore Use {@linkcode connect}. */
  constructor(settings: ClientSettings, balancer: Balancer) {
    ambient.enable();
    this.#chain = new Chain(settings.interceptors, settings.timeout, (args) => this.#keepEarly(args));
    this.#settings = settings;
    this.#servers = new Servers(settings.dial, balancer, settings.ejection);
    this.#budget = settings.budget;
    this.#bodies = settings.dial.bodies;
    this.#context = {
      budget: settings.budget,
      pick: (...pick) => {
        if (this.#closing !== undefined) throw closed();
        return this.#servers.pickLeg(...pick);
      },
      changes: this.#servers,
    };
    this.#defaults = {
      timeout: settings.timeout,
      observer: settings.observer,
      leaves: (call, reason) => this.#leaves(call, reason),
      again: (call, error) => {
        const mode = failModeOf(call, settings.failMode);
        if (mode === "failfast" && call.waitForReady && isUnreached(error)) {
          this.#runSlowPath(call, this.#make(call, mode, undefined));
          return true;
        }
        if (mode === "failfast" || call.listener === undefined) return false;
        if (!sendsAgain(error, call, this.#budget)) return false;
        const { address } = call.listener;
        this.#runSlowPath(call, retry(call, this.#context, undefined, call.signal, { address, error }));
        return true;
      },
    };
  }

  /**
   * Calls a method. Not awaiting the promise at once is how calls go on side by side.
   *
   * @typeParam T What the method returns; not checked
   * @param method Such as `Arith.sum`
   * @param args The one argument, or an AsyncIterable of them; left out or null, the method gets undefined
   * @param options Timeout, signal, metadata, key, and what to do about a server that fails
   * @returns What the method returned
   * @throws {RpcError} Why the call failed, as a rejection
   * @throws {TypeError} If the method, the signal, the metadata or the fail mode are none, or the call is not fit for the
   * fail mode, as a rejection
   * @throws {RangeError} If the timeout or a number of the fail mode is out of its range, as a rejection
   */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T> {
    if (!this.#chain.empty) {
      const make = (...call: Parameters<Make>) => this.#reply(...call);
      return this.#chain.run(method, args, options, make).then(({ value }) => value as T);
    }
    return new Promise<unknown>((resolve) => {
      this.#start(new OutgoingCall(method, args, options, this.#defaults, resolve));
    }) as Promise<T>;
  }

  /**
   * Calls a method that answers with a stream. The call is made when the first item is asked for; leaving the loop
   * cancels it, and the handler's `signal` aborts. A method that answers with one value makes a stream of one.
   *
   * @example
   * ```ts
   * import { connect, Server } from "@troodon/rpc";
   *
   * await using server = new Server().register("Count", {
   *   up: function* ({ to }: { to: number }) {
   *     for (let i = 1; i <= to; i++) yield i;
   *   },
   * });
   * const { address } = await server.listen("tcp@127.0.0.1:0");
   *
   * await using client = await connect(address);
   * for await (const i of client.stream<number>("Count.up", { to: 3 })) console.log(i); // 1, 2, 3
   * ```
   *
   * @typeParam T What the items are; not checked
   * @param method Such as `Count.up`
   * @param args The one argument, or an AsyncIterable of them
   * @param options Timeout (of the whole stream), signal, metadata
   * @returns The items, once; iterating throws an `RpcError` if the call fails
   * @throws {TypeError} If the method, the signal or the metadata are none
   * @throws {RangeError} If the timeout is negative or NaN
   */
  stream<T = unknown>(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<T> {
    if (this.#chain.empty) return this.#stream<T>(method, args, options);
    const make = (...call: Parameters<Make>) => {
      const metadata = new Map<string, string | Uint8Array>();
      return { value: this.#stream(...call, metadata), metadata };
    };
    return this.#chain.stream(method, args, options, make) as AsyncIterableIterator<T>;
  }

  /**
   * Calls a method of every server at once. The first error cancels the rest and is thrown.
   *
   * @typeParam T What the method returns; not checked
   * @param method Such as `Cache.clear`
   * @param args The one argument; each server gets its own copy
   * @param options As for `call`
   * @returns The result of one of the servers
   * @throws {RpcError} The first error; `unavailable` if there are no servers
   */
  broadcast<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T> {
    const make = async (...call: Parameters<Make>) => ({
      value: await this.#broadcast(...call),
      metadata: NO_METADATA,
    });
    if (this.#chain.empty) return this.#broadcast(method, args, options) as Promise<T>;
    return this.#chain.run(method, args, options, make).then(({ value }) => value as T);
  }

  /**
   * A service as an object whose methods make calls, for services whose type is known.
   *
   * @example
   * ```ts
   * import { connect, Server } from "@troodon/rpc";
   * import { assertEquals } from "@std/assert";
   *
   * const arith = { sum: ({ a, b }: { a: number; b: number }) => a + b };
   * await using server = new Server().register("Arith", arith);
   * const { address } = await server.listen("tcp@127.0.0.1:0");
   *
   * await using client = await connect(address);
   * const remote = client.service<typeof arith>("Arith");
   * assertEquals(await remote.sum({ a: 1, b: 2 }), 3);
   * ```
   *
   * @typeParam S The type of what was registered: a class or an object of functions
   * @param name The service's name
   */
  service<S>(name: string): ServiceClient<S>;
  /**
   * A service as an object of functions that make calls, for services that have a contract.
   *
   * @typeParam C The contract's type
   * @param contract What {@linkcode defineService} returned
   */
  service<C extends Contract>(contract: C): ContractClient<C>;
  service(service: string | Contract): unknown {
    return typeof service === "string" ? serviceClient(this, service) : contractClient(this, service);
  }

  /** What it has to do with now. */
  stats(): ClientStats {
    const { pending } = this.#servers;
    const { spent: retries, refused: refusedRetries } = this.#budget;
    const limits = this.#settings.dial.counters.stats();
    const { balancer } = this.#settings;
    return { balancer, endpoints: this.#servers.stats(), pending, retries, refusedRetries, limits };
  }

  /** Closes all connections now: calls that are not settled end with `unavailable`. Closing twice is fine. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** As {@linkcode Client.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Follows a discovery; resolves with its first list.
   *
   * @ignore Use {@linkcode connect}.
   */
  follow(discovery: Discovery): Promise<readonly Endpoint[]> {
    return new Promise((resolve, reject) => {
      this.#watching = (async () => {
        for await (const endpoints of discovery.watch({ signal: this.#stop.signal })) {
          this.#servers.update(endpoints);
          resolve(endpoints);
        }
        reject(closed());
      })().catch((error) => {
        this.#settings.dial.log?.("Watching the servers failed", error);
        reject(error);
      });
    });
  }

  /**
   * Waits until the channels of `endpoints` have a connection.
   *
   * @ignore Use {@linkcode connect}.
   */
  async ready(endpoints: readonly Endpoint[]): Promise<void> {
    await Promise.all(endpoints.map(({ address }) => this.#servers.channel(address)?.connected()));
  }

  /** A call, with what came beside its result. */
  #reply(...[method, args, options, kept]: Parameters<Make>): Promise<Reply> {
    return new Promise((resolve) => {
      const done = (value: unknown, metadata?: Metadata) =>
        resolve({ value, metadata: applicationMetadata(metadata) });
      const fail = (error: unknown) => resolve(rejection(error));
      const call = new OutgoingCall(method, args, options, this.#defaults, done, fail);
      call.body = kept();
      this.#start(call);
    });
  }

  #stream<T>(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    kept?: () => CallBody | undefined,
    metadata?: Map<string, string | Uint8Array>,
  ): AsyncIterableIterator<T> {
    const start = (call: OutgoingCall) => {
      call.body = kept?.();
      this.#start(call);
    };
    return openStream<T>(method, args, options, this.#defaults, start, undefined, metadata);
  }

  #broadcast(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    kept?: () => CallBody | undefined,
  ): Promise<unknown> {
    return new Promise<unknown>((resolve) => {
      const call = new OutgoingCall(method, args, options, this.#defaults, resolve);
      if (this.#closing !== undefined) return call.fail(closed());
      if (this.#bodies.full) return call.fail(this.#bodies.refusal(method));
      if (isAsyncIterable(args)) {
        throw new TypeError("Cannot broadcast a stream of arguments: its items can be taken only once");
      }
      call.begin(performance.now());
      call.body = kept?.();
      this.#keepArgs(call);
      broadcast(() => this.#servers.channels, call, this.#context).then(
        ({ value }) => call.settle(value),
        (error) => call.fail(error),
      );
    });
  }

  #start(call: OutgoingCall): void {
    if (this.#closing !== undefined) return call.fail(closed());
    if (this.#bodies.full && call.body === undefined) return call.fail(this.#bodies.refusal(call.method));
    const mode = this.#modeOf(call);
    if (mode === undefined) return;
    this.#budget.calls++;
    const channel = this.#servers.pick(call);
    const session = channel?.ready;
    const now = session?.now() ?? performance.now();
    call.begin(now, channel?.address);
    if (
      channel === undefined || session === undefined || call.signal?.aborted || call.deadline <= now ||
      mode !== "failover" && mode !== "failfast"
    ) {
      const attempt = channel === undefined ? undefined : this.#servers.attempt(channel, call, now);
      return this.#makeLater(call, mode, attempt);
    }
    call.listener = this.#servers.listener(channel, call, now);
    session.call(call);
  }

  /** What is done about a server that fails; undefined if the call asks for what it is not fit for, and has failed. */
  #modeOf(call: OutgoingCall): FailMode | undefined {
    const { failMode } = this.#settings;
    if (call.failMode === undefined && typeof failMode === "string") return failMode;
    try {
      return failModeOf(call, failMode);
    } catch (error) {
      call.fail(error);
      return undefined;
    }
  }

  /** As {@linkcode Client.#keepArgs}, of a call that interceptors hold back. What cannot be encoded, they may replace. */
  #keepEarly(args: unknown): CallBody | undefined {
    try {
      return canChange(args) && !this.#bodies.full
        ? this.#bodies.encode(args, this.#settings.dial.codec)
        : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * Encodes the arguments of a call that has to wait or has several attempts: all of them send the same.
   *
   * @throws {RpcError} `invalid_argument` if they cannot be encoded
   */
  #keepArgs(call: OutgoingCall): void {
    if (call.body !== undefined || !canChange(call.args)) return;
    try {
      call.body = this.#bodies.encode(call.args, this.#settings.dial.codec);
    } catch (error) {
      throw endedWith(unencodable(error), true);
    }
  }

  /**
   * Takes a call to another server, if one takes calls: the connection on which it waits has no room, or the server there
   * is silent.
   *
   * @param reason Why it would fail there, if it has been sent
   */
  #leaves(call: OutgoingCall, reason: RpcError | undefined): boolean {
    const { listener, method, key, streams } = call;
    if (this.#closing !== undefined || listener === undefined) return false;
    const mode = failModeOf(call, this.#settings.failMode);
    if (reason !== undefined && (mode !== "failover" || !mayRetry(reason, call) || !this.#budget.left)) {
      return false;
    }
    const { address } = listener;
    const attempt = this.#servers.pickLeg({ method, key, streams, exclude: new Set([address]) }, true);
    if (attempt === undefined) return false;
    listener.release();
    const session = attempt.channel.ready;
    if (reason !== undefined) {
      this.#budget.take();
      this.#runSlowPath(call, retry(call, this.#context, attempt, call.signal, { address, error: reason }));
    } else if (session !== undefined && call.observer === undefined) {
      call.listener = attempt;
      session.call(call);
    } else this.#makeLater(call, mode, attempt);
    return true;
  }

  /** Makes a call that has to wait, or has several attempts, with its arguments as they are now. */
  #makeLater(call: OutgoingCall, mode: FailMode, attempt: Attempt | undefined): void {
    try {
      this.#keepArgs(call);
    } catch (error) {
      attempt?.release();
      return call.fail(error);
    }
    this.#runSlowPath(call, this.#make(call, mode, attempt));
  }

  /** Makes a call that needs more than one attempt over a connection that is there. */
  #make(call: OutgoingCall, mode: FailMode, attempt: Attempt | undefined): Promise<Answer> {
    const context = this.#context;
    if (mode === "failover") return retry(call, context, attempt);
    if (typeof mode !== "string") {
      const answer = "backup" in mode
        ? hedge(call, context, attempt, mode.backup)
        : fanOut(call, context, attempt, mode.fork);
      if (!call.waitForReady) return answer;
      // While no server can be reached there is nothing to choose from: the first one that can be gets the call.
      return answer.catch((error) => {
        const unavailable = isRpcError(error) && error.code === "unavailable" && !error.remote;
        if (!unavailable || !sendsAgain(error, call, this.#budget)) throw error;
        return retry(call, context, undefined);
      });
    }
    const options = { signal: call.signal, again: mode === "failfast" ? "never" : "always" } as const;
    if (call.waitForReady) {
      return reach(call, context, attempt).then((attempt) => callServer(call, attempt, context, options));
    }
    return attempt === undefined ? Promise.reject(noServer()) : callServer(call, attempt, context, options);
  }

  #runSlowPath(call: OutgoingCall, answer: Promise<Answer>): void {
    answer.then(({ value, metadata }) => call.settle(value, metadata), (error) => {
      if (isUnreached(error) && this.#closing === undefined) this.#failNextTurn(call, error);
      else call.fail(error);
    });
  }

  /**
   * While no server can be reached, calls fail without waiting for anything: whoever makes them again and again would keep
   * the event loop from timers and sockets, and so from ever reaching one.
   */
  #failNextTurn(call: OutgoingCall, error: RpcError): void {
    const fail = () => {
      clearTimeout(timer);
      this.#failing.delete(fail);
      call.fail(error);
    };
    const timer = setTimeout(fail, 0);
    this.#failing.add(fail);
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    for (const fail of this.#failing) fail();
    await Promise.all([this.#watching, this.#servers.close(closed())]);
  }
}

/**
 * Connects to one server, or to the servers that a discovery knows.
 *
 * An address is dialled before this resolves, so that a wrong one is an error here; the servers of a discovery are
 * dialled when calls first go to them. Lost connections are dialled again by themselves.
 *
 * @example A client over two servers
 * ```ts
 * import { connect, MultiServers, Server } from "@troodon/rpc";
 *
 * await using server = new Server().register("Greeter", { greet: (name: string) => `Hello, ${name}!` });
 * const one = await server.listen("tcp@127.0.0.1:0");
 * const two = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(new MultiServers([one.address, two.address]), { balancer: "random" });
 * console.log(await client.call("Greeter.greet", "Ada", { timeout: 500 }));
 * ```
 *
 * @param target An address such as `tcp@10.0.0.7:9999`, or a discovery
 * @param options Codec, timeouts, balancer, limits
 * @returns A client, which must be closed
 * @throws {RpcError} Why the server cannot be reached or refuses, or that there is no list of servers in time: with the
 * code of the discovery's `failure`, such as `unauthenticated`, or `unavailable`
 * @throws {TypeError} If the address or an option is none
 * @throws {RangeError} If a number is out of its range
 */
export async function connect(target: string | Discovery, options: ConnectOptions = {}): Promise<Client> {
  const settings = clientSettings(options);
  const client = new Client(settings, createBalancer(options.balancer ?? DEFAULT_BALANCER));
  if (typeof target === "string") parseAddress(target);
  const discovery = typeof target === "string" ? new MultiServers([target]) : target;
  if (typeof discovery?.watch !== "function") {
    throw new TypeError(
      "Cannot connect: expected an address or a Discovery, such as new MultiServers([address, …]) or " +
        "new RegistryDiscovery(url)",
    );
  }
  try {
    const endpoints = await firstList(client.follow(discovery), discovery, settings.connectTimeout);
    if (typeof target === "string") await client.ready(endpoints);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** Whether it says that a call was never sent, since there was no connection. */
function isUnreached(error: unknown): error is RpcError {
  return isRpcError(error) && error.code === "unavailable" && error.notStarted && !error.remote;
}

function closed(): RpcError {
  return new RpcError("unavailable", "The client is closed", { notStarted: true });
}

/** Waits for the first list of a discovery, not longer than `timeout` ms; 0 = as long as it takes. */
function firstList<T>(list: Promise<T>, discovery: Discovery, timeout: number): Promise<T> {
  if (timeout === 0) return list;
  return new Promise((resolve, reject) => {
    const late = () => {
      const { failure } = discovery;
      const why = failure === undefined ? "" : `: ${failure.message}`;
      const message = `No list of servers within ${timeout} ms${why}`;
      const code = isRpcError(failure) ? failure.code : "unavailable";
      reject(new RpcError(code, message, { cause: failure, notStarted: true }));
    };
    const timer = setTimeout(late, timeout);
    list.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
