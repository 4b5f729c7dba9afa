// The servers of one client: a channel to each server on the list, the health of each, and the balancer that picks
// among them. Owned by a Client.

import { type Code, RpcError } from "../call/error.ts";
import type { Log } from "../call/log.ts";
import type { Balancer, PickContext } from "../discovery/balancer.ts";
import type { Discovery } from "../discovery/discovery.ts";
import { MultiServers } from "../discovery/multi_servers.ts";
import { Ejection, type EndpointHealth } from "../discovery/ejection.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { DialOptions } from "../session/dial.ts";
import type { AttemptListener, OutgoingCall } from "../session/outgoing_call.ts";
import { Channel, type ChannelState } from "./channel.ts";
import { Attempt, type PickRequest, type ReportOutcome } from "./attempt.ts";
import type { ClientSettings } from "./connect_options.ts";
import type { ServerChanges } from "./retry_loop.ts";
import type { SessionPool } from "./session_pool.ts";
import { within } from "./waiting.ts";

/** One server of a client. */
export interface EndpointStats {
  /** Its address. */
  readonly address: string;
  /** The state of the connection to it. With several connections, `ready` if any is. */
  readonly state: ChannelState;
  /** Open connections to it that take new calls, up to the option `connections`. */
  readonly connections: number;
  /** Calls to it that have not settled. */
  readonly pending: number;
  /** Its share of the calls relative to other servers, for balancers that use weights. */
  readonly weight: number;
  /** Failures since the last success. Enough of them eject the server. */
  readonly failures: number;
  /**
   * Left out while the server is healthy. A server that kept failing is `ejected` and gets no calls; then it is
   * `half_open`, and the next call probes it; then `probing`, until that call has ended.
   */
  readonly health?: "ejected" | "half_open" | "probing";
  /** Milliseconds until an ejected server is probed; 0 if it only waits for a connection. */
  readonly probeIn?: number;
}

/** The channels of one client, and the choice between them. */
export class Servers implements ServerChanges {
  readonly #dial: DialOptions;
  readonly #balancer: Balancer;
  readonly #ejection: Ejection;
  /** Reports the outcome of attempts to the balancer, if it has `done`. */
  readonly #notify: ReportOutcome | undefined;
  readonly #channels = new Map<string, Channel>();
  /** Channels of endpoints that have left the list and are finishing their calls. */
  readonly #retired = new Set<Channel>();
  /** Where the list is from, for errors. */
  discovery: Discovery | undefined;
  #version = 0;
  /** Calls that wait for the next change. */
  readonly #waiting = new Set<() => void>();

  /** Called when a server was lost or cannot be reached. */
  readonly #lost: () => void;
  readonly #newPool: (() => SessionPool) | undefined;

  /**
   * @param lost Called when a server was lost or cannot be reached: the list may be out of date
   * @throws {TypeError | RangeError} If the options of ejection are invalid
   */
  constructor(
    { dial, ejection, newPool }: Pick<ClientSettings, "dial" | "ejection" | "newPool">,
    balancer: Balancer,
    lost: () => void,
  ) {
    this.#dial = dial;
    this.#newPool = newPool;
    this.#lost = lost;
    this.#balancer = balancer;
    // Both run where calls end: an error of the balancer must not end the connection.
    const guarded = guard(dial.log);
    this.#ejection = new Ejection(ejection, (endpoints) => guarded(() => balancer.update(endpoints)));
    if (typeof balancer.done === "function") {
      this.#notify = (endpoint, outcome) => guarded(() => balancer.done!(endpoint, outcome));
    }
  }

