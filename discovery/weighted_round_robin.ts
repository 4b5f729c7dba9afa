// The weighted round-robin balancer. Created by createBalancer("weighted_round_robin").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RandomOptions } from "./random_balancer.ts";

/** Maximum length of a cached round: 128 KiB. For weights with longer rounds, each pick compares all servers. */
const MAX_ROUND = 65_536;
/** Maximum random start position in a round, since each step to it takes time. */
const MAX_START = 1_024;
/** Maximum rounding error of a lag in one round, as a share of the sum of the weights. */
const MAX_ROUNDING = 1e-9;

/**
 * Picks the servers in turn, by weight: in every round of as many calls as the sum of the weights (divided by their greatest
 * common divisor), each server receives exactly as many calls as its weight, spread over the round. Servers of weight 0 receive
 * none, unless all have weight 0.
 *
 * This is nginx's "smooth weighted round-robin balancing" (commit 52327e0627f4, 2012): at every pick, each server's lag grows by
 * its weight, and the server with the largest lag is picked and its lag reduced by the sum of all weights. A round ends with the
 * lags that it started with, so it is computed once and then read from a table.
 */
export class WeightedRoundRobinBalancer implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly Endpoint[] = [];
  #lags = new Float64Array();
  /** Separate lags for calls that exclude servers, so that these do not disturb the round. */
  #otherLags = new Float64Array();
  #weights = new Float64Array();
  #sum = 0;
  /** The picks of a round, as far as they are computed; empty if the round is too long. */
  #round = new Uint16Array();
  /** Number of picks of the round that are computed. */
  #computed = 0;
  #next = 0;
  /** The lags at the start of the round that is being computed. */
  #startLags = new Float64Array();

  constructor(options: RandomOptions = {}) {
    this.#random = options.random ?? Math.random;
  }

  update(endpoints: readonly Endpoint[]): void {
    const first = this.#endpoints.length === 0;
    const weights = Float64Array.from(endpoints, ({ weight = 1 }) => weight >= 0 ? weight : 0);
    if (weights.every((weight) => weight === 0)) weights.fill(1);
    const sum = weights.reduce((sum, weight) => sum + weight, 0);
    if (first || !this.#same(endpoints, weights)) {
      const positions = new Map(this.#endpoints.map(({ address }, position) => [address, position]));
      const scale = this.#sum === 0 ? 0 : sum / this.#sum;
      this.#lags = carryOver(this.#lags, positions, endpoints, scale);
      this.#otherLags = carryOver(this.#otherLags, positions, endpoints, scale);
      this.#weights = weights;
      this.#sum = sum;
      const length = roundLength(weights, sum);
      this.#round = new Uint16Array(length <= MAX_ROUND ? length : 0);
      this.#startLags = this.#lags.slice();
      this.#computed = this.#next = 0;
    }
    this.#endpoints = endpoints;
    if (!first) return;
    // Many clients that start together should not all start with the heaviest server.
    const latest = Math.min(this.#round.length || MAX_START, MAX_START);
    for (let skip = Math.floor(this.#random() * latest); skip > 0; skip--) this.#advance();
  }

  pick(call: PickContext): Endpoint | undefined {
    if (this.#endpoints.length === 0) return undefined;
    const { exclude } = call;
    if (exclude === undefined || exclude.size === 0) return this.#endpoints[this.#advance()];
    const other = this.#step(this.#otherLags, exclude);
    return other < 0 ? undefined : this.#endpoints[other];
  }

  /** The next server of the round. */
  #advance(): number {
    const round = this.#round;
    if (round.length === 0) return this.#step(this.#lags);
    if (this.#next === round.length) this.#startRound();
    const at = this.#next++;
    if (at < this.#computed) return round[at]!;
    this.#computed++;
    return round[at] = this.#step(this.#lags);
  }

  /** Starts the next round, which repeats the last one if that ended with the lags that it started with. */
  #startRound(): void {
    this.#next = 0;
    const rounding = this.#sum * MAX_ROUNDING;
    if (this.#startLags.every((lag, index) => Math.abs(lag - this.#lags[index]!) <= rounding)) return;
    // After a change of the list, the first one or two rounds also balance the lags from before.
    this.#computed = 0;
    this.#startLags.set(this.#lags);
  }

  /** Picks the server with the largest lag, and updates the lags; -1 if all are excluded. */
  #step(lags: Float64Array, exclude?: ReadonlySet<string>): number {
    const weights = this.#weights;
    let best = -1;
    let sum = 0;
    for (let i = 0; i < lags.length; i++) {
      if (exclude?.has(this.#endpoints[i]!.address)) continue;
      sum += weights[i]!;
      lags[i]! += weights[i]!;
      if (best < 0 || weights[best] === 0 || weights[i]! > 0 && lags[i]! > lags[best]!) best = i;
    }
    if (best >= 0) lags[best]! -= sum;
    return best;
  }

  #same(endpoints: readonly Endpoint[], weights: Float64Array): boolean {
    return endpoints.length === this.#endpoints.length &&
      endpoints.every(({ address }, i) =>
        address === this.#endpoints[i]!.address && weights[i] === this.#weights[i]
      );
  }
}

/**
 * The lags for a new list of servers. They are not rounded: if weights are small or change often, rounding could remove
 * everything that a server would ever receive.
 *
 * @param positions The positions of the servers in the old list
 * @param scale The new sum of the weights, divided by the old one
 */
function carryOver(
  lags: Float64Array,
  positions: ReadonlyMap<string, number>,
  endpoints: readonly Endpoint[],
  scale: number,
): Float64Array<ArrayBuffer> {
  return Float64Array.from(endpoints, ({ address }) => (lags[positions.get(address) ?? -1] ?? 0) * scale);
}

/** Number of picks in a complete round; Infinity if a weight is not an integer. */
function roundLength(weights: Float64Array, sum: number): number {
  let divisor = 0;
  for (const weight of weights) {
    if (!Number.isInteger(weight)) return Infinity;
    for (let rest = weight; rest > 0;) [divisor, rest] = [rest, divisor % rest];
  }
  return divisor === 0 ? 0 : sum / divisor;
}
