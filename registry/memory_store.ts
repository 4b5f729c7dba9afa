// Keeps the registry's leases in memory, bounded in number and size. The default store of a Registry.

import { checkOptions, type Names } from "../call/check_options.ts";
import { type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { sameEndpoint } from "../discovery/snapshots.ts";
import {
  type LeaseRecord,
  LeaseTable,
  notCurrent,
  notListed,
  STORE_LIMITS,
  type StoreLimits,
} from "./lease_table.ts";
import type {
  Grant,
  InstanceState,
  Lease,
  LeaseEvent,
  LeaseList,
  RegistryStore,
  WatchLeasesOptions,
} from "./store.ts";

/** Options of {@linkcode MemoryStore}. */
export interface MemoryStoreOptions extends StoreLimits {
  /** The clock, replaceable in tests. The system's monotonic clock by default. */
  clock?: Clock;
}

const NAMES: Names<MemoryStoreOptions> = { ...STORE_LIMITS, clock: true };

/** The stored record of a server. */
interface Entry extends LeaseRecord {
  readonly grantedAt: number;
  renewedAt: number;
}

/**
 * Leases that expire within this many ms are reported to watches together, so that many short leases do not
 * cause many sweeps.
 */
const MIN_SWEEP_INTERVAL = 10;

/**
 * Stores leases in memory. They end with the process.
 *
 * Leases are timed by the monotonic clock, so a jump of the wall clock expires none. An expired lease is gone
 * for every method at once, and watches are notified within 10 ms; a timer runs only while there are watches.
 * Revisions start at the creation time of the store, in µs since 1970, so that a restarted registry does not
 * mistake earlier revisions for its own.
 *
 * @example Usage
 * ```ts
 * import { MemoryStore } from "@troodon/rpc/registry";
 * import { assertEquals } from "@std/assert";
 *
 * const store = new MemoryStore();
 * await store.grant({ address: "tcp@10.0.0.1:9999" }, 10_000);
 * const { leases } = await store.list();
 * assertEquals(leases.map(({ instance }) => instance.address), ["tcp@10.0.0.1:9999"]);
 * ```
 */
export class MemoryStore implements RegistryStore {
  readonly #clock: Clock;
  readonly #table: LeaseTable<Entry>;
  /** No lease expires before this time. */
  #nextEnd = Infinity;
  #cancelTimer: (() => void) | undefined;

  /**
   * Creates an empty store.
   *
   * @param options Limits of the store
   * @throws {TypeError} If an option is unknown
   * @throws {RangeError} If a limit is not a whole number above 0
   */
  constructor(options: MemoryStoreOptions = {}) {
    checkOptions("create store", options, NAMES);
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#table = new LeaseTable<Entry>({
      limits: options,
      clock: this.#clock,
      revision: Date.now() * 1_000,
      toLease: (entry) => toLease(entry, this.#clock.now()),
      onWatched: () => {
        this.#sweep();
        this.#setTimer();
      },
      onUnwatched: () => this.#cancelTimer?.(),
    });
  }

  /**
   * Registers a server, or renews its lease and updates its description.
   *
   * @param instance The server; must not be modified afterwards
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is removed
   * @param incarnation Omitted: any; 0: a new one; another number: only that one
   * @param state The last state that a new incarnation knows of
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if a limit would be exceeded, in which case nothing changes;
   * `not_found` or `aborted` if the incarnation is not on the list
   */
  // deno-lint-ignore require-await -- the interface is asynchronous: a throw must become a rejection
  async grant(
    instance: Endpoint,
    ttl: number,
    incarnation?: number,
    state?: InstanceState,
  ): Promise<Grant> {
    const now = this.#sweep();
    const before = this.#find(instance.address, incarnation || undefined);
    if (incarnation && before === undefined) throw notListed(instance.address);
    const current = incarnation === 0 ? undefined : before;
    if (current !== undefined && current.ttl === ttl && sameEndpoint(current.instance, instance)) {
      current.renewedAt = now;
      return { lease: toLease(current, now), created: false };
    }
    this.#table.checkRoom(instance);
    const revision = this.#table.revision + 1;
    const entry: Entry = {
      instance,
      ttl,
      incarnation: current?.incarnation ?? revision,
      state: current?.state ?? this.#table.stateOf(instance.address, state),
      grantedAt: before?.grantedAt ?? now,
      renewedAt: now,
    };
    this.#table.apply(revision, [entry]);
    this.#expectEnd(entry);
    return { lease: toLease(entry, now), created: before === undefined };
  }

  /**
   * Renews a lease without changes.
   *
   * @param address The address of the server
   * @param incarnation Omitted: any
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list
   */
  // deno-lint-ignore require-await -- as above
  async renew(address: string, incarnation?: number): Promise<Lease | undefined> {
    const now = this.#sweep();
    const entry = this.#find(address, incarnation);
    if (entry === undefined) return undefined;
    entry.renewedAt = now;
    return toLease(entry, now);
  }

  /**
   * Removes a server from the list.
   *
   * @param address The address of the server
   * @param incarnation Omitted: any
   * @returns Whether it was on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list
   */
  // deno-lint-ignore require-await -- as above
  async revoke(address: string, incarnation?: number): Promise<boolean> {
    this.#sweep();
    const entry = this.#find(address, incarnation);
    if (entry !== undefined) this.#table.apply(this.#table.revision + 1, [], [], [address]);
    return entry !== undefined;
  }

  /**
   * Pauses, drains or resumes a server.
   *
   * @param address The address of the server
   * @param state The new state
   * @returns The lease, or `undefined` if the server is not on the list
   */
  setState(address: string, state: InstanceState): Promise<Lease | undefined> {
    const now = this.#sweep();
    const before = this.#table.get(address);
    if (before === undefined) return Promise.resolve(undefined);
    const entry: Entry = { ...before, state };
    if (state !== before.state) this.#table.apply(this.#table.revision + 1, [entry]);
    return Promise.resolve(toLease(entry, now));
  }

  /**
   * Lists the servers whose leases have not expired.
   *
   * @returns Their leases, sorted by address, and the revision
   */
  list(): Promise<LeaseList> {
    this.#sweep();
    return Promise.resolve(this.#table.list());
  }

  /**
   * Follows the list.
   *
   * @param options The revision to resume after, and the signal that ends the watch
   * @returns The events
   */
  watch(options: WatchLeasesOptions = {}): AsyncIterable<LeaseEvent> {
    return this.#table.watch(options);
  }

  #find(address: string, incarnation: number | undefined): Entry | undefined {
    const entry = this.#table.get(address);
    if (entry !== undefined && incarnation !== undefined && entry.incarnation !== incarnation) {
      throw notCurrent(address);
    }
    return entry;
  }

  /** Removes expired leases, and returns the time used. */
  #sweep(): number {
    const now = this.#clock.now();
    if (now < this.#nextEnd) return now;
    const expired: string[] = [];
    let nextEnd = Infinity;
    for (const entry of this.#table.values()) {
      const end = endOf(entry);
      if (end <= now) expired.push(entry.instance.address);
      else if (end < nextEnd) nextEnd = end;
    }
    this.#nextEnd = nextEnd;
    if (expired.length > 0) this.#table.apply(this.#table.revision + 1, [], expired);
    return now;
  }

  #expectEnd(entry: Entry): void {
    const end = endOf(entry);
    if (end >= this.#nextEnd) return;
    this.#nextEnd = end;
    if (this.#table.watched) this.#setTimer();
  }

  #setTimer(): void {
    this.#cancelTimer?.();
    if (this.#nextEnd === Infinity) return;
    const delay = Math.max(this.#nextEnd - this.#clock.now(), MIN_SWEEP_INTERVAL);
    this.#cancelTimer = this.#clock.setTimer(() => {
      this.#sweep();
      this.#setTimer();
    }, delay);
  }
}

function endOf({ ttl, renewedAt }: Entry): number {
  return ttl > 0 ? renewedAt + ttl : Infinity;
}

function toLease({ instance, ttl, incarnation, state, grantedAt, renewedAt }: Entry, now: number): Lease {
  return { instance, ttl, age: now - grantedAt, idle: now - renewedAt, incarnation, state };
}
