// Keeps the registry's leases in memory, bounded in number and size. The registry's store unless it gets another.

import { checkOptions, type Names } from "../call/check_options.ts";
import { type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { sameEndpoint } from "../discovery/snapshots.ts";
import {
  type LeaseRecord,
  LeaseTable,
  notThat,
  notThere,
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
  /** The time, for tests. The system's monotonic clock by default. */
  clock?: Clock;
}

const NAMES: Names<MemoryStoreOptions> = { ...STORE_LIMITS, clock: true };

/** What the store notes of a server. */
interface Entry extends LeaseRecord {
  readonly grantedAt: number;
  renewedAt: number;
}

/** Watches are told of leases that run out together, so that many short ones do not mean many rounds. */
const MIN_SWEEP_INTERVAL = 10;

/**
 * Leases in memory. They end with the process.
 *
 * Time is counted by the monotonic clock, so a jump of the wall clock ends no lease. A lease that has run out
 * is gone for every method from that moment on, and watches hear of it within 10 ms; there is no timer unless
 * somebody watches. Revisions begin with the time at which the store was made, in µs since 1970, so that a
 * registry that restarts does not take revisions of before for its own.
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
  /** No lease runs out before this. */
  #nextEnd = Infinity;
  #cancelTimer: (() => void) | undefined;

  /**
   * Starts empty.
   *
   * @param options Its bounds
   * @throws {TypeError} If an option is unknown
   * @throws {RangeError} If a bound is not a whole number above 0
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
   * Puts a server on the list, or renews it and takes over what the instance now says.
   *
   * @param instance The server, which will not change afterwards
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is taken off
   * @param incarnation Left out: any; 0: a new one; another number: only that one
   * @param state What a new incarnation was in before, as far as it knows
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if a bound would be passed, in which case nothing changes; `not_found`
   *   or `aborted` if the incarnation is not on the list
   */
  // deno-lint-ignore require-await -- the seam is asynchronous, a throw must become a rejection
  async grant(
    instance: Endpoint,
    ttl: number,
    incarnation?: number,
    state?: InstanceState,
  ): Promise<Grant> {
    const now = this.#sweep();
    const before = this.#find(instance.address, incarnation || undefined);
    if (incarnation && before === undefined) throw notThere(instance.address);
    const kept = incarnation === 0 ? undefined : before;
    if (kept !== undefined && kept.ttl === ttl && sameEndpoint(kept.instance, instance)) {
      kept.renewedAt = now;
      return { lease: toLease(kept, now), created: false };
    }
    this.#table.checkRoom(instance);
    const revision = this.#table.revision + 1;
    const entry: Entry = {
      instance,
      ttl,
      incarnation: kept?.incarnation ?? revision,
      state: kept?.state ?? this.#table.stateOf(instance.address, state),
      grantedAt: before?.grantedAt ?? now,
      renewedAt: now,
    };
    this.#table.apply(revision, [entry]);
    this.#expectEnd(entry);
    return { lease: toLease(entry, now), created: before === undefined };
  }

  /**
   * Renews a lease as it is.
   *
   * @param address Of the server
   * @param incarnation Left out: any
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
   * Takes a server off the list.
   *
   * @param address Of the server
   * @param incarnation Left out: any
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
   * @param address Of the server
   * @param state What it is to be
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
   * The servers whose leases have not run out.
   *
   * @returns Their leases in the order of their addresses, and the revision
   */
  list(): Promise<LeaseList> {
    this.#sweep();
    return Promise.resolve(this.#table.list());
  }

  /**
   * Follows the list.
   *
   * @param options Where to begin, and what ends it
   * @returns What happens
   */
  watch(options: WatchLeasesOptions = {}): AsyncIterable<LeaseEvent> {
    return this.#table.watch(options);
  }

  #find(address: string, incarnation: number | undefined): Entry | undefined {
    const entry = this.#table.get(address);
    if (entry !== undefined && incarnation !== undefined && entry.incarnation !== incarnation) {
      throw notThat(address);
    }
    return entry;
  }

  /** Takes off what has run out by now, and returns what time that is. */
  #sweep(): number {
    const now = this.#clock.now();
    if (now < this.#nextEnd) return now;
    const ended: string[] = [];
    let nextEnd = Infinity;
    for (const entry of this.#table.values()) {
      const end = endOf(entry);
      if (end <= now) ended.push(entry.instance.address);
      else if (end < nextEnd) nextEnd = end;
    }
    this.#nextEnd = nextEnd;
    if (ended.length > 0) this.#table.apply(this.#table.revision + 1, [], ended);
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
