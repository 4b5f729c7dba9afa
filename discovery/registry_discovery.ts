// Discovery by asking a registry over HTTP now and then. Given to connect() by users.

import { checkOptions, type Names, shownOption } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import { Backoff, jitter } from "./backoff.ts";
import { checkDuration, type Clock, sleep, SYSTEM_CLOCK } from "./clock.ts";
import type { Discovery, WatchOptions } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import { parseServerList } from "./server_list.ts";
import { askRegistry, type Fetch, toRegistryUrl } from "./registry_request.ts";
import { Snapshots } from "./snapshots.ts";

/** Options of {@linkcode RegistryDiscovery}. */
export interface RegistryDiscoveryOptions {
  /**
   * How old the list may grow before the registry is asked again, in ms, 10 or more. While the list is watched,
   * the registry is asked each time that this has passed, ±10 %.
   *
   * @default {10_000}
   */
  refreshInterval?: number;
  /**
   * How long the registry may take to answer, in ms, 1 or more.
   *
   * @default {2_000}
   */
  timeout?: number;
  /** Only servers that say they offer this service. Left out: all servers. */
  service?: string;
  /**
   * The longest answer that is taken, in bytes.
   *
   * @default {16_777_216}
   */
  maxListBytes?: number;
  /**
   * What asks the registry.
   *
   * @default {fetch}
   */
  fetch?: Fetch;
  /** The time, for tests. The system's monotonic clock by default. */
  clock?: Clock;
  /**
   * Where jitter comes from: a number from 0 up to but not 1.
   *
   * @default {Math.random}
   */
  random?: () => number;
}

const NAMES: Names<RegistryDiscoveryOptions> = {
  refreshInterval: true,
  timeout: true,
  service: true,
  maxListBytes: true,
  fetch: true,
  clock: true,
  random: true,
};

/**
 * The servers that a registry lists.
 *
 * The registry's death stops nobody: the last good list is kept while the registry is away, answers nonsense or
 * refuses. An empty list from a registry in good health is taken for what it says. Single entries that are no
 * endpoints are left out. However many ask, there is one request at a time.
 *
 * Nothing is asked before `endpoints()` or a watch wants a list, and nothing is kept running after the last
 * watch has ended, so there is nothing to close.
 *
 * @example Usage
 * ```ts
 * import { RegistryDiscovery } from "@troodon/rpc/discovery";
 * import { Registry } from "@troodon/rpc/registry";
 * import { assertEquals } from "@std/assert";
 *
 * await using registry = new Registry();
 * await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
 *
 * const servers = new RegistryDiscovery(`http://127.0.0.1:${server.addr.port}`);
 * assertEquals(await servers.endpoints(), []);
 * ```
 */
