// The servers of one client: a channel to each that is in the list, how each stands, and the balancer that picks among
// them. Owned by a Client.

import type { Code, RpcError } from "../call/error.ts";
import type { Log } from "../call/log.ts";
import type { Balancer, PickContext } from "../discovery/balancer.ts";
import { Ejection, type EjectionOptions, type EndpointHealth } from "../discovery/ejection.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { DialOptions } from "../session/dial.ts";
import type { AttemptListener, OutgoingCall } from "../session/outgoing_call.ts";
import { Channel, type ChannelState } from "./channel.ts";
import { Attempt, type PickRequest, type ReportOutcome } from "./attempt.ts";
import type { ServerChanges } from "./retry_loop.ts";
import { within } from "./waiting.ts";

/** One server as a client sees it. */
export interface EndpointStats {
  /** Its address. */
  readonly address: string;
  /** How the connection to it stands. */
  readonly state: ChannelState;
  /** Calls to it that are not settled. */
  readonly pending: number;
  /** Its share of the calls beside others', for balancers that weigh. */
  readonly weight: number;
  /** Failures since the last success. Enough of them set it aside. */
  readonly failures: number;
  /**
   * Left out while it is healthy. A server that kept failing is `ejected`, it gets no calls; then `half_open`, the next call
   * probes it; then `probing`, until that call has ended.
   */
  readonly health?: "ejected" | "half_open" | "probing";
  /** After how many ms an ejected server is probed: 0 if it only waits for a connection. */
  readonly probeIn?: number;
}

/** Channels, and the choice between them. */
export class Servers implements ServerChanges {
  readonly #dial: DialOptions;
  readonly #balancer: Balancer;
  readonly #ejection: Ejection;
  /** Tells the balancer how attempts went, if it wants to know. */
  readonly #notify: ReportOutcome | undefined;
  readonly #channels = new Map<string, Channel>();
  /** Channels of endpoints that have left the list and still finish their calls. */
  readonly #retired = new Set<Channel>();
  #version = 0;
  /** Calls that wait for the next change. */
  readonly #waiting = new Set<() => void>();

  /** @throws {TypeError | RangeError} If the options of ejection are none */
  constructor(dial: DialOptions, balancer: Balancer, ejection: EjectionOptions | false) {
    this.#dial = dial;
    this.#balancer = balancer;
    // Both are run where calls end: what a balancer throws there must not end the connection.
    const guarded = guard(dial.log);
    this.#ejection = new Ejection(ejection, (endpoints) => guarded(() => balancer.update(endpoints)));
    if (typeof balancer.done === "function") {
      this.#notify = (endpoint, outcome) => guarded(() => balancer.done!(endpoint, outcome));
    }
  }

  /** The channels to all of them, those that are set aside included. */
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

  /** The channel of a server of the list. */
  channel(address: string): Channel | undefined {
    return this.#channels.get(address);
  }

  /** Picks a channel. How the attempt there goes is to be told to {@linkcode listener}. */
  pick(context: PickContext): Channel | undefined {
    const endpoint = this.#balancer.pick(context);
    if (endpoint === undefined) return undefined;
    const channel = this.#channels.get(endpoint.address);
    channel?.health.picked();
    return channel;
  }

  /** The listener that learns how an attempt over `channel`, which was just picked for `call`, goes. */
  listener(channel: Channel, call: PickRequest, began: number): AttemptListener {
    return this.#notify === undefined ? channel : this.attempt(channel, call, began);
  }

  /** An attempt over `channel`, which was just picked for `call`. */
  attempt(channel: Channel, call: PickRequest, began: number, lastResort?: boolean): Attempt {
    return new Attempt(channel, this.#notify, began, call.streams, lastResort);
  }

  /**
   * Picks a server that the call does not exclude, for its long way. If the balancer has no other for it, it may choose
   * among those that are set aside too.
   *
   * @param soon Whether it must be one to which the call can be sent soon
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

  /** How many new lists and connections there have been: calls that found no server may find one. */
  get version(): number {
    return this.#version;
  }

  /**
   * Waits for one more.
   *
   * @param since What `version` was before the call looked for a server
   * @param why Why it found none
   * @param code Of the error if the call's deadline comes first
   * @throws {RpcError} If the call's deadline comes first, or `signal` aborts
   */
  async changed(
    since: number,
    { deadline, method }: OutgoingCall,
    signal: AbortSignal | undefined,
    why: string,
    code?: Code,
  ): Promise<void> {
    if (since !== this.#version) return;
    let go = () => {};
    const change = new Promise<void>((resolve) => this.#waiting.add(go = resolve));
    try {
      await within(change, deadline, signal, method, why, code);
    } finally {
      this.#waiting.delete(go);
    }
  }

  /** Takes the servers that there are from now on. */
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
      const channel = new Channel(address, health, this.#dial, () => this.#onRoom(channel));
      this.#channels.set(address, channel);
      added.push(channel);
    }
    for (const channel of added) this.#onRoom(channel);
    this.#change();
  }

  /** How each of them stands. */
  stats(): EndpointStats[] {
    return this.channels.map(({ address, state, pending, health }) => ({
      address,
      state,
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

  /** Calls can be sent to a server that could not be before: those that wait at others may come. */
  #onRoom(channel: Channel): void {
    for (const other of this.#channels.values()) {
      if (other !== channel) other.ready?.offerWaiting(() => channel.takesCalls());
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
    // A balancer of the user's own may not care for what is excluded.
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

/** Runs what a user's balancer does; what it throws is logged. */
function guard(log: Log | undefined): (run: () => void) => void {
  return (run) => {
    try {
      run();
    } catch (error) {
      log?.("The balancer failed", error);
    }
  };
}
