// Outlier ejection: removes servers that fail repeatedly from the balancer's list, and probes them before they return. Sits
// between a client's list of servers and any balancer. Does no I/O.

import { checkOptions } from "../call/check_options.ts";
import { jitter } from "./backoff.ts";
import { checkDuration, type Clock, SYSTEM_CLOCK } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";

/** When failing servers are ejected, and for how long. Times in ms. */
export interface EjectionOptions {
  /**
   * Number of consecutive failures that eject a server, from 1. Failures are: no connection, `unavailable`,
   * `deadline_exceeded`. Other errors show that the server works.
   *
   * @default {5}
   */
  consecutiveFailures?: number;
  /**
   * Duration of the first ejection; it doubles each further time, ±20 %.
   *
   * @default {1_000}
   */
  baseTime?: number;
  /**
   * Maximum duration of an ejection before jitter.
   *
   * @default {60_000}
   */
  maxTime?: number;
  /**
   * Maximum share of the list that may be ejected at once, 0 to 1. The last server is never ejected.
   *
   * @default {0.5}
   */
  maxShare?: number;
}

/** The health of a server. */
const State = {
  /** It receives calls. */
  Healthy: 0,
  /** It is ejected and receives no calls. */
  Ejected: 1,
  /** The next call that the balancer picks it for is its probe. */
  HalfOpen: 2,
  /** A probe is in flight; the server receives no other calls. */
  Probing: 3,
  /** It has left the list. */
  Removed: 4,
} as const;

/** The names of the states, for display. */
const STATE_NAMES = ["healthy", "ejected", "half_open", "probing", "removed"] as const;

/** The name of a server's state. */
export type EndpointHealthState = typeof STATE_NAMES[number];

const FACTOR = 2;
const JITTER = 0.2;

