// A list of endpoints that is looked up again and again. Owned by DnsDiscovery and SrvDiscovery, which know how to look.

import { RpcError } from "../call/error.ts";
import { jitter } from "./backoff.ts";
import { type Clock, sleep } from "./clock.ts";
import type { Discovery, WatchOptions } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import { Snapshots } from "./snapshots.ts";

/** The shortest time between two lookups that lost connections cause, in ms. */
const MIN_INTERVAL = 5_000;
/** The wait after a first lookup that failed, and the longest, in ms: it doubles each time. */
const FIRST_RETRY = 1_000;
const LONGEST_RETRY = 300_000;

/** How a list is looked up. Times in ms. */
export interface PolledListOptions {
  /** What is looked up, for messages, such as `the addresses of api.example`. */
  readonly what: string;
  /** Returns the endpoints; rejects if they cannot be looked up, or when the signal aborts. */
  readonly lookUp: (signal: AbortSignal) => Promise<Endpoint[]>;
  readonly refreshInterval: number;
  /** How long the last list is kept while lookups return no endpoint. */
  readonly holdTime: number;
  readonly clock: Clock;
  readonly random: () => number;
}

/** The list, and the loop that refreshes it while it is watched. */
export class PolledList implements Discovery {
  readonly #options: PolledListOptions;
  readonly #snapshots = new Snapshots({
    onWatched: () => this.#start(),
    onUnwatched: () => this.#stop(),
  });
  #stopping: AbortController | undefined;
  /** Whether a refresh was requested since the last lookup began. */
  #requested = false;
  /** Ends the wait for the next lookup. */
  #wake: (() => void) | undefined;
  /** The lookup under way, which all callers share. */
  #looking: Promise<readonly Endpoint[]> | undefined;
  /** When the last lookup ended, successful or not. */
  #lookedUpAt = -Infinity;
  /** Since when lookups have returned no endpoint. */
  #emptySince: number | undefined;
  #retryDelay = FIRST_RETRY;
  #failure: RpcError | undefined;

  constructor(options: PolledListOptions) {
    this.#options = options;
  }

  get source(): string {
    return this.#options.what;
  }

  get failure(): RpcError | undefined {
    if (this.#failure !== undefined || this.#snapshots.latest !== undefined) return this.#failure;
    return new RpcError("unavailable", `Still looking up ${this.#options.what}`);
  }

  async endpoints(): Promise<readonly Endpoint[]> {
    const { latest } = this.#snapshots;
    const { clock, refreshInterval } = this.#options;
    if (latest !== undefined && clock.now() < this.#lookedUpAt + refreshInterval) return latest;
    try {
      return await this.#lookUp(this.#stopping?.signal ?? new AbortController().signal);
    } catch (error) {
      if (latest === undefined) throw error;
      return latest;
    }
  }

  watch(options: WatchOptions = {}): AsyncIterable<readonly Endpoint[]> {
    return this.#snapshots.watch(options.signal);
  }

  refresh(): void {
    this.#requested = true;
    this.#wake?.();
  }

  #start(): void {
    this.#stopping = new AbortController();
    this.#poll(this.#stopping.signal);
  }

  #stop(): void {
    this.#stopping?.abort();
    this.#stopping = undefined;
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#lookUp(signal).catch(() => {});
      if (!signal.aborted) await this.#rest(signal);
    }
  }

  /** Waits until the next lookup is due. Lost connections bring it forward. */
  async #rest(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const woken = new AbortController();
    const stop = () => woken.abort();
    signal.addEventListener("abort", stop);
    this.#wake = stop;
    if (this.#requested) stop();
    await sleep(clock, this.#delay(), woken.signal);
    this.#wake = undefined;
    signal.removeEventListener("abort", stop);
    const early = this.#lookedUpAt + MIN_INTERVAL - clock.now();
    if (woken.signal.aborted && early > 0) await sleep(clock, early, signal);
  }

  #delay(): number {
    const { clock, refreshInterval, holdTime, random } = this.#options;
    if (this.#failure !== undefined) {
      const delay = this.#retryDelay;
      this.#retryDelay = Math.min(delay * 2, LONGEST_RETRY);
      return jitter(delay, 0.2, random);
    }
    this.#retryDelay = FIRST_RETRY;
    const delay = jitter(refreshInterval, 0.1, random);
    // An empty answer is looked at again when the last list is no longer kept.
    const held = (this.#emptySince ?? -Infinity) + holdTime - clock.now();
    return held > 0 ? Math.min(delay, held) : delay;
  }

  #lookUp(signal: AbortSignal): Promise<readonly Endpoint[]> {
    this.#requested &&= this.#looking !== undefined;
    return this.#looking ??= this.#take(signal).finally(() => {
      this.#looking = undefined;
      this.#lookedUpAt = this.#options.clock.now();
    });
  }

  async #take(signal: AbortSignal): Promise<readonly Endpoint[]> {
    const { what, lookUp, clock, holdTime } = this.#options;
    let found: Endpoint[];
    try {
      found = await lookUp(signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw this.#failure = new RpcError("unavailable", `Cannot look up ${what}: ${reason}`, {
        cause: error,
      });
    }
    const { latest } = this.#snapshots;
    if (found.length === 0 && latest === undefined) {
      throw this.#failure = new RpcError("unavailable", `There are no records for ${what}`);
    }
    this.#failure = undefined;
    const now = clock.now();
    this.#emptySince = found.length > 0 ? undefined : this.#emptySince ?? now;
    if (this.#emptySince !== undefined && now < this.#emptySince + holdTime) return latest!;
    // DNS servers rotate their answers: the order says nothing.
    found.sort((a, b) => a.address < b.address ? -1 : 1);
    this.#snapshots.publish(Object.freeze(found.map((endpoint) => Object.freeze(endpoint))));
    return this.#snapshots.latest!;
  }
}