  /** The channels to all servers on the list, ejected ones included. */
  get channels(): Channel[] {
    return [...this.#channels.values()];
  }

  /** Calls that are not settled. */
  get pending(): number {
    let pending = 0;
    for (const channel of this.#channels.values()) pending += channel.pending;
    for (const channel of this.#retired) pending += channel.pending;
    return pending;
  }

  /** The error of a call for which there is no server. */
  noServer(method: string): RpcError {
    const { size } = this.#channels;
    const { source, failure } = this.discovery ?? {};
    const empty = source === undefined ? "the list of servers is empty" : `${source} lists none`;
    const why = size > 0 ? `the balancer picked none of ${size}` : empty;
    const more = failure === undefined ? "" : `; ${failure.message}`;
    const message = `No server is known to call ${method}: ${why}${more}`;
    return new RpcError("unavailable", message, { cause: failure, notStarted: true });
  }

  /** The channel of a server of the list. */
  channel(address: string): Channel | undefined {
    return this.#channels.get(address);
  }

  /** Picks a channel. Report the outcome of the attempt to {@linkcode listener}. */
  pick(context: PickContext): Channel | undefined {
    const endpoint = this.#balancer.pick(context);
    if (endpoint === undefined) return undefined;
    const channel = this.#channels.get(endpoint.address);
    channel?.health.picked();
    return channel;
  }

  /** The listener for the outcome of an attempt over `channel`, which was just picked for `call`. */
  listener(channel: Channel, call: PickRequest, began: number): AttemptListener {
    return this.#notify === undefined ? channel : this.attempt(channel, call, began);
  }

  /** An attempt over `channel`, which was just picked for `call`. */
  attempt(channel: Channel, call: PickRequest, began: number, lastResort?: boolean): Attempt {
    return new Attempt(channel, this.#notify, began, call.streams, lastResort);
  }

  /**
   * Picks a server that the call does not exclude, for its slow path. If the balancer finds none, it may pick an
   * ejected server.
   *
   * @param soon Whether the call must be able to go there soon
   */
  pickAttempt(context: PickRequest, soon = false): Attempt | undefined {
    if (!soon) return this.#pickAttempt(context, false) ?? this.#lastResort(context);
    const exclude = new Set(context.exclude);
    let others = 0;
    for (const channel of this.#channels.values()) {
      if (exclude.has(channel.address)) continue;
      if (channel.takesCalls()) others++;
      else exclude.add(channel.address);
    }
    const { method, key, streams } = context;
    return others === 0 ? undefined : this.#pickAttempt({ method, key, streams, exclude }, false);
  }

  /** Counts new lists and connections: after a change, calls that found no server may find one. */
  get version(): number {
    return this.#version;
  }

  /**
   * Waits for the next change.
   *
   * @param since What `version` was before the call looked for a server
   * @param why Why it found none
   * @param code Of the error if the call's deadline comes first
   * @throws {RpcError} If the call's deadline comes first, or `signal` aborts
   */
  async changed(
    since: number,
    call: OutgoingCall,
    signal: AbortSignal | undefined,
    why: string,
    code?: Code,
  ): Promise<void> {
    if (since !== this.#version) return;
    let go = () => {};
    const change = new Promise<void>((resolve) => this.#waiting.add(go = resolve));
    try {
      await within(change, call.deadline, signal, call, why, code);
    } finally {
      this.#waiting.delete(go);
    }
  }

  /** Takes a new list of servers. */
  update(endpoints: readonly Endpoint[]): void {
    this.#balancer.update(this.#ejection.update(endpoints));
    const addresses = new Set(endpoints.map(({ address }) => address));
    for (const [address, channel] of this.#channels) {
      if (addresses.has(address)) continue;
      this.#channels.delete(address);
      this.#retired.add(channel);
      channel.retire().then(() => this.#retired.delete(channel));
    }
    const added: Channel[] = [];
    for (const address of addresses) {
      if (this.#channels.has(address)) continue;
      const health = this.#ejection.health(address)!;
      const channel: Channel = new Channel(address, health, this.#dial, {
        room: () => this.#onRoom(channel),
        lost: this.#lost,
        only: () => this.#channels.size === 1 && this.discovery instanceof MultiServers,
      }, this.#newPool?.());
      this.#channels.set(address, channel);
      added.push(channel);
    }
    for (const channel of added) this.#onRoom(channel);
    this.#change();
  }

  /** The state of each server. */
  stats(): EndpointStats[] {
    return this.channels.map(({ address, state, connections, pending, health }) => ({
      address,
      state,
      connections,
      pending,
      weight: health.endpoint.weight ?? 1,
      failures: health.failures,
      ...healthOf(health),
    }));
  }

  /** Closes all connections now: calls over them end with `reason`. */
  async close(reason: RpcError): Promise<void> {
    this.#ejection.close();
    this.#change();
    const channels = [...this.#channels.values(), ...this.#retired];
    await Promise.all(channels.map((channel) => channel.close(reason)));
  }

  /** A server takes calls that did not before: calls that wait at other servers may move to it. */
  #onRoom(channel: Channel): void {
    for (const other of this.#channels.values()) {
      if (other !== channel) other.offerWaiting(() => channel.takesCalls());
    }
    this.#change();
  }

  #change(): void {
    this.#version++;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const go of waiting) go();
  }

  #pickAttempt(context: PickRequest, lastResort: boolean): Attempt | undefined {
    const channel = this.pick(context);
    if (channel === undefined) return undefined;
    const attempt = this.attempt(channel, context, performance.now(), lastResort);
    // A user's balancer may ignore `exclude`.
    if (context.exclude?.has(channel.address) !== true) return attempt;
    attempt.release();
    return undefined;
  }

  #lastResort(context: PickRequest): Attempt | undefined {
    const { endpoints, pickable } = this.#ejection;
    if (pickable.length === endpoints.length) return undefined;
    this.#balancer.update(endpoints);
    try {
      return this.#pickAttempt(context, true);
    } finally {
      this.#balancer.update(this.#ejection.pickable);
    }
  }
}

/** The health of a server that is not healthy. */
function healthOf({ state, probeIn }: EndpointHealth): Partial<EndpointStats> {
  if (state === "healthy" || state === "removed") return {};
  return { health: state, ...probeIn === undefined ? {} : { probeIn: Math.round(probeIn) } };
}

/** Runs code of a user's balancer, and logs what it throws. */
function guard(log: Log | undefined): (run: () => void) => void {
  return (run) => {
    try {
      run();
    } catch (error) {
      log?.("The balancer failed", error);
    }
  };
}
