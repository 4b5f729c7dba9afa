// Discovery by following a registry over HTTP, or by asking it now and then. Given to connect() by users.

import { checkOptions, type Names, shownOption } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import { Backoff, jitter } from "./backoff.ts";
import { checkDuration, type Clock, sleep, SYSTEM_CLOCK } from "./clock.ts";
import type { Discovery, WatchOptions } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import { StickyEndpoints } from "./sticky_endpoints.ts";
import { type RegistryEvent, registryEvents } from "./registry_events.ts";
import {
  askRegistry,
  checkRegistryToken,
  type Fetch,
  firstRevisionOf,
  globalFetch,
  REFUSALS,
  type RegistryToken,
  type RegistryUrl,
  toRegistryUrls,
} from "./registry_request.ts";
import { parseServerList, type ServerList } from "./server_list.ts";
import { Snapshots } from "./snapshots.ts";

/** Options of {@linkcode RegistryDiscovery}. */
export interface RegistryDiscoveryOptions {
  /**
   * How old the list may grow before the registry is asked again, in ms, 10 or more. While the list is watched,
   * the registry tells of changes as they happen, over a stream that is opened anew each time that this has passed,
   * ±10 %; one that cannot stream is asked for its list at these times.
   *
   * @default {10_000}
   */
  refreshInterval?: number;
  /**
   * How long servers that have suddenly vanished are kept, in ms, 0 or more: those whose leases have run out within this
   * time once they are more than are left on the list, and those that are missing when the registry starts over without
   * knowing what it listed before, as one that has restarted does. Not those that were paused, drained or taken off.
   * Longer than servers take to announce themselves again, which is a third of their leases.
   *
   * @default {10_000}
   */
  holdTime?: number;
  /**
   * What the registry asks of those who read its list; a function is called for each request. Left out: nothing is
   * shown.
   */
  token?: string | (() => string | Promise<string>);
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
  holdTime: true,
  token: true,
  timeout: true,
  service: true,
  maxListBytes: true,
  fetch: true,
  clock: true,
  random: true,
};

/** Changes that come together are handed out together: a thousand servers that start are not a thousand lists. */
const COALESCE = 10;

