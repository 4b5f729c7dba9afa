// The client: one object for calls to many servers. Owns the list of endpoints, one channel for each, and the choice
// between them. What happens on a connection is the channel's; when a call goes to another server is retry.ts.

import { RpcError } from "../call/error.ts";
import type { Balancer, PickContext } from "../discovery/balancer.ts";
import { createBalancer } from "../discovery/balancers.ts";
import type { Discovery } from "../discovery/discovery.ts";
import { type Endpoint, parseAddress } from "../discovery/endpoint.ts";
import { MultiServers } from "../discovery/multi_servers.ts";
import { broadcast } from "./broadcast.ts";
import { type CallDefaults, ClientCall } from "./call.ts";
import { Channel, type ChannelState } from "./channel.ts";
import { type CallOptions, type ClientSettings, clientSettings, type ConnectOptions } from "./options.ts";
import { retry } from "./retry.ts";
import { type ServiceClient, serviceClient } from "./typed.ts";

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
}

/** Makes calls. Made by {@linkcode connect}. */
export class Client implements AsyncDisposable {
  readonly #settings: ClientSettings;
  readonly #defaults: CallDefaults;
  readonly #balancer: Balancer;
  readonly #channels = new Map<string, Channel>();
  /** Channels of endpoints that have left the list and still finish their calls. */
  readonly #retired = new Set<Channel>();
  readonly #stop = new AbortController();
  #watching: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** @ignore Use {@linkcode connect}. */
  constructor(settings: ClientSettings, balancer: Balancer) {
    this.#settings = settings;
    this.#balancer = balancer;
    this.#defaults = {
      timeout: settings.timeout,
      again: (call, error) => this.#takeLongWay(call, undefined, error),
    };
  }

  /**
   * Calls a method. Not awaiting the promise at once is how calls go on side by side.
   *
   * @typeParam T What the method returns; not checked
   * @param method Such as `Arith.sum`
   * @param args The one argument; left out, the method gets null
   * @param options Timeout, signal, metadata
   * @returns What the method returned
   * @throws {RpcError} Why the call failed, as a rejection
   * @throws {TypeError} If the method, the signal or the metadata are none, as a rejection
   * @throws {RangeError} If the timeout is negative or NaN, as a rejection
   */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      this.#start(new ClientCall(method, args, options, this.#defaults, resolve, reject));
    }) as Promise<T>;
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
    return new Promise<unknown>((resolve, reject) => {
      const call = new ClientCall(method, args, options, this.#defaults, resolve, reject);
      if (this.#closing !== undefined) throw closed();
      call.begin(performance.now());
      broadcast([...this.#channels.values()], call).then(resolve, reject);
    }) as Promise<T>;
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
  service<S>(name: string): ServiceClient<S> {
    return serviceClient<S>(this, name);
  }

  /** What it has to do with now. */
  stats(): ClientStats {
    const endpoints = [...this.#channels.values()].map(({ address, state, pending }) => ({
      address,
      state,
      pending,
    }));
    const retired = [...this.#retired].reduce((sum, { pending }) => sum + pending, 0);
    return { endpoints, pending: endpoints.reduce((sum, { pending }) => sum + pending, retired) };
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

  #start(call: ClientCall): void {
    const channel = this.#pick(call);
    const session = channel?.ready;
    if (session === undefined || call.signal?.aborted || call.timeout === 0) {
      call.begin(performance.now());
      return this.#takeLongWay(call, channel);
    }
    call.begin(session.now());
    session.call(call);
  }

  /** Waits for a connection, tries other servers. */
  #takeLongWay(call: ClientCall, channel: Channel | undefined, error?: RpcError): void {
    retry(call, (context) => this.#pick(context), channel, error).then(call.resolve, call.fail);
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
    throw new TypeError("Cannot connect: expected an address or a Discovery");
  }
  try {
    const endpoints = await firstList(client.follow(discovery), settings.connectTimeout);
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

/** Waits for the first list of servers, not longer than `timeout` ms; 0 = as long as it takes. */
function firstList<T>(list: Promise<T>, timeout: number): Promise<T> {
  if (timeout === 0) return list;
  return new Promise((resolve, reject) => {
    const late = () => reject(new RpcError("deadline_exceeded", `No list of servers within ${timeout} ms`));
    const timer = setTimeout(late, timeout);
    list.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
