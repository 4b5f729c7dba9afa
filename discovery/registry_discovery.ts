// Discovery through a registry: follows its stream of events, or polls it over HTTP. Users pass it to connect().

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
  type RegistryToken,
  type RegistryUrl,
  STATUS_CODES,
  toRegistryUrls,
} from "./registry_request.ts";
import { parseServerList, type ServerList } from "./registry_list.ts";
import { TimeSlice } from "./time_slice.ts";
import { Snapshots } from "./snapshots.ts";

/** Options of {@linkcode RegistryDiscovery}. */
export interface RegistryDiscoveryOptions {
  /**
   * Maximum age of the list in ms, 10 to 2 147 483 647, before the registry is asked again. While the list is watched, the
   * registry reports changes at once, over a stream that is reopened after this time, ±10 %; a registry that cannot stream is
   * polled at this interval.
   *
   * @default {10_000}
   */
  refreshInterval?: number;
  /**
   * Time in ms, from 0, for which servers that disappear suddenly are kept: servers whose leases expired within this time,
   * once they outnumber the servers that are left on the list; and servers that are missing when the registry starts over
   * without its previous list, such as after a restart. Servers that were paused, drained or removed are not kept. Use a time
   * longer than servers take to announce themselves again, which is a third of their leases.
   *
   * @default {10_000}
   */
  holdTime?: number;
  /** Token that the registry requires of readers; a function is called for each request. Undefined = no token is sent. */
  token?: string | (() => string | Promise<string>);
  /**
   * Timeout of a request to the registry, in ms, from 1.
   *
   * @default {2_000}
   */
  timeout?: number;
  /** Lists only servers that announce this service. Undefined = all servers. */
  service?: string;
  /**
   * Maximum length of an answer, in bytes, from 1.
   *
   * @default {16_777_216}
   */
  maxListBytes?: number;
  /**
   * The function that makes the requests.
   *
   * @default {fetch}
   */
  fetch?: Fetch;
  /** The clock, for tests. The system's monotonic clock by default. */
  clock?: Clock;
  /**
   * Returns a random number from 0 to, but not including, 1; used for jitter.
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

/** Changes within this time in ms are published together, so that a thousand starting servers do not cause a thousand lists. */
const COALESCE = 10;

/**
 * The servers that a registry lists.
 *
 * While it is watched, it follows the registry's stream of events and receives changes within milliseconds. A broken stream is
 * resumed where it ended; a registry that cannot stream is polled. Several URLs are those of processes that serve one store:
 * one is used at a time, and the next as soon as it fails.
 *
 * Clients survive an outage of the registry: the last valid list is kept for as long as the registry is unreachable, sends
 * invalid answers or rejects requests. A list that suddenly becomes empty is only adopted after `holdTime`. Invalid entries
 * are skipped.
 *
 * Nothing is requested before `endpoints()` is called or a watch starts, and nothing keeps running after the last watch has
 * ended, so there is nothing to close.
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
  /** Index of the URL in use. The first one is random, so that many clients spread. */
  #at: number | undefined;
  /** The revision of the list, if the registry has revisions. */
  #revision: number | undefined;
  /** The pending request for the list, shared by all callers. */
  #request: Promise<readonly Endpoint[]> | undefined;
  /** When the last request ended, successful or not. */
  #requestedAt = -Infinity;
  /** Whether an event stream is open. */
  #live = false;
  #following: AbortController | undefined;
  /** Whether the list has changed since it was last published. */
  #changed = false;
  /** Cancels the timer that publishes the list. */
  #cancelPublish: (() => void) | undefined;
  #failure: RpcError | undefined;

  /**
   * Creates a discovery. Makes no request yet.
   *
   * @param url The URL of the registry, or a list of URLs of the processes that serve it. The path of a URL without one, such
   *   as `http://10.0.0.1:9999`, is `/_rpc_/registry`
   * @param options Times and limits
   * @throws {TypeError} If a URL is not a valid http or https URL, or an option is unknown or has the wrong type
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
      throw new RangeError(`Cannot use maxListBytes ${given}: expected an integer above 0`);
    }
    this.#fetch = options.fetch ?? globalFetch;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#random = options.random ?? Math.random;
    this.#list = new StickyEndpoints(this.#clock, checkDuration("holdTime", options.holdTime ?? 10_000, 0));
  }

  /** The registry with the URL in use, and the option `service`. */
  get source(): string {
    const service = this.#url.searchParams.get("service");
    const of = service === null ? "" : ` for service ${JSON.stringify(service)}`;
    return `the registry at ${this.#url.origin}${of}`;
  }