/**
 * The servers that a registry lists.
 *
 * While it is watched, it follows the registry's stream of events and knows of a change within milliseconds. A stream
 * that breaks off is resumed where it was; a registry that cannot stream is polled. Of several URLs one is used at a
 * time, and the next as soon as it fails; they are those of processes that serve one store.
 *
 * The registry's death stops nobody: the last good list is kept for as long as the registry is away, answers nonsense
 * or refuses. A list that is empty all of a sudden is not believed for `holdTime`. Single entries that are no
 * endpoints are left out.
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
  readonly #urls: readonly URL[];
  readonly #token: RegistryToken | undefined;
  readonly #refreshInterval: number;
  readonly #timeout: number;
  readonly #maxBytes: number;
  readonly #fetch: Fetch;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #list: StickyEndpoints;
  readonly #snapshots = new Snapshots({
    onWatched: () => this.#startFollowing(),
    onUnwatched: () => this.#stopFollowing(),
  });
  /** Which of the URLs is in use: the first is left to chance, so that many clients spread. */
  #at: number | undefined;
  /** The revision of the list, if the registry counts them. */
  #revision: number | undefined;
  /** The request for the list under way, which all who want one share. */
  #asking: Promise<readonly Endpoint[]> | undefined;
  /** When the registry was last asked, with or without success. */
  #askedAt = -Infinity;
  /** Whether there is a stream that tells of changes. */
  #live = false;
  #following: AbortController | undefined;
  /** Whether the list has changed since it was last handed out. */
  #changed = false;
  /** Takes back the timer behind which the next list is handed out. */
  #cancelPublish: (() => void) | undefined;
  #failure: RpcError | undefined;

  /**
   * Does not ask yet.
   *
   * @param url Where the registry is, or a list of where the processes are that serve it; of an origin alone, such as
   * `http://10.0.0.1:9999`, the path is `/_rpc_/registry`
   * @param options Times and bounds
   * @throws {TypeError} If a URL is no http or https URL, or an option is unknown or of the wrong type
   * @throws {RangeError} If an option is out of its range
   */
  constructor(url: RegistryUrl, options: RegistryDiscoveryOptions = {}) {
    this.#urls = toRegistryUrls(url);
    checkOptions("discover servers", options, NAMES);
    if (options.service !== undefined) {
      if (typeof options.service !== "string" || options.service === "") {
        throw new TypeError("Cannot use service: expected the name of a service");
      }
      for (const url of this.#urls) url.searchParams.set("service", options.service);
    }
    this.#token = checkRegistryToken(options.token);
    this.#refreshInterval = checkDuration("refreshInterval", options.refreshInterval ?? 10_000, 10);
    this.#timeout = checkDuration("timeout", options.timeout ?? 2_000);
    this.#maxBytes = options.maxListBytes ?? 16 * 1024 * 1024;
    if (!(Number.isSafeInteger(this.#maxBytes) && this.#maxBytes > 0)) {
      const given = shownOption(this.#maxBytes);
      throw new RangeError(`Cannot use maxListBytes ${given}: expected a whole number above 0`);
    }
    this.#fetch = options.fetch ?? globalFetch;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#random = options.random ?? Math.random;
    this.#list = new StickyEndpoints(this.#clock, checkDuration("holdTime", options.holdTime ?? 10_000, 0));
  }

  /** Why the registry has given no list, or no newer one; undefined if it has. Of several, the last that was tried. */
  get failure(): RpcError | undefined {
    if (this.#failure !== undefined || this.#snapshots.latest !== undefined) return this.#failure;
    return new RpcError("unavailable", `The registry at ${this.#url.href} has not answered yet`);
  }

  /**
   * The list, asked for anew if it is older than `refreshInterval`; if that fails, the last good one.
   *
   * @returns The servers, in the order of their addresses
   * @throws {RpcError} If there has never been a good list: `unauthenticated` or `permission_denied` if the registry
   * refuses the token, else `unavailable`; the message names the URL
   */
  async endpoints(): Promise<readonly Endpoint[]> {
    const known = this.#snapshots.latest !== undefined;
    if (known && (this.#live || this.#clock.now() < this.#askedAt + this.#refreshInterval)) {
      return this.#publish();
    }
    try {
      return await (this.#asking ??= this.#askAll());
    } catch (error) {
      if (!known) throw error;
      return this.#publish();
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

  get #url(): URL {
    this.#at ??= Math.min(Math.floor(this.#random() * this.#urls.length), this.#urls.length - 1);
    return this.#urls[this.#at]!;
  }

  /** Notes why the one in use is not, unless its stream shows that it is alive after all. */
  #useNext(failure: RpcError): void {
    if (!this.#live) this.#failure = failure;
    this.#at = ((this.#at ?? 0) + 1) % this.#urls.length;
  }

  /** Hands out the list as of now, and again when what is held in it is let go. */
  #publish(): readonly Endpoint[] {
    this.#changed = false;
    this.#cancelPublish?.();
    this.#cancelPublish = undefined;
    this.#snapshots.publish(this.#list.endpoints());
    const until = this.#list.heldUntil;
    if (until !== undefined) this.#publishIn(until - this.#clock.now());
    return this.#snapshots.latest!;
  }

  /** Hands out the list later, unless it is handed out before. Without a watch that is when somebody asks. */
  #publishIn(delay: number): void {
    if (this.#following === undefined) return;
    this.#cancelPublish?.();
    this.#cancelPublish = this.#clock.setTimer(() => this.#publish(), delay);
  }

  /** Asks one registry after the other for its list, until one answers. */
  async #askAll(): Promise<readonly Endpoint[]> {
    try {
      for (let tries = 1;; tries++) {
        try {
          return await this.#ask();
        } catch (error) {
          this.#useNext(error as RpcError);
          if (tries === this.#urls.length) throw error;
        }
      }
    } finally {
      this.#asking = undefined;
      this.#askedAt = this.#clock.now();
    }
  }

  async #ask(signal?: AbortSignal): Promise<readonly Endpoint[]> {
    const url = this.#url;
    const { status, text, headers, redirectedTo } = await askRegistry({
      fetch: this.#fetch,
      clock: this.#clock,
      method: "GET",
      url,
      token: this.#token,
      timeout: this.#timeout,
      maxBytes: this.#maxBytes,
      signal,
    });
    let list: ServerList | undefined;
    const from = redirectedTo === undefined ? "" : ` from ${redirectedTo}, to which it redirects,`;
    let reason = `its answer${from} (status ${status}) is no list`;
    try {
      if (status === 200) list = await parseServerList(text);
    } catch (error) {
      reason = (error as Error).message;
    }
    if (list === undefined) {
      const message = `Cannot read the list of the registry at ${url.href}: ${reason}`;
      throw new RpcError(REFUSALS.get(status) ?? "unavailable", message);
    }
    this.#take({ kind: "list", firstRevision: firstRevisionOf(headers), ...list }, false);
    return this.#publish();
  }

  #take(event: Exclude<RegistryEvent, { kind: "open" }>, resuming: boolean): void {
    const known = this.#revision;
    this.#failure = undefined;
    if (event.kind === "list") {
      const { revision, firstRevision = 0, endpoints, withdrawn } = event;
      // A registry that was asked to go on from a revision, and starts again or further back, has lost its memory.
      const isLost = known !== undefined &&
        (firstRevision > known || revision !== undefined && revision < known);
      this.#list.replace(endpoints, { withdrawn, startsOver: resuming || isLost });
    } else if (known === undefined || event.revision > known) {
      this.#list.change(event.set, event.removed, event);
    } else return;
    this.#revision = event.revision;
    if (event.kind === "list") this.#publish();
    else if (!this.#changed) {
      this.#changed = true;
      this.#publishIn(COALESCE);
    }
  }

  #startFollowing(): void {
    this.#following = new AbortController();
    this.#follow(this.#following.signal);
    if (this.#snapshots.latest !== undefined) this.#publish();
  }

  #stopFollowing(): void {
    this.#following?.abort();
    this.#following = undefined;
    this.#live = false;
    this.#cancelPublish?.();
    this.#cancelPublish = undefined;
  }

  /** Follows one registry after the other: the next when one is away, and after a while when all are. */
  async #follow(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#random);
    let failures = 0;
    while (!signal.aborted) {
      try {
        const streams = await this.#stream(signal);
        failures = 0;
        backoff.reset();
        if (!streams) await sleep(this.#clock, jitter(this.#refreshInterval, 0.1, this.#random), signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#useNext(error as RpcError);
        if (++failures % this.#urls.length === 0) {
          await sleep(this.#clock, backoff.next(this.#refreshInterval), signal);
        }
      }
    }
  }

  /** Follows the stream until it is time for another. Returns whether there is one; takes a list if there is not. */
  async #stream(signal: AbortSignal): Promise<boolean> {
    const term = new AbortController();
    const end = () => term.abort();
    let cancelTimer = () => {};
    signal.addEventListener("abort", end);
    const after = this.#revision;
    const events = registryEvents({
      fetch: this.#fetch,
      clock: this.#clock,
      url: this.#url,
      token: this.#token,
      after,
      timeout: this.#timeout,
      maxBytes: this.#maxBytes,
      signal: term.signal,
    });
    let listed = false;
    try {
      for (;;) {
        const { done, value } = await events.next();
        if (signal.aborted || done && value) return true;
        if (done) break;
        if (value.kind === "open") {
          this.#live = true;
          this.#failure = undefined;
          // Not before: it may take longer to come than it is to last.
          cancelTimer = this.#clock.setTimer(end, jitter(this.#refreshInterval, 0.1, this.#random));
          continue;
        }
        this.#take(value, after !== undefined && this.#live);
        listed = true;
      }
      if (!listed) await this.#ask(signal);
      return false;
    } finally {
      cancelTimer();
      signal.removeEventListener("abort", end);
      await events.return(true);
      if (!signal.aborted) this.#live = false;
      this.#askedAt = this.#clock.now();
    }
  }
}