export class RegistryDiscovery implements Discovery {
  readonly #url: URL;
  readonly #refreshInterval: number;
  readonly #timeout: number;
  readonly #maxBytes: number;
  readonly #fetch: Fetch;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #snapshots = new Snapshots({
    onWatched: () => this.#startPolling(),
    onUnwatched: () => this.#stopPolling(),
  });
  /** The request under way, which all who want a list share. */
  #asking: { answer: Promise<readonly Endpoint[]>; controller: AbortController } | undefined;
  /** When the last request ended, with or without success. */
  #askedAt = -Infinity;
  /** How many `endpoints()` wait for the request. */
  #callers = 0;
  #polling: AbortController | undefined;
  #failure: RpcError | undefined;

  /**
   * Does not ask yet.
   *
   * @param url Where the registry is; of an origin alone, such as `http://10.0.0.1:9999`, the path is
   * `/_rpc_/registry`
   * @param options Times and bounds
   * @throws {TypeError} If the URL is no http or https URL, or an option is unknown or of the wrong type
   * @throws {RangeError} If an option is out of its range
   */
  constructor(url: string | URL, options: RegistryDiscoveryOptions = {}) {
    this.#url = toRegistryUrl(url);
    checkOptions("discover servers", options, NAMES);
    if (options.service !== undefined) {
      if (typeof options.service !== "string" || options.service === "") {
        throw new TypeError("Cannot use service: expected the name of a service");
      }
      this.#url.searchParams.set("service", options.service);
    }
    this.#refreshInterval = checkDuration("refreshInterval", options.refreshInterval ?? 10_000, 10);
    this.#timeout = checkDuration("timeout", options.timeout ?? 2_000);
    this.#maxBytes = options.maxListBytes ?? 16 * 1024 * 1024;
    if (!(Number.isSafeInteger(this.#maxBytes) && this.#maxBytes > 0)) {
      const given = shownOption(this.#maxBytes);
      throw new RangeError(`Cannot use maxListBytes ${given}: expected a whole number above 0`);
    }
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#random = options.random ?? Math.random;
  }

  /** Why the registry has given no list, or no newer one; undefined if it has. */
  get failure(): RpcError | undefined {
    if (this.#failure !== undefined || this.#snapshots.latest !== undefined) return this.#failure;
    return new RpcError("unavailable", `The registry at ${this.#url.href} has not answered yet`);
  }

  /**
   * The list, asked for anew if it is older than `refreshInterval`; if that fails, the last good one.
   *
   * @returns The servers, in the order of their addresses
   * @throws {RpcError} `unavailable` if there has never been a good list; the message names the URL
   */
  async endpoints(): Promise<readonly Endpoint[]> {
    const latest = this.#snapshots.latest;
    if (latest !== undefined && this.#untilStale() > 0) return latest;
    this.#callers++;
    try {
      return await this.#ask();
    } catch (error) {
      if (latest === undefined) throw error;
      return latest;
    } finally {
      this.#callers--;
    }
  }

  /**
   * Follows the list. While there has been none, the registry is tried again and again, at growing intervals.
   *
   * @param options What ends the watch
   * @returns Whole lists, each in the order of addresses
   */
  watch(options: WatchOptions = {}): AsyncIterable<readonly Endpoint[]> {
    return this.#snapshots.watch(options.signal);
  }

  #untilStale(): number {
    return this.#askedAt + this.#refreshInterval - this.#clock.now();
  }

  #ask(): Promise<readonly Endpoint[]> {
    if (this.#asking !== undefined) return this.#asking.answer;
    const controller = new AbortController();
    const asking = { controller, answer: this.#exchange(controller.signal) };
    this.#asking = asking;
    const settled = (failure?: RpcError) => {
      // Given up, and perhaps followed by another.
      if (this.#asking !== asking) return;
      this.#asking = undefined;
      this.#askedAt = this.#clock.now();
      this.#failure = failure;
    };
    asking.answer.then(() => settled(), settled);
    return asking.answer;
  }

  async #exchange(signal: AbortSignal): Promise<readonly Endpoint[]> {
    const { status, text } = await askRegistry({
      fetch: this.#fetch,
      clock: this.#clock,
      method: "GET",
      url: this.#url,
      timeout: this.#timeout,
      maxBytes: this.#maxBytes,
      signal,
    });
    const endpoints = status === 200 ? parseServerList(text) : undefined;
    if (endpoints === undefined) {
      throw new RpcError(
        "unavailable",
        `Cannot read the list of the registry at ${this.#url.href}: its answer (status ${status}) is no list`,
      );
    }
    if (!signal.aborted) this.#snapshots.publish(endpoints);
    return endpoints;
  }

  #startPolling(): void {
    const controller = new AbortController();
    this.#polling = controller;
    this.#poll(controller.signal);
  }

  #stopPolling(): void {
    this.#polling?.abort();
    this.#polling = undefined;
    if (this.#callers > 0) return;
    // Forgotten first: a watch that begins now must not wait for a request that is being given up.
    const asking = this.#asking;
    this.#asking = undefined;
    asking?.controller.abort(new Error("nobody waits for it any more"));
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#random);
    if (this.#snapshots.latest !== undefined) await sleep(this.#clock, this.#untilStale(), signal);
    while (!signal.aborted) {
      let wait: number;
      try {
        await this.#ask();
        backoff.reset();
        wait = jitter(this.#refreshInterval, 0.1, this.#random);
      } catch {
        // The registry is away: whoever wants to know why asks endpoints().
        wait = backoff.next(this.#refreshInterval);
      }
      await sleep(this.#clock, wait, signal);
    }
  }
}
