// The least-pending balancer, which compares two random servers. Created by createBalancer("least_pending").

import type { Code } from "../call/error.ts";
import type { Balancer, Outcome, PickContext } from "./balancer.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RandomOptions } from "./random_balancer.ts";

/** Options of {@linkcode LeastPendingBalancer}. */
export interface LeastPendingOptions extends RandomOptions {
  /**
   * The clock, for tests.
   *
   * @default {the system's clock}
   */
  clock?: Clock;
}

/** Time constant of the latency average, in ms: a value of this age has decayed to about a third. */
const MEMORY = 5_000;
/** Minimum latency in ms; also that of a server without data while no server has data. */
const MIN_LATENCY = 0.01;
/** Minimum latency, as a multiple of the average, of a call that the server rejected or did not answer. */
const PENALTY = 10;
/** Minimum weight of a call in an average. */
const MIN_SHARE = 0.02;
const PENALIZED: ReadonlySet<Code> = new Set(["unavailable", "resource_exhausted", "deadline_exceeded"]);

/** The load of one server. */
class Load {
  endpoint: Endpoint;
  /** Calls in flight, and failed calls that still count as pending. */
  pending = 0;
  /** Average duration of its calls, in ms; -1 = no data. */
  latency = -1;
  /** When the latency was last updated. */
  at = 0;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /**
   * Estimated duration of a further call: the pending calls and itself, at the recent latency.
   *
   * @param average The latency of a server without data, in ms
   */
  cost(now: number, average: number): number {
    return (this.pending + 1) * Math.max(this.expected(now, average), MIN_LATENCY);
  }

  /** Estimated duration of one call. */
  expected(now: number, average: number): number {
    // The estimate decays with time, so that a slow server without calls is tried again.
    return this.latency < 0 ? average : this.latency * Math.exp((this.at - now) / MEMORY);
  }

  /** Adds the duration of a call to the average, in ms. */
  record(elapsed: number, now: number): void {
    // The weight of a call grows with the time since the last one; each of many calls at once counts little.
    const share = Math.max(1 - Math.exp((this.at - now) / MEMORY), MIN_SHARE);
    this.latency = elapsed > this.latency ? elapsed : this.latency + share * (elapsed - this.latency);
    this.at = now;
  }

  /** Removes a pending call. */
  release(): void {
    if (this.pending > 0) this.pending--;
  }
}

/** A failed call that counts as pending for a while. */
interface FailedEarly {
  readonly load: Load;
  readonly until: number;
}

/**
 * Takes two random servers and picks the one with less load: its pending calls times the recent average of their duration. A
 * server that is ten times slower gets hardly any calls; a new server is assumed to be as fast as the others on average.
 *
 * A failed call counts at least as much as a successful one: as long a duration, and pending for as long. Otherwise a server
 * that fails immediately would seem to be the fastest, and would get most calls. Streams count while they are pending; their
 * duration is ignored, since it does not measure the server.
 *
 * Two random choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 12, 2001). It spreads
 * nearly as well as a comparison of all servers, and avoids that many clients choose the same one. The average decays by time
 * and adopts a slower call at once, as the "peak EWMA" of Finagle does
 * (https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-least-loaded).
 */
export class LeastPendingBalancer implements Balancer {
  readonly #random: () => number;
  readonly #clock: Clock;
  readonly #byAddress = new Map<string, Load>();
  #loads: readonly Load[] = [];
  /** Average duration of successful calls of all servers, in ms; -1 = no data. */
  #average = -1;
  /** Calls that failed earlier than calls usually end, and count as pending until then; approximately in order. */
  readonly #early = new Set<FailedEarly>();
  /** The same for failed streams. */
  readonly #earlyStreams = new Set<FailedEarly>();
  /** The time of the last update: reading the clock at every pick would cost more than the pick. */
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
      // Allocates a copy, for retries only, which are rare.
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
      load.record(duration, now);
      this.#average += (this.#average < 0 ? 1 : MIN_SHARE) * (duration - this.#average);
    } else if (this.#average >= 0 && duration > load.expected(now, this.#average)) {
      // It was canceled, so it would have taken even longer.
      load.record(duration, now);
    }
  }

  #failed(load: Load, { code, duration, streams = false }: Outcome, now: number): void {
    const elapsed = streams ? 0 : duration;
    if (this.#average >= 0) {
      // A stream may reach its deadline at a healthy server.
      const penalized = PENALIZED.has(code!) && !(streams && code === "deadline_exceeded");
      load.record(Math.max(elapsed, (penalized ? PENALTY : 1) * this.#average), now);
    }
    const until = now + (streams ? MEMORY : Math.min(this.#average, MEMORY) - elapsed);
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

  /** The less loaded of two random servers. */
  #better(loads: readonly Load[]): Load | undefined {
    const count = loads.length;
    if (count < 2) return loads[0];
    const one = Math.floor(this.#random() * count);
    const other = Math.floor(this.#random() * (count - 1));
    const a = loads[one]!;
    const b = loads[other < one ? other : other + 1]!;
    return a.cost(this.#now, this.#average) <= b.cost(this.#now, this.#average) ? a : b;
  }
}