/** The health of one server. Notified of every attempt and of the server's connection. */
export class EndpointHealth {
  /** The server as last listed. */
  endpoint: Endpoint;
  readonly #ejection: Ejection;
  #state: number = State.Healthy;
  /** Failures since the last success. */
  #failures = 0;
  /** Number of ejections, reset after the server has been healthy for longer than its last ejection. */
  #times = 0;
  /** Duration of the last ejection, in ms. */
  #time = 0;
  /** When it became healthy again. */
  #since = 0;
  #connected = true;
  /** When the last ejection ends. */
  #until = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(endpoint: Endpoint, ejection: Ejection) {
    this.endpoint = endpoint;
    this.#ejection = ejection;
  }

  /** Whether the server is ejected, half-open or being probed. */
  get ejected(): boolean {
    return this.#state !== State.Healthy && this.#state !== State.Removed;
  }

  /** The name of the state. */
  get state(): EndpointHealthState {
    return STATE_NAMES[this.#state]!;
  }

  /** Consecutive failures, which count towards ejection. */
  get failures(): number {
    return this.#failures;
  }

  /** Time until the ejection ends, in ms: 0 if it has ended but there is no connection; undefined if not ejected. */
  get probeIn(): number | undefined {
    return this.#state === State.Ejected ? Math.max(0, this.#until - this.#ejection.clock.now()) : undefined;
  }

  /** Whether the balancer may pick it. */
  get pickable(): boolean {
    return this.#state === State.Healthy || this.#state === State.HalfOpen;
  }

  /** Called for every pick: the call may be the probe. */
  picked(): void {
    if (this.#state === State.HalfOpen) this.#enter(State.Probing);
  }

  /** Called when an attempt was answered. */
  succeeded(): void {
    this.#failures = 0;
    // A success of an attempt from before the ejection does not count: a flaky server answers some calls.
    if (this.#state === State.Probing) this.uneject();
  }

  /** Makes the server healthy without a probe, because it has shown that it works. */
  uneject(): void {
    if (!this.ejected) return;
    this.#since = this.#ejection.clock.now();
    this.#enter(State.Healthy);
  }

  /** Called when an attempt failed because the server does not work. */
  failed(): void {
    if (this.#state === State.Healthy) {
      this.#failures++;
      if (this.#failures >= this.#ejection.consecutiveFailures && this.#ejection.hasRoom()) this.#eject();
    } else if (this.#state === State.Probing) {
      this.#eject();
    }
  }

  /** Called when an attempt ended without showing whether the server works. If it was the probe, the next call is. */
  undecided(): void {
    if (this.#state === State.Probing) this.#enter(State.HalfOpen);
  }

  /** Called when there is a new connection: the server can be probed at once. */
  connected(): void {
    this.#connected = true;
    if (this.#state === State.Ejected) this.#enter(State.HalfOpen);
  }

  /** Called when the connection is lost: the server cannot be probed until there is a new one. */
  disconnected(): void {
    this.#connected = false;
    if (this.#state === State.HalfOpen) this.#enter(State.Ejected);
  }

  /** Makes the server healthy without notifying the balancer; used when more than `maxShare` of the list is ejected. */
  unejectSilently(): void {
    this.#move(State.Healthy);
  }

  /** Called when the server has left the list. */
  forget(): void {
    this.#move(State.Removed);
  }

  #eject(): void {
    const { clock, random, baseTime, maxTime } = this.#ejection;
    const wasStable = this.#state === State.Healthy && clock.now() - this.#since > this.#time;
    if (wasStable) this.#times = 0;
    this.#time = jitter(Math.min(baseTime * FACTOR ** this.#times, maxTime), JITTER, random);
    this.#times++;
    this.#failures = 0;
    this.#until = clock.now() + this.#time;
    this.#enter(State.Ejected);
    this.#cancelTimer = clock.setTimer(() => {
      this.#cancelTimer = undefined;
      if (this.#connected) this.#enter(State.HalfOpen);
    }, this.#time);
  }

  #enter(state: number): void {
    this.#move(state);
    this.#ejection.publish();
  }

  #move(state: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#state = state;
  }
}

/**
 * Outlier ejection, after Envoy's (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier): a server
 * is ejected after a number of consecutive failures. When its ejection ends, or as soon as there is a new connection to it,
 * the next call that the balancer picks it for is its probe: the server becomes healthy, or is ejected for longer.
 */
export class Ejection {
  /** @ignore For EndpointHealth. */
  readonly consecutiveFailures: number;
  /** @ignore For EndpointHealth. */
  readonly baseTime: number;
  /** @ignore For EndpointHealth. */
  readonly maxTime: number;
  /** @ignore For EndpointHealth. */
  readonly clock: Clock;
  /** @ignore For EndpointHealth. */
  readonly random: () => number;
  readonly #maxShare: number;
  readonly #changed: (endpoints: readonly Endpoint[]) => void;
  /** All servers of the latest list. */
  endpoints: readonly Endpoint[] = [];
  #health = new Map<string, EndpointHealth>();

  /**
   * @param options The thresholds; false = servers are never ejected
   * @param changed Called with the servers that may be picked when a server's state has changed
   * @throws {RangeError} If a number is out of its range
   * @throws {TypeError} If an option is unknown or not a number
   */
  constructor(
    options: EjectionOptions | false,
    changed: (endpoints: readonly Endpoint[]) => void,
    clock: Clock = SYSTEM_CLOCK,
    random: () => number = Math.random,
  ) {
    const names = { consecutiveFailures: true, baseTime: true, maxTime: true, maxShare: true } as const;
    if (options !== false) checkOptions<EjectionOptions>("use ejection", options, names);
    const { consecutiveFailures = 5, baseTime = 1_000, maxTime = 60_000, maxShare = 0.5 } = options || {};
    if (!Number.isInteger(consecutiveFailures) || consecutiveFailures < 1) {
      throw new RangeError(
        `Cannot use ejection.consecutiveFailures ${consecutiveFailures}: expected an integer from 1`,
      );
    }
    if (!(maxShare >= 0 && maxShare <= 1)) {
      throw new RangeError(`Cannot use ejection.maxShare ${maxShare}: expected 0 to 1`);
    }
    this.consecutiveFailures = options === false ? Infinity : consecutiveFailures;
    this.baseTime = checkDuration("ejection.baseTime", baseTime);
    this.maxTime = checkDuration("ejection.maxTime", maxTime, baseTime);
    this.#maxShare = maxShare;
    this.#changed = changed;
    this.clock = clock;
    this.random = random;
  }

  /**
   * Replaces the list of servers. Servers that stay on the list keep their health.
   *
   * @returns The servers that may be picked
   */
  update(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    const before = this.#health;
    this.endpoints = endpoints;
    this.#health = new Map();
    for (const endpoint of endpoints) {
      const health = before.get(endpoint.address) ?? new EndpointHealth(endpoint, this);
      health.endpoint = endpoint;
      before.delete(endpoint.address);
      this.#health.set(endpoint.address, health);
    }
    for (const removed of before.values()) removed.forget();
    let excess = this.#ejectedCount() - this.#maxEjected();
    for (const health of this.#health.values()) {
      if (excess <= 0) break;
      if (!health.ejected) continue;
      health.unejectSilently();
      excess--;
    }
    return this.pickable;
  }

  /** The health of a server of the latest list. */
  health(address: string): EndpointHealth | undefined {
    return this.#health.get(address);
  }

  /** Cancels all timers. */
  close(): void {
    for (const health of this.#health.values()) health.forget();
  }

  /** @ignore For EndpointHealth: whether another server may be ejected. */
  hasRoom(): boolean {
    return this.#ejectedCount() < this.#maxEjected();
  }

  /** @ignore For EndpointHealth: called when the state of a server has changed. */
  publish(): void {
    this.#changed(this.pickable);
  }

  /** The servers that may be picked. */
  get pickable(): readonly Endpoint[] {
    const some = this.endpoints.filter(({ address }) => this.#health.get(address)!.pickable);
    return some.length === this.endpoints.length ? this.endpoints : Object.freeze(some);
  }

  #maxEjected(): number {
    const count = this.#health.size;
    return Math.min(Math.floor(this.#maxShare * count), count - 1);
  }

  #ejectedCount(): number {
    let count = 0;
    for (const { ejected } of this.#health.values()) if (ejected) count++;
    return count;
  }
}
