// The client: one object for calls to many servers. Sends calls that a ready connection can take; others go to
// SlowPath. Servers owns the list of endpoints, with one channel for each, and picks among them.

import type { Contract } from "../call/contract.ts";
import { rejection } from "../call/error.ts";
import type { Reply } from "../call/interceptor.ts";
import { applicationMetadata, type Metadata, NO_METADATA } from "../call/metadata.ts";
import { RecentMetadata } from "../call/recent_metadata.ts";
import type { Balancer } from "../discovery/balancer.ts";
import type { Discovery } from "../discovery/discovery.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { broadcast } from "./broadcast.ts";
import { openStream } from "../session/call_stream.ts";
import type { CallBodies, CallBody } from "../session/call_body.ts";
import { type CallDefaults, OutgoingCall } from "../session/outgoing_call.ts";
import type { LimitStats } from "../session/limit_counters.ts";
import type { CallOptions, FailMode } from "../call/call_options.ts";
import { failModeOf } from "./fail_mode.ts";
import type { ClientSettings } from "./connect_options.ts";
import type { RetryBudget } from "./retry_budget.ts";
import { type EndpointStats, Servers } from "./servers.ts";
import { closed, SlowPath } from "./slow_path.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { Chain, type Make } from "./intercept_outgoing.ts";
import {
  type ContractClient,
  contractClient,
  type ServiceClient,
  serviceClient,
  type ServiceClientOptions,
} from "../call/typed.ts";

/** The state of a client. */
export interface ClientStats {
  /** The balancer: its name, or that of its class; `custom` if it has no name. */
  readonly balancer: string;
  /** The servers on the client's list. */
  readonly endpoints: readonly EndpointStats[];
  /** Calls that have not settled. */
  readonly pending: number;
  /** Calls that the retry budget has counted: those sent again, and those sent a second time as a backup. */
  readonly retries: number;
  /** Calls that were not sent again because the retry budget was used up. */
  readonly refusedRetries: number;
  /** How often limits were met. */
  readonly limits: LimitStats;
}

/** Calls methods of servers. {@linkcode connect} makes one. */
export class Client implements AsyncDisposable {
  readonly #settings: ClientSettings;
  readonly #defaults: CallDefaults;
  readonly #chain: Chain;
  readonly #servers: Servers;
  readonly #budget: RetryBudget;
  readonly #slowPath: SlowPath;
  readonly #bodies: CallBodies;
  readonly #stop = new AbortController();
  #discovery: Discovery | undefined;
  #watching: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** @ignore Use {@linkcode connect}. */
  constructor(settings: ClientSettings, balancer: Balancer) {
    this.#chain = new Chain(
      settings.interceptors,
      settings.timeout,
      (args) => this.#slowPath.keepEarly(args),
    );
    this.#settings = settings;
    this.#servers = new Servers(settings, balancer, () => this.#refresh());
    this.#budget = settings.budget;
    this.#bodies = settings.dial.bodies;
    this.#slowPath = new SlowPath(settings, this.#servers);
    this.#defaults = {
      timeout: settings.timeout,
      recentMetadata: new RecentMetadata(),
      observer: settings.observer,
      leaves: (call, reason) => this.#slowPath.leaves(call, reason),
      again: (call, error) => this.#slowPath.again(call, error),
    };
  }

  /**
   * Calls a method. To run calls concurrently, await their promises together.
   *
   * @typeParam T What the method returns; not checked
   * @param method Such as `Arith.sum`
   * @param args The one argument, or an AsyncIterable of them; left out or null, the method gets undefined
   * @param options Timeout, signal, metadata, key, and what to do about a server that fails
   * @returns What the method returned
   * @throws {RpcError} Why the call failed, as a rejection
   * @throws {TypeError} If the method or an option is invalid, or the fail mode cannot be used for this call; as a
   * rejection
   * @throws {RangeError} If the timeout or a number of the fail mode is out of range; as a rejection
   */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T> {
    if (!this.#chain.empty) {
      const make = (...call: Parameters<Make>) => this.#reply(...call);
      return this.#chain.run(method, args, options, make) as Promise<T>;
    }
    return new Promise<unknown>((resolve) => {
      this.#start(new OutgoingCall(method, args, options, this.#defaults, resolve));
    }) as Promise<T>;
  }

  /**
   * Calls a method that answers with a stream. The call starts when the first item is requested. Leaving the loop
   * cancels the call, and the handler's `signal` aborts. A method that returns one value gives a stream of one item.
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
   * @returns The items, which can be iterated once; iterating throws an `RpcError` if the call fails
   * @throws {TypeError} If the method or an option is invalid
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
   * Calls a method of every server concurrently. The first error cancels the other calls and is thrown.
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
    return this.#chain.run(method, args, options, make) as Promise<T>;
  }

  /**
   * Returns an object with the methods of a service, for services whose type is known.
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
   * @param options Timeout and metadata of its calls
   * @throws {TypeError} If an option is unknown, or the metadata is invalid
   * @throws {RangeError} If the timeout is negative or NaN
   */
  service<S>(name: string, options?: ServiceClientOptions): ServiceClient<S>;
  /**
   * Returns an object with the methods of a service that has a contract.
   *
   * @typeParam C The contract's type
   * @param contract What {@linkcode defineService} returned
   * @param options Timeout and metadata of its calls; the timeout of a method in the contract takes precedence
   */
  service<C extends Contract>(contract: C, options?: ServiceClientOptions): ContractClient<C>;
  service(service: string | Contract, options?: ServiceClientOptions): unknown {
    return typeof service === "string"
      ? serviceClient(this, service, options)
      : contractClient(this, service, options);
  }

  /** Returns the state of the client. */
  stats(): ClientStats {
    const { pending } = this.#servers;
    const { spent: retries, refused: refusedRetries } = this.#budget;
    const limits = this.#settings.dial.counters.stats();
    const { balancer } = this.#settings;
    return { balancer, endpoints: this.#servers.stats(), pending, retries, refusedRetries, limits };
  }

  /** Closes all connections now: calls that have not settled end with `unavailable`. May be called more than once. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The same as {@linkcode Client.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Follows a discovery; resolves with its first list.
   *
   * @ignore Use {@linkcode connect}.
   */
  follow(discovery: Discovery): Promise<readonly Endpoint[]> {
    this.#servers.discovery = discovery;
    this.#discovery = discovery;
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

  /** Makes a call; returns its result with the metadata of the reply. */
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
      this.#slowPath.keepArgs(call);
      broadcast(() => this.#servers.channels, call, this.#slowPath.context).then(
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
    const session = channel?.sessionFor(call);
    const now = session?.now() ?? performance.now();
    call.begin(now, channel?.address);
    if (
      channel === undefined || session === undefined || call.signal?.aborted || call.deadline <= now ||
      mode !== "failover" && mode !== "failfast"
    ) {
      const attempt = channel === undefined ? undefined : this.#servers.attempt(channel, call, now);
      return this.#slowPath.start(call, mode, attempt);
    }
    call.listener = this.#servers.listener(channel, call, now);
    session.call(call);
  }

  /** The fail mode of a call; undefined if the call cannot use the one it asks for, and has failed. */
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

  /** Looks for a newer list of servers, where the discovery has to be asked for it. */
  #refresh(): void {
    if (this.#closing !== undefined) return;
    try {
      this.#discovery?.refresh?.();
    } catch (error) {
      this.#settings.dial.log?.("Refreshing the servers failed", error);
    }
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    this.#slowPath.close();
    await Promise.all([this.#watching, this.#servers.close(closed())]);
  }
}
