// The balancer that compares two. Made by createBalancer("least_pending").

import type { Code } from "../call/error.ts";
import type { Balancer, Outcome, PickContext } from "./balancer.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RandomOptions } from "./random_balancer.ts";

/** Options of {@linkcode LeastPendingBalancer}. */
export interface LeastPendingOptions extends RandomOptions {
  /**
   * Time.
   *
   * @default {the system's}
   */
  clock?: Clock;
}

/** How far back latency is remembered, in ms: what is this old counts for a third. */
const MEMORY = 5_000;
/** The least latency that counts, in ms: that of a server of which nothing is known, while nothing is known of any. */
const LEAST_LATENCY = 0.01;
/** How many times the average a call counts at least that the server did not take. */
const PENALTY = 10;
/** How much one call counts in an average at least. */
const LEAST_SHARE = 0.02;
const PENALIZED: ReadonlySet<Code> = new Set(["unavailable", "resource_exhausted", "deadline_exceeded"]);

/** One server, as far as its load is known. */
class Load {
  endpoint: Endpoint;
  /** Calls that it was picked for and that are not over, or have failed too soon. */
  pending = 0;
  /** The average of how long its calls took, in ms; -1 = none is known. */
  latency = -1;
  /** When the latency was brought up to date. */
  at = 0;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /**
   * About how long a further call would take: those before it and itself, at the latency of late.
   *
   * @param usual What a server is taken for of which nothing is known, in ms
   */
  cost(now: number, usual: number): number {
    return (this.pending + 1) * Math.max(this.expected(now, usual), LEAST_LATENCY);
  }

  /** About how long one call would take. */
  expected(now: number, usual: number): number {
    // What is not asked is taken for faster as time goes by, so that it is asked again some time.
    return this.latency < 0 ? usual : this.latency * Math.exp((this.at - now) / MEMORY);
  }

  /** Takes a call into the average that took so long, in ms. */
  learn(took: number, now: number): void {
    // The longer ago the last call was, the more this one counts; of many at once, each counts a little.
    const share = Math.max(1 - Math.exp((this.at - now) / MEMORY), LEAST_SHARE);
    this.latency = took > this.latency ? took : this.latency + share * (took - this.latency);
    this.at = now;
  }

  /** One call less is pending. */
  release(): void {
    if (this.pending > 0) this.pending--;
  }
}

/** A call that counts as pending for a while although it has failed. */
interface Early {
  readonly load: Load;
  readonly until: number;
}

/**
 * Takes two servers at random and picks the one with less to do: its pending calls, times the average of how long its
 * calls took of late. A server that is ten times slower gets next to nothing; one that is new is taken to be as fast as
 * the others are on average.
 *
 * A call that fails counts for no less than one that does not: it is taken to be as long, and to be pending for as long,
 * as the calls that go well, or else a server that fails at once would seem to be the fastest, and would get most calls.
 * Streams count while they are pending; how long they last says nothing about the server.
 *
 * Two random choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 12, 2001); it
 * spreads nearly as well as looking at all servers, and many clients do not all run to the same one. The average decays
 * by time and takes over a slower call at once, as the "peak EWMA" of Finagle
 * (https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-least-loaded) does.
 */
export class LeastPendingBalancer implements Balancer {
  readonly #random: () => number;
  readonly #clock: Clock;
  readonly #byAddress = new Map<string, Load>();
  #loads: readonly Load[] = [];
  /** The average of the calls that went well, over all servers, in ms; -1 = none is known. */
  #usual = -1;
  /** Calls that have failed sooner than calls usually end, and count as pending until then: about in order. */
  readonly #early = new Set<Early>();
  /** Streams that have failed, likewise. */
  readonly #earlyStreams = new Set<Early>();
  /** The latest time that is known: asking for it at every pick would cost more than the pick. */
  #now: number;

  constructor(options: LeastPendingOptions = {}) {
    this.#random = options.random ?? Math.random;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#now = this.#clock.now();
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#loads = endpoints.map((endpoint) => {
      const load = this.#byAddress.get(endpoint.address) ?? new Load(endpoint);
      load.endpoint = endpoint;
      return load;
    });
    this.#byAddress.clear();
    for (const load of this.#loads) this.#byAddress.set(load.endpoint.address, load);
  }

  pick(call: PickContext): Endpoint | undefined {
    if (this.#early.size > 0 || this.#earlyStreams.size > 0) this.#releaseEarly();
    const loads = this.#loads;
    const exclude = call.exclude;
    const picked = exclude === undefined || exclude.size === 0
      ? this.#better(loads)
      // A copy, for calls that try again: these are few.
      : this.#better(loads.filter(({ endpoint }) => !exclude.has(endpoint.address)));
    if (picked === undefined) return undefined;
    picked.pending++;
    return picked.endpoint;
  }

  done(endpoint: Endpoint, outcome: Outcome): void {
    const load = this.#byAddress.get(endpoint.address);
    if (load === undefined) return;
    const now = this.#now = this.#clock.now();
    const { code, duration, streams = false } = outcome;
    if (code !== undefined && code !== "canceled") return this.#failed(load, outcome, now);
    load.release();
    if (streams) return;
    if (code === undefined) {
      load.learn(duration, now);
      this.#usual += (this.#usual < 0 ? 1 : LEAST_SHARE) * (duration - this.#usual);
    } else if (this.#usual >= 0 && duration > load.expected(now, this.#usual)) {
      // It lasted so long, and was not over.
      load.learn(duration, now);
    }
  }

  #failed(load: Load, { code, duration, streams = false }: Outcome, now: number): void {
    const took = streams ? 0 : duration;
    if (this.#usual >= 0) {
      // A stream may come to its deadline on the best of servers.
      const penalized = PENALIZED.has(code!) && !(streams && code === "deadline_exceeded");
      load.learn(Math.max(took, (penalized ? PENALTY : 1) * this.#usual), now);
    }
    const until = now + (streams ? MEMORY : Math.min(this.#usual, MEMORY) - took);
    if (until > now) (streams ? this.#earlyStreams : this.#early).add({ load, until });
    else load.release();
  }

  #releaseEarly(): void {
    const now = this.#now = this.#clock.now();
    for (const all of [this.#early, this.#earlyStreams]) {
      for (const early of all) {
        if (early.until > now) break;
        all.delete(early);
        early.load.release();
      }
    }
  }

  /** The better of two. */
  #better(loads: readonly Load[]): Load | undefined {
    const count = loads.length;
    if (count < 2) return loads[0];
    const one = Math.floor(this.#random() * count);
    const other = Math.floor(this.#random() * (count - 1));
    const a = loads[one]!;
    const b = loads[other < one ? other : other + 1]!;
    return a.cost(this.#now, this.#usual) <= b.cost(this.#now, this.#usual) ? a : b;
  }
}
