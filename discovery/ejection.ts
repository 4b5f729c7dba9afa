// Sets servers aside that fail again and again, and tries them again gently. Stands between a client's list of servers
// and its balancer, whichever that is: the balancer is given the list without those that are set aside. Does no I/O.

import { checkOptions } from "../call/check_options.ts";
import { jitter } from "./backoff.ts";
import { checkDuration, type Clock, SYSTEM_CLOCK } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";

/** When servers that fail are set aside, and for how long. Times in ms. */
export interface EjectionOptions {
  /**
   * How many failures without a success between them it takes, from 1. Failures are: no connection, `unavailable`,
   * `deadline_exceeded`. Other errors say that the server works.
   *
   * @default {5}
   */
  consecutiveFailures?: number;
  /**
   * For how long a server is set aside at first; twice as long each further time, ±20 %.
   *
   * @default {1_000}
   */
  baseTime?: number;
  /**
   * For how long it is set aside at most, before jitter.
   *
   * @default {60_000}
   */
  maxTime?: number;
  /**
   * Which part of the list may be set aside at once, 0 to 1. The last server never is.
   *
   * @default {0.5}
   */
  maxShare?: number;
}

/** Where a server stands. */
const State = {
  /** It gets calls. */
  Healthy: 0,
  /** It is set aside. */
  Ejected: 1,
  /** The next call that the balancer has for it is its trial. */
  HalfOpen: 2,
  /** One call is its trial; until that is over it gets no other. */
  Probing: 3,
  /** It has left the list. */
  Removed: 4,
} as const;

/** What these are called where they are shown. */
const WORDS = ["healthy", "ejected", "half_open", "probing", "removed"] as const;

/** How a server stands with its ejection, in a word. */
export type EndpointHealthState = typeof WORDS[number];

const FACTOR = 2;
const JITTER = 0.2;

