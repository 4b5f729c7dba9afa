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
  failures?: number;
  /**
   * For how long a server is set aside at first; twice as long each further time, ±20 %.
   *
   * @default {1_000}
   */
  firstTime?: number;
  /**
   * For how long it is set aside at most, before jitter.
   *
   * @default {60_000}
   */
  longestTime?: number;
  /**
   * Which part of the list may be set aside at once, 0 to 1. The last server never is.
   *
   * @default {0.5}
   */
  share?: number;
}

/** Where a server stands. */
const State = {
  /** It gets calls. */
  In: 0,
  /** It is set aside. */
  Out: 1,
  /** The next call that the balancer has for it is its trial. */
  Due: 2,
  /** One call is its trial; until that is over it gets no other. */
  Trial: 3,
  /** It has left the list. */
  Gone: 4,
} as const;

/** What these are called where they are shown. */
const WORDS = ["in", "out", "due", "trial", "gone"] as const;

/** How a server stands with its ejection, in a word. */
export type StandingState = typeof WORDS[number];

const FACTOR = 2;
const JITTER = 0.2;

/** How one server stands. Told of every attempt there, and of its connection. */
export class Standing {
  /** What is known of the server. */
  endpoint: Endpoint;
  readonly #ejection: Ejection;
  #state: number = State.In;
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
    return this.#state !== State.In && this.#state !== State.Gone;
  }

  /** How it stands, in a word. */
  get state(): StandingState {
    return WORDS[this.#state]!;
  }

  /** Failures since the last success, for which it may yet be set aside. */
  get failures(): number {
    return this.#failures;
  }

  /** After how many ms it is tried again, if it is set aside for a time: 0 if that is over, and there is no connection. */
  get trialIn(): number | undefined {
    return this.#state === State.Out ? Math.max(0, this.#until - this.#ejection.clock.now()) : undefined;
  }

  /** Whether the balancer may pick it. */
  get pickable(): boolean {
    return this.#state === State.In || this.#state === State.Due;
  }

  /** For every pick: it may be the trial. */
  picked(): void {
    if (this.#state === State.Due) this.#enter(State.Trial);
  }

  /** An attempt was answered. */
  succeeded(): void {
    this.#failures = 0;
    // What began before it was set aside is no trial: of a server that fails now and then, some calls go well.
    if (this.#state === State.Trial) this.letIn();
  }

  /** It has shown that it works, though nobody had to try it yet. */
  letIn(): void {
    if (!this.ejected) return;
    this.#since = this.#ejection.clock.now();
    this.#enter(State.In);
  }

  /** An attempt found the server not working. */
  failed(): void {
    if (this.#state === State.In) {
      this.#failures++;
      if (this.#failures >= this.#ejection.failures && this.#ejection.hasRoom()) this.#setAside();
    } else if (this.#state === State.Trial) {
      this.#setAside();
    }
  }

  /** An attempt ended without showing whether the server works: if it was the trial, the next call is. */
  undecided(): void {
    if (this.#state === State.Trial) this.#enter(State.Due);
  }

  /** There is a new connection, so there is something to try at once. */
  connected(): void {
    this.#connected = true;
    if (this.#state === State.Out) this.#enter(State.Due);
  }

  /** It cannot be reached, so there is nothing to try until it can. */
  disconnected(): void {
    this.#connected = false;
    if (this.#state === State.Due) this.#enter(State.Out);
  }

  /** Too many are set aside: lets it in, without telling of it. */
  readmit(): void {
    this.#move(State.In);
  }

  /** For a server that has left the list. */
  forget(): void {
    this.#move(State.Gone);
  }

  #setAside(): void {
    const { clock, random, firstTime, longestTime } = this.#ejection;
    const stoodWell = this.#state === State.In && clock.now() - this.#since > this.#time;
    if (stoodWell) this.#times = 0;
    this.#time = jitter(Math.min(firstTime * FACTOR ** this.#times, longestTime), JITTER, random);
    this.#times++;
    this.#failures = 0;
    this.#until = clock.now() + this.#time;
    this.#enter(State.Out);
    this.#cancelTimer = clock.setTimer(() => {
      this.#cancelTimer = undefined;
      if (this.#connected) this.#enter(State.Due);
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
  readonly failures: number;
  /** @ignore For its servers. */
  readonly firstTime: number;
  /** @ignore For its servers. */
  readonly longestTime: number;
  /** @ignore For its servers. */
  readonly clock: Clock;
  /** @ignore For its servers. */
  readonly random: () => number;
  readonly #share: number;
  readonly #changed: (endpoints: readonly Endpoint[]) => void;
  /** All servers of the latest list. */
  endpoints: readonly Endpoint[] = [];
  #standings = new Map<string, Standing>();

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
    const names = { failures: true, firstTime: true, longestTime: true, share: true } as const;
    if (options !== false) checkOptions<EjectionOptions>("use ejection", options, names);
    const { failures = 5, firstTime = 1_000, longestTime = 60_000, share = 0.5 } = options || {};
    if (!Number.isInteger(failures) || failures < 1) {
      throw new RangeError(`Cannot use ejection.failures ${failures}: expected a whole number from 1`);
    }
    if (!(share >= 0 && share <= 1)) {
      throw new RangeError(`Cannot use ejection.share ${share}: expected 0 to 1`);
    }
    this.failures = options === false ? Infinity : failures;
    this.firstTime = checkDuration("ejection.firstTime", firstTime);
    this.longestTime = checkDuration("ejection.longestTime", longestTime, firstTime);
    this.#share = share;
    this.#changed = changed;
    this.clock = clock;
    this.random = random;
  }

  /**
   * Takes the servers that there are from now on. Those that stay keep their standing.
   *
   * @returns Those of them that calls may go to
   */
  update(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    const before = this.#standings;
    this.endpoints = endpoints;
    this.#standings = new Map();
    for (const endpoint of endpoints) {
      const standing = before.get(endpoint.address) ?? new Standing(endpoint, this);
      standing.endpoint = endpoint;
      before.delete(endpoint.address);
      this.#standings.set(endpoint.address, standing);
    }
    for (const gone of before.values()) gone.forget();
    let excess = this.#aside() - this.#most();
    for (const standing of this.#standings.values()) {
      if (excess <= 0) break;
      if (!standing.ejected) continue;
      standing.readmit();
      excess--;
    }
    return this.pickable;
  }

  /** How a server of the latest list stands. */
  standing(address: string): Standing | undefined {
    return this.#standings.get(address);
  }

  /** Lets go of its timers. */
  close(): void {
    for (const standing of this.#standings.values()) standing.forget();
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
    const some = this.endpoints.filter(({ address }) => this.#standings.get(address)!.pickable);
    return some.length === this.endpoints.length ? this.endpoints : Object.freeze(some);
  }

  #most(): number {
    const count = this.#standings.size;
    return Math.min(Math.floor(this.#share * count), count - 1);
  }

  #aside(): number {
    let aside = 0;
    for (const { ejected } of this.#standings.values()) if (ejected) aside++;
    return aside;
  }
}
