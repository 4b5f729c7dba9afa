// The client: one object for calls to many servers. Owns the list of endpoints, one channel for each, and the choice
// between them. What happens on a connection is the channel's; when a call goes to another server is retry.ts.

import type { Contract } from "../call/contract.ts";
import { ambient } from "../call/ambient.ts";
import { RpcError } from "../call/error.ts";
import type { Reply } from "../call/interceptor.ts";
import { type Metadata, NO_METADATA, ofApplication } from "../call/metadata.ts";
import type { Balancer, PickContext } from "../discovery/balancer.ts";
import { createBalancer } from "../discovery/balancers.ts";
import type { Discovery } from "../discovery/discovery.ts";
import { type Endpoint, parseAddress } from "../discovery/endpoint.ts";
import { MultiServers } from "../discovery/multi_servers.ts";
import { broadcast } from "./broadcast.ts";
import { openStream } from "../transport/call_stream.ts";
import { type CallDefaults, OutgoingCall } from "../transport/outgoing_call.ts";
import type { LimitStats } from "../transport/tally.ts";
import { mayRetry } from "./call.ts";
import { Channel, type ChannelState } from "./channel.ts";
import type { CallOptions } from "../call/call_options.ts";
import { type ClientSettings, clientSettings, type ConnectOptions } from "./options.ts";
import { retry } from "./retry.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { Chain, type Make } from "./intercept.ts";
import { type ContractClient, contractClient, type ServiceClient, serviceClient } from "../call/typed.ts";

/** One server as a client sees it. */
export interface EndpointStats {
  /** Its address. */
  readonly address: string;
  /** How the connection to it stands. */
  readonly state: ChannelState;
  /** Calls to it that are not settled. */
  readonly pending: number;
}

/** What a client has to do with now. */
export interface ClientStats {
  /** The servers that calls may go to. */
  readonly endpoints: readonly EndpointStats[];
  /** Calls that are not settled. */
  readonly pending: number;
  /** How often limits were met. */
  readonly limits: LimitStats;
}

