// The balancer that goes round by weight. Made by createBalancer("weighted_round_robin").

import type { Balancer, PickContext } from "./balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RandomOptions } from "./random_balancer.ts";

/** The longest round that is remembered: 128 KiB. Of weights without a shorter one, each pick looks at all servers. */
const LONGEST_ROUND = 65_536;
/** How far into its round a new balancer starts at most: getting there takes time. */
const LATEST_START = 1_024;
/** How far rounding moves a lag in one round at most, as a part of the sum of the weights. */
const LARGEST_ROUNDING = 1e-9;

/**
 * Picks the servers in turn, by their weight: in every round of as many calls as the weights have in sum (after
 * division by their greatest common divisor), each server gets exactly as many as its weight, spread over the round.
 * Weight 0 gets none, unless there is no other.
 *
 * This is nginx's "smooth weighted round-robin balancing" (commit 52327e0627f4, 2012): at every pick, each server's
 * lag grows by its weight, and the one that lags most is picked and put back by the sum of all weights. A round comes
 * back to the lags that it began with, so it is worked out once and then read from a table.
 */
export class WeightedRoundRobinBalancer implements Balancer {
  readonly #random: () => number;
  #endpoints: readonly Endpoint[] = [];
  #lags = new Float64Array();
  /** Lags of their own for calls that exclude somebody, so that these do not disturb the round. */
  #otherLags = new Float64Array();
  #weights = new Float64Array();
  #sum = 0;
  /** Who is picked in a round, as far as it is known; of length 0 if it is too long. */
  #round = new Uint16Array();
  /** How many picks of the round are known. */
  #known = 0;
  #next = 0;
  /** The lags with which the round that is being worked out began. */
  #began = new Float64Array();

  constructor(options: RandomOptions = {}) {
    this.#random = options.random ?? Math.random;
  }

  update(endpoints: readonly Endpoint[]): void {
    const first = this.#endpoints.length === 0;
    const weights = Float64Array.from(endpoints, ({ weight = 1 }) => weight >= 0 ? weight : 0);
    if (weights.every((weight) => weight === 0)) weights.fill(1);
    const sum = weights.reduce((sum, weight) => sum + weight, 0);
    if (first || !this.#same(endpoints, weights)) {
      const places = new Map(this.#endpoints.map(({ address }, place) => [address, place]));
      const scale = this.#sum === 0 ? 0 : sum / this.#sum;
      this.#lags = carried(this.#lags, places, endpoints, scale);
      this.#otherLags = carried(this.#otherLags, places, endpoints, scale);
      this.#weights = weights;
      this.#sum = sum;
      const length = roundLength(weights, sum);
      this.#round = new Uint16Array(length <= LONGEST_ROUND ? length : 0);
      this.#began = this.#lags.slice();
      this.#known = this.#next = 0;
    }
    this.#endpoints = endpoints;
    if (!first) return;
    // Many clients that start together should not all begin with the heaviest.
    const latest = Math.min(this.#round.length || LATEST_START, LATEST_START);
    for (let skip = Math.floor(this.#random() * latest); skip > 0; skip--) this.#advance();
  }

  pick(call: PickContext): Endpoint | undefined {
    if (this.#endpoints.length === 0) return undefined;
    const { exclude } = call;
    if (exclude === undefined || exclude.size === 0) return this.#endpoints[this.#advance()];
    const other = this.#step(this.#otherLags, exclude);
    return other < 0 ? undefined : this.#endpoints[other];
  }

  /** The next of the round. */
  #advance(): number {
    const round = this.#round;
    if (round.length === 0) return this.#step(this.#lags);
    if (this.#next === round.length) this.#turn();
    const at = this.#next++;
    if (at < this.#known) return round[at]!;
    this.#known++;
    return round[at] = this.#step(this.#lags);
  }

  /** Begins the next round, which is as the last one was if that has come back to where it began. */
  #turn(): void {
    this.#next = 0;
    const rounding = this.#sum * LARGEST_ROUNDING;
    if (this.#began.every((lag, index) => Math.abs(lag - this.#lags[index]!) <= rounding)) return;
    // After a change of the list, the first round or two also make up for what was owed before.
    this.#known = 0;
    this.#began.set(this.#lags);
  }

  /** Picks who lags most, and brings the lags up to date; -1 if all are excluded. */
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
 * The lags of the servers of a new list. None is rounded: where weights are small or change often, what rounding takes
 * would be all that some server ever gets.
 *
 * @param places Where the servers of the old list were
 * @param scale The new sum of the weights, in terms of the old one
 */
function carried(
  lags: Float64Array,
  places: ReadonlyMap<string, number>,
  endpoints: readonly Endpoint[],
  scale: number,
): Float64Array<ArrayBuffer> {
  return Float64Array.from(endpoints, ({ address }) => (lags[places.get(address) ?? -1] ?? 0) * scale);
}

/** After how many picks a round is complete; Infinity if some weight is no whole number. */
function roundLength(weights: Float64Array, sum: number): number {
  let divisor = 0;
  for (const weight of weights) {
    if (!Number.isInteger(weight)) return Infinity;
    for (let rest = weight; rest > 0;) [divisor, rest] = [rest, divisor % rest];
  }
  return divisor === 0 ? 0 : sum / divisor;
}