  /** Why there is no list, or no newer one; undefined if there is no problem. Of several URLs, for the last one tried. */
  get failure(): RpcError | undefined {
    if (this.#failure !== undefined || this.#snapshots.latest !== undefined) return this.#failure;
    return new RpcError("unavailable", `The registry at ${this.#url.href} has not answered yet`);
  }

  /**
   * The list, requested again if it is older than `refreshInterval`; if the request fails, the last valid list.
   *
   * @returns The servers, ordered by address
   * @throws {RpcError} If there has never been a valid list: `unauthenticated` or `permission_denied` if the registry rejects
   *   the token, otherwise `unavailable`; the message names the URL
   */
  async endpoints(): Promise<readonly Endpoint[]> {
    const known = this.#snapshots.latest !== undefined;
    if (known && (this.#live || this.#clock.now() < this.#requestedAt + this.#refreshInterval)) {
      return this.#publish();
    }
    try {
      return await (this.#request ??= this.#requestFromAll());
    } catch (error) {
      if (!known) throw error;
      return this.#publish();
    }
  }

  /**
   * Watches the list. Until there is a first one, requests are retried at growing intervals.
   *
   * @param options The signal that ends watching
   * @returns Complete lists, each ordered by address
   */
  watch(options: WatchOptions = {}): AsyncIterable<readonly Endpoint[]> {
    return this.#snapshots.watch(options.signal);
  }

  get #url(): URL {
    this.#at ??= Math.min(Math.floor(this.#random() * this.#urls.length), this.#urls.length - 1);
    return this.#urls[this.#at]!;
  }

  /** Records a failure and moves on to the next URL. The failure is ignored if the event stream is still open. */
  #useNext(failure: RpcError): void {
    if (!this.#live) this.#failure = failure;
    this.#at = ((this.#at ?? 0) + 1) % this.#urls.length;
  }

  /** Publishes the current list, and schedules the next publication for when held servers are released. */
  #publish(): readonly Endpoint[] {
    this.#changed = false;
    this.#cancelPublish?.();
    this.#cancelPublish = undefined;
    this.#snapshots.publish(this.#list.endpoints());
    const until = this.#list.heldUntil;
    if (until !== undefined) this.#publishIn(until - this.#clock.now());
    return this.#snapshots.latest!;
  }

  /** Schedules a publication. Without a watch the list is only published when it is requested. */
  #publishIn(delay: number): void {
    if (this.#following === undefined) return;
    this.#cancelPublish?.();
    this.#cancelPublish = this.#clock.setTimer(() => this.#publish(), delay);
  }

  /** Requests the list from one registry after the other, until one answers. */
  async #requestFromAll(): Promise<readonly Endpoint[]> {
    try {
      for (let tries = 1;; tries++) {
        try {
          return await this.#requestList();
        } catch (error) {
          this.#useNext(error as RpcError);
          if (tries === this.#urls.length) throw error;
        }
      }
    } finally {
      this.#request = undefined;
      this.#requestedAt = this.#clock.now();
    }
  }

  async #requestList(signal?: AbortSignal): Promise<readonly Endpoint[]> {
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
    let cause: unknown;
    let reason = `its answer${from} (status ${status}) is not a list of servers`;
    try {
      if (status === 200) list = await parseServerList(text, new TimeSlice(this.#clock));
    } catch (error) {
      cause = error;
      reason = (error as Error).message;
    }
    if (list === undefined) {
      const message = `Cannot read the list of the registry at ${url.href}: ${reason}`;
      throw new RpcError(STATUS_CODES.get(status) ?? "unavailable", message, { cause });
    }
    this.#apply({ kind: "list", firstRevision: firstRevisionOf(headers), ...list }, false);
    return this.#publish();
  }

  #apply(event: Exclude<RegistryEvent, { kind: "open" }>, resuming: boolean): void {
    const known = this.#revision;
    this.#failure = undefined;
    if (event.kind === "list") {
      const { revision, firstRevision = 0, endpoints, withdrawn } = event;
      // A registry that resumes at an older or restarted revision has lost its previous list.
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

  /** Follows one registry after the other: the next one when one fails, with a backoff when all have failed. */
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

  /** Follows the stream until it has to be reopened. Returns whether there was a stream; otherwise adopts a polled list. */
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
          // The timer starts only now, since connecting may take longer than refreshInterval.
          cancelTimer = this.#clock.setTimer(end, jitter(this.#refreshInterval, 0.1, this.#random));
          continue;
        }
        this.#apply(value, after !== undefined && this.#live);
        listed = true;
      }
      if (!listed) await this.#requestList(signal);
      return false;
    } finally {
      cancelTimer();
      signal.removeEventListener("abort", end);
      await events.return(true);
      if (!signal.aborted) this.#live = false;
      this.#requestedAt = this.#clock.now();
    }
  }
}