/** How one server stands. Told of every attempt there, and of its connection. */
export class EndpointHealth {
  /** What is known of the server. */
  endpoint: Endpoint;
  readonly #ejection: Ejection;
  #state: number = State.Healthy;
  /** Failures since the last success. */
  #failures = 0;
  /** How often it has been set aside without having stood well for as long again. */
  #times = 0;
  /** For how long it was set aside last. */
  #time = 0;
  /** When it was let in. */
  #since = 0;
  #connected = true;
  /** When the time is over for which it was set aside last. */
  #until = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(endpoint: Endpoint, ejection: Ejection) {
    this.endpoint = endpoint;
    this.#ejection = ejection;
  }

  /** Whether it is set aside. */
  get ejected(): boolean {
    return this.#state !== State.Healthy && this.#state !== State.Removed;
  }

  /** How it stands, in a word. */
  get state(): EndpointHealthState {
    return WORDS[this.#state]!;
  }

  /** Failures since the last success, for which it may yet be set aside. */
  get failures(): number {
    return this.#failures;
  }

  /** After how many ms it is tried again, if it is set aside for a time: 0 if that is over, and there is no connection. */
  get probeIn(): number | undefined {
    return this.#state === State.Ejected ? Math.max(0, this.#until - this.#ejection.clock.now()) : undefined;
  }

  /** Whether the balancer may pick it. */
  get pickable(): boolean {
    return this.#state === State.Healthy || this.#state === State.HalfOpen;
  }

  /** For every pick: it may be the trial. */
  picked(): void {
    if (this.#state === State.HalfOpen) this.#enter(State.Probing);
  }

  /** An attempt was answered. */
  succeeded(): void {
    this.#failures = 0;
    // What began before it was set aside is no trial: of a server that fails now and then, some calls go well.
    if (this.#state === State.Probing) this.uneject();
  }

  /** It has shown that it works, though nobody had to try it yet. */
  uneject(): void {
    if (!this.ejected) return;
    this.#since = this.#ejection.clock.now();
    this.#enter(State.Healthy);
  }

  /** An attempt found the server not working. */
  failed(): void {
    if (this.#state === State.Healthy) {
      this.#failures++;
      if (this.#failures >= this.#ejection.consecutiveFailures && this.#ejection.hasRoom()) this.#eject();
    } else if (this.#state === State.Probing) {
      this.#eject();
    }
  }

  /** An attempt ended without showing whether the server works: if it was the trial, the next call is. */
  undecided(): void {
    if (this.#state === State.Probing) this.#enter(State.HalfOpen);
  }

  /** There is a new connection, so there is something to try at once. */
  connected(): void {
    this.#connected = true;
    if (this.#state === State.Ejected) this.#enter(State.HalfOpen);
  }

  /** It cannot be reached, so there is nothing to try until it can. */
  disconnected(): void {
    this.#connected = false;
    if (this.#state === State.HalfOpen) this.#enter(State.Ejected);
  }

  /** Too many are set aside: lets it in, without telling of it. */
  unejectSilently(): void {
    this.#move(State.Healthy);
  }

  /** For a server that has left the list. */
  forget(): void {
    this.#move(State.Removed);
  }

  #eject(): void {
    const { clock, random, baseTime, maxTime } = this.#ejection;
    const stoodWell = this.#state === State.Healthy && clock.now() - this.#since > this.#time;
    if (stoodWell) this.#times = 0;
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
 * Outlier ejection, after Envoy's (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier):
 * a server is set aside after some failures in a row. When its time is over, or as soon as there is a new connection to
 * it, the next call that the balancer has for it is its trial: with that one it is back, or set aside for longer.
 */
export class Ejection {
  /** @ignore For its servers. */
  readonly consecutiveFailures: number;
  /** @ignore For its servers. */
  readonly baseTime: number;
  /** @ignore For its servers. */
  readonly maxTime: number;
  /** @ignore For its servers. */
  readonly clock: Clock;
  /** @ignore For its servers. */
  readonly random: () => number;
  readonly #maxShare: number;
  readonly #changed: (endpoints: readonly Endpoint[]) => void;
  /** All servers of the latest list. */
  endpoints: readonly Endpoint[] = [];
  #health = new Map<string, EndpointHealth>();

  /**
   * @param options Left out or false: nobody is ever set aside
   * @param changed Told which servers calls may go to from now on, when one has been set aside or let in
   * @throws {RangeError} If a number is out of its range
   * @throws {TypeError} If an option is no number
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
        `Cannot use ejection.consecutiveFailures ${consecutiveFailures}: expected a whole number from 1`,
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
   * Takes the servers that there are from now on. Those that stay keep their health.
   *
   * @returns Those of them that calls may go to
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
    for (const gone of before.values()) gone.forget();
    let excess = this.#aside() - this.#most();
    for (const health of this.#health.values()) {
      if (excess <= 0) break;
      if (!health.ejected) continue;
      health.unejectSilently();
      excess--;
    }
    return this.pickable;
  }

  /** How a server of the latest list stands. */
  health(address: string): EndpointHealth | undefined {
    return this.#health.get(address);
  }

  /** Lets go of its timers. */
  close(): void {
    for (const health of this.#health.values()) health.forget();
  }

  /** @ignore For its servers: whether one more may be set aside. */
  hasRoom(): boolean {
    return this.#aside() < this.#most();
  }

  /** @ignore For its servers: one of them has changed. */
  publish(): void {
    this.#changed(this.pickable);
  }

  /** Those that calls may go to. */
  get pickable(): readonly Endpoint[] {
    const some = this.endpoints.filter(({ address }) => this.#health.get(address)!.pickable);
    return some.length === this.endpoints.length ? this.endpoints : Object.freeze(some);
  }

  #most(): number {
    const count = this.#health.size;
    return Math.min(Math.floor(this.#maxShare * count), count - 1);
  }

  #aside(): number {
    let aside = 0;
    for (const { ejected } of this.#health.values()) if (ejected) aside++;
    return aside;
  }
}