/** Makes calls. Made by {@linkcode connect}. */
export class Client implements AsyncDisposable {
  readonly #settings: ClientSettings;
  readonly #defaults: CallDefaults;
  readonly #chain: Chain;
  readonly #balancer: Balancer;
  readonly #channels = new Map<string, Channel>();
  /** Channels of endpoints that have left the list and still finish their calls. */
  readonly #retired = new Set<Channel>();
  readonly #stop = new AbortController();
  #watching: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** @ignore Use {@linkcode connect}. */
  constructor(settings: ClientSettings, balancer: Balancer) {
    ambient.want();
    this.#chain = new Chain(settings.interceptors, settings.timeout);
    this.#settings = settings;
    this.#balancer = balancer;
    this.#defaults = {
      timeout: settings.timeout,
      again: (call, error) => {
        if (!mayRetry(error, call)) return false;
        this.#takeLongWay(call, undefined, error);
        return true;
      },
    };
  }

  /**
   * Calls a method. Not awaiting the promise at once is how calls go on side by side.
   *
   * @typeParam T What the method returns; not checked
   * @param method Such as `Arith.sum`
   * @param args The one argument, or an AsyncIterable of them; left out, the method gets null
   * @param options Timeout, signal, metadata
   * @returns What the method returned
   * @throws {RpcError} Why the call failed, as a rejection
   * @throws {TypeError} If the method, the signal or the metadata are none, as a rejection
   * @throws {RangeError} If the timeout is negative or NaN, as a rejection
   */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T> {
    if (!this.#chain.empty) {
      const make = (...call: Parameters<Make>) => this.#reply(...call);
      return this.#chain.run(method, args, options, make).then(({ value }) => value as T);
    }
    return new Promise<unknown>((resolve, reject) => {
      this.#start(new OutgoingCall(method, args, options, this.#defaults, resolve, reject));
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
    return this.#chain.stream(method, args, options, make) as AsyncGenerator<T>;
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
    const endpoints = [...this.#channels.values()].map(({ address, state, pending }) => ({
      address,
      state,
      pending,
    }));
    const retired = [...this.#retired].reduce((sum, { pending }) => sum + pending, 0);
    const pending = endpoints.reduce((sum, { pending }) => sum + pending, retired);
    return { endpoints, pending, limits: this.#settings.dial.tally.stats() };
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
          this.#update(endpoints);
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
    await Promise.all(endpoints.map(({ address }) => this.#channels.get(address)?.connected()));
  }

  /** A call, with what came beside its result. */
  #reply(method: string, args: unknown, options: CallOptions | undefined): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const done = (value: unknown, metadata?: Metadata) =>
        resolve({ value, metadata: ofApplication(metadata) });
      this.#start(new OutgoingCall(method, args, options, this.#defaults, done, reject));
    });
  }

  #stream<T>(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    metadata?: Map<string, string | Uint8Array>,
  ): AsyncIterableIterator<T> {
    const start = (call: OutgoingCall) => this.#start(call);
    return openStream<T>(method, args, options, this.#defaults, start, undefined, metadata);
  }

  #broadcast(method: string, args: unknown, options: CallOptions | undefined): Promise<unknown> {
    return new Promise<unknown>((resolve, reject) => {
      const call = new OutgoingCall(method, args, options, this.#defaults, resolve, reject);
      if (this.#closing !== undefined) throw closed();
      if (isAsyncIterable(args)) {
        throw new TypeError("Cannot broadcast a stream of arguments: its items can be taken only once");
      }
      call.begin(performance.now());
      broadcast([...this.#channels.values()], call).then(resolve, reject);
    });
  }

  #start(call: OutgoingCall): void {
    const channel = this.#pick(call);
    const session = channel?.ready;
    const now = session?.now() ?? performance.now();
    call.begin(now);
    if (session === undefined || call.signal?.aborted || call.deadline <= now) {
      return this.#takeLongWay(call, channel);
    }
    session.call(call);
  }

  /** Waits for a connection, tries other servers. */
  #takeLongWay(call: OutgoingCall, channel: Channel | undefined, error?: RpcError): void {
    retry(call, (context) => this.#pick(context), channel, error)
      .then((result) => call.resolve(result, call.replyMetadata), call.fail);
  }

  #pick(context: PickContext): Channel | undefined {
    if (this.#closing !== undefined) throw closed();
    const endpoint = this.#balancer.pick(context);
    return endpoint === undefined ? undefined : this.#channels.get(endpoint.address);
  }

  #update(endpoints: readonly Endpoint[]): void {
    const addresses = new Set(endpoints.map(({ address }) => address));
    for (const [address, channel] of this.#channels) {
      if (addresses.has(address)) continue;
      this.#channels.delete(address);
      this.#retired.add(channel);
      channel.retire().then(() => this.#retired.delete(channel));
    }
    for (const address of addresses) {
      if (!this.#channels.has(address)) {
        this.#channels.set(address, new Channel(address, this.#settings.dial));
      }
    }
    this.#balancer.update(endpoints);
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    const channels = [...this.#channels.values(), ...this.#retired];
    await Promise.all([this.#watching, ...channels.map((channel) => channel.close(closed()))]);
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
 * @throws {RpcError} Why the server cannot be reached or refuses, or that there is no list of servers in time
 * @throws {TypeError} If the address or an option is none
 * @throws {RangeError} If a number is out of its range
 */
export async function connect(target: string | Discovery, options: ConnectOptions = {}): Promise<Client> {
  const settings = clientSettings(options);
  const client = new Client(settings, createBalancer(options.balancer ?? "round_robin"));
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
      reject(new RpcError("deadline_exceeded", message, { cause: failure }));
    };
    const timer = setTimeout(late, timeout);
    list.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
