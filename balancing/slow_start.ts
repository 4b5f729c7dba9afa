// Gives new servers fewer calls at first. Wraps the balancer of a client; made by users.

import { checkOptions } from "../call/check_options.ts";
import type { Balancer, Outcome, PickContext } from "../discovery/balancer.ts";
import { checkDuration, type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { type BalancerName, createBalancer } from "../discovery/create_balancer.ts";
import type { Endpoint } from "../discovery/endpoint.ts";

/** A pick that falls on a server which is still starting is repeated this often at most. */
const MAX_PICKS = 3;

/** Options of {@linkcode slowStart}. */
export interface SlowStartOptions {
  /**
   * How long a server takes to get its full share of the calls, in ms.
   *
   * @default {30_000}
   */
  window?: number;
  /**
   * The part of its share that a server gets at first, above 0 and at most 1.
   *
   * @default {0.1}
   */
  least?: number;
  /** The time, for tests. The system's monotonic clock by default. */
  clock?: Clock;
  /**
   * Where chance comes from: a number from 0 up to but not 1.
   *
   * @default {Math.random}
   */
  random?: () => number;
}

/**
 * A balancer that gives new servers, and those that return after an ejection, a share of the calls that grows to the full
 * one within `window`, so that caches fill and code is compiled before the full load arrives.
 *
 * The window of a server begins with its first successful call. Servers of the first list, and lists of which more than half
 * is new, start at once: there would be no other server to take the calls. After Envoy's slow start mode
 * (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start).
 *
 * @example Usage
 * ```ts
 * import { slowStart } from "@troodon/rpc/balancing";
 * import { connect, MultiServers } from "@troodon/rpc";
 *
 * await using client = await connect(new MultiServers(["tcp@10.0.0.1:9000", "tcp@10.0.0.2:9000"]), {
 *   balancer: slowStart("least_pending", { window: 60_000 }),
 * });
 * ```
 *
 * @param balancer The balancer that picks, or its name
 * @param options The window and the first share
 * @returns A balancer for one client
 * @throws {TypeError} If the balancer or an option is invalid or unknown
 * @throws {RangeError} If a number is out of its range
 */
export function slowStart(balancer: BalancerName | Balancer, options: SlowStartOptions = {}): Balancer {
  checkOptions<SlowStartOptions>("use slow start", options, {
    window: true,
    least: true,
    clock: true,
    random: true,
  });
  const { least = 0.1, clock = SYSTEM_CLOCK, random = Math.random } = options;
  if (!(least > 0 && least <= 1)) throw new RangeError(`Cannot use least ${least}: expected above 0 to 1`);
  const window = checkDuration("window", options.window ?? 30_000);
  return new SlowStartBalancer(createBalancer(balancer), window, least, clock, random);
}

class SlowStartBalancer implements Balancer {
  readonly #inner: Balancer;
  readonly #window: number;
  readonly #least: number;
  readonly #clock: Clock;
  readonly #random: () => number;
  #addresses: ReadonlySet<string> = new Set();
  /** Servers that do not get their full share yet, and when their window began; undefined = it has not. */
  readonly #starting = new Map<string, number | undefined>();

  constructor(inner: Balancer, window: number, least: number, clock: Clock, random: () => number) {
    this.#inner = inner;
    this.#window = window;
    this.#least = least;
    this.#clock = clock;
    this.#random = random;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#inner.update(endpoints);
    const added = endpoints.filter(({ address }) => !this.#addresses.has(address));
    this.#addresses = new Set(endpoints.map(({ address }) => address));
    for (const address of this.#starting.keys()) {
      if (!this.#addresses.has(address)) this.#starting.delete(address);
    }
    if (added.length + this.#starting.size > endpoints.length / 2) this.#starting.clear();
    else for (const { address } of added) this.#starting.set(address, undefined);
  }

  pick(call: PickContext): Endpoint | undefined {
    if (this.#starting.size === 0) return this.#inner.pick(call);
    let context = call;
    let picked: Endpoint | undefined;
    for (let picks = 0; picks < MAX_PICKS; picks++) {
      const next = this.#inner.pick(context);
      if (next === undefined) break;
      // A server that is picked and not called counts as pending until its balancer is notified.
      if (picked !== undefined) this.#inner.done?.(picked, { code: "canceled", duration: 0 });
      picked = next;
      const share = this.#shareOf(next.address);
      if (share === 1 || this.#random() < share) return next;
      const exclude = new Set(context.exclude).add(next.address);
      context = { method: call.method, key: call.key, exclude };
    }
    return picked;
  }

  done(endpoint: Endpoint, outcome: Outcome): void {
    this.#inner.done?.(endpoint, outcome);
    const { address } = endpoint;
    if (outcome.code !== undefined || !this.#starting.has(address)) return;
    if (this.#starting.get(address) === undefined) this.#starting.set(address, this.#clock.now());
  }

  /** The part of its share that a server gets now, up to 1. */
  #shareOf(address: string): number {
    if (!this.#starting.has(address)) return 1;
    const since = this.#starting.get(address);
    if (since === undefined) return this.#least;
    const share = (this.#clock.now() - since) / this.#window;
    if (share < 1) return Math.max(this.#least, share);
    this.#starting.delete(address);
    return 1;
  }
}
