// The leases known to a store at a revision, the changes that led there, and the pending watches. Owned by
// each store, which decides what changes; limits and watches are the same for all stores and are implemented
// here.

import { type Names, shownOption } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import type { Clock } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { InstanceState, Lease, LeaseEvent, LeaseList, WatchLeasesOptions } from "./store.ts";

/** Limits of a store. */
export interface StoreLimits {
  /**
   * Maximum number of servers, 1 or more.
   *
   * @default {10_000}
   */
  maxInstances?: number;
  /**
   * Maximum number of distinct services of all servers together, 1 or more.
   *
   * @default {1_000}
   */
  maxServices?: number;
  /**
   * Maximum bytes of all descriptions together, as JSON.
   *
   * @default {8_388_608}
   */
  maxBytes?: number;
  /**
   * How many changes are kept for watches that resume, 1 or more.
   *
   * @default {10_000}
   */
  maxHistory?: number;
}

/** The names of the limits, for options that include them. */
export const STORE_LIMITS: Names<StoreLimits> = {
  maxInstances: true,
  maxServices: true,
  maxBytes: true,
  maxHistory: true,
};

/** How long lists include the address of a removed server, in ms, for clients that poll. */
const WITHDRAWN_FOR = 60_000;
/** Maximum number of removed servers remembered. */
const MAX_WITHDRAWN = 1_000;

/** The record that every store keeps of a server. Immutable: a change replaces it. */
export interface LeaseRecord {
  readonly instance: Endpoint;
  readonly ttl: number;
  readonly incarnation: number;
  readonly state: InstanceState;
}

/** Dependencies of a table. */
export interface LeaseTableOptions<R extends LeaseRecord> {
  limits: StoreLimits;
  clock: Clock;
  /** The initial revision of an empty table. Omitted if `replace` fills the table first. */
  revision?: number;
  /** Converts a record to its public form. */
  toLease: (record: R) => Lease;
  /** Called when the first watch begins. */
  onWatched?: () => void;
  /** Called when the last watch has ended. */
  onUnwatched?: () => void;
}

interface Change<R> {
  revision: number;
  set: readonly R[];
  removed: readonly string[];
  withdrawn: readonly string[];
}

/** The leases, one per address. */
export class LeaseTable<R extends LeaseRecord> {
  readonly #options: LeaseTableOptions<R>;
  readonly #limits: Required<StoreLimits>;
  readonly #records = new Map<string, R>();
  /** Bytes counted for each record. */
  readonly #sizes = new Map<string, number>();
  /** How many servers offer each service. */
  readonly #services = new Map<string, number>();
  /** The servers that were removed, or whose leases expired in the given state, and when: oldest first. */
  readonly #withdrawn = new Map<string, { at: number; state?: InstanceState }>();
  readonly #changes: Change<R>[] = [];
  readonly #waiting = new Set<() => void>();
  #sorted: readonly R[] | undefined;
  #bytes = 0;
  /** The revision before the oldest of `#changes`: a watch that knows an older one gets the whole list. */
  #oldestRevision: number;
  #revision: number;
  #watches = 0;
  /** Counts how often revisions have gone backwards. Revisions of an earlier epoch are meaningless. */
  #epoch = 0;
  /** Counts failures, so that a watch notices one that happened during its lifetime. */
  #failures = 0;
  #failure: RpcError | undefined;

  constructor(options: LeaseTableOptions<R>) {
    this.#options = options;
    this.#limits = checkLimits(options.limits);
    this.#oldestRevision = options.revision ?? Infinity;
    this.#revision = options.revision ?? 0;
  }

  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#records.size;
  }

  /** Whether there are watches. */
  get watched(): boolean {
    return this.#watches > 0;
  }

  get(address: string): R | undefined {
    return this.#records.get(address);
  }

  values(): Iterable<R> {
    return this.#records.values();
  }

  /** Throws `resource_exhausted` if adding or updating an instance would exceed a limit. */
  checkRoom(instance: Endpoint): void {
    const { maxInstances, maxServices, maxBytes } = this.#limits;
    const before = this.#records.get(instance.address);
    if (before === undefined && this.#records.size >= maxInstances) {
      throw full(instance, `${maxInstances} servers (maxInstances)`);
    }
    if (this.#bytes + sizeOf(instance) - (this.#sizes.get(instance.address) ?? 0) > maxBytes) {
      throw full(instance, `${maxBytes} bytes of descriptions (maxBytes)`);
    }
    let services = this.#services.size;
    const names = new Set(instance.services);
    for (const name of names) if (!this.#services.has(name)) services++;
    for (const name of before?.instance.services ?? []) {
      if (this.#services.get(name) === 1 && !names.has(name)) services--;
    }
    if (services > maxServices) throw full(instance, `${maxServices} services (maxServices)`);
  }

  /**
   * Applies a change and wakes the watches.
   *
   * @param expired The addresses of servers whose leases have expired
   * @param removed The addresses of servers that were removed
   */
  apply(
    revision: number,
    set: readonly R[],
    expired: readonly string[] = [],
    removed: readonly string[] = [],
  ): void {
    const isThere = (address: string) => this.#records.has(address);
    const withdrawn = removed.filter(isThere);
    const gone = [...expired.filter(isThere), ...withdrawn];
    for (const address of withdrawn) this.#noteWithdrawn(address);
    for (const address of expired) {
      const state = this.#records.get(address)?.state ?? "active";
      if (state === "active") continue;
      withdrawn.push(address);
      this.#noteWithdrawn(address, state);
    }
    for (const address of gone) this.#remove(address);
    for (const record of set) {
      this.#withdrawn.delete(record.instance.address);
      this.#remove(record.instance.address);
      this.#add(record);
    }
    this.#revision = Math.max(this.#revision, revision);
    if (set.length === 0 && gone.length === 0) return;
    this.#sorted = undefined;
    this.#changes.push({ revision: this.#revision, set, removed: gone, withdrawn });
    if (this.#changes.length > this.#limits.maxHistory) {
      this.#oldestRevision = this.#changes.shift()!.revision;
    }
    this.#wake();
  }

  /**
   * Replaces the whole list, recorded as the change that leads to it. After an older revision, all watches
   * get the whole list.
   *
   * @param withdrawn The addresses of servers that were removed; they may have registered again
   */
  replace(
    revision: number,
    records: readonly R[],
    same: (a: R, b: R) => boolean,
    withdrawn: readonly string[] = [],
  ): void {
    const addresses = new Set(records.map(({ instance }) => instance.address));
    const notes = new Set(withdrawn);
    const missing = [...this.#records.keys()].filter((address) => !addresses.has(address));
    const removed = missing.filter((address) => notes.has(address));
    const expired = missing.filter((address) => !notes.has(address));
    const set = records.filter((record) => {
      const before = this.#records.get(record.instance.address);
      return before === undefined || !same(before, record);
    });
    const continues = this.#oldestRevision <= this.#revision && revision >= this.#revision;
    if (!continues) this.#revision = revision;
    this.apply(revision, set, expired, removed);
    if (continues) return;
    // The changes in between are unknown, so watches that resume get the whole list.
    this.#changes.length = 0;
    this.#oldestRevision = revision;
    this.#epoch++;
    this.#wake();
  }

  list(): LeaseList {
    const { toLease } = this.#options;
    this.#sorted ??= [...this.#records.values()]
      .sort((a, b) => a.instance.address < b.instance.address ? -1 : 1);
    return {
      revision: this.#revision,
      firstRevision: this.#options.revision,
      leases: this.#sorted.map(toLease),
      withdrawn: this.#listWithdrawn(),
    };
  }

  /** Ends all watches with an error, because later changes may not arrive. */
  fail(error: RpcError): void {
    this.#failures++;
    this.#failure = error;
    this.#wake();
  }

  /** Implements `RegistryStore.watch`. */
  async *watch({ after, signal }: WatchLeasesOptions): AsyncGenerator<LeaseEvent, void, undefined> {
    const failures = this.#failures;
    let wake: (() => void) | undefined;
    const onAbort = () => wake?.();
    signal?.addEventListener("abort", onAbort);
    if (this.#watches++ === 0) this.#options.onWatched?.();
    try {
      let known = after;
      let epoch = this.#epoch;
      while (signal === undefined || !signal.aborted) {
        if (this.#failures !== failures) throw this.#failure!;
        if (this.#epoch !== epoch) known = undefined;
        epoch = this.#epoch;
        const event = this.#next(known);
        if (event !== undefined) {
          known = "list" in event ? event.list.revision : event.change.revision;
          yield event;
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
          this.#waiting.add(resolve);
        });
        if (wake !== undefined) this.#waiting.delete(wake);
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      if (--this.#watches === 0) this.#options.onUnwatched?.();
    }
  }

  #next(known: number | undefined): LeaseEvent | undefined {
    if (known === this.#revision) return undefined;
    if (known === undefined || known < this.#oldestRevision || known > this.#revision) {
      return { list: this.list() };
    }
    const change = this.#firstAfter(known);
    if (change === undefined) return undefined;
    const { toLease } = this.#options;
    return { change: { ...change, set: change.set.map(toLease) } };
  }

  /** The first change after a revision, by binary search. */
  #firstAfter(revision: number): Change<R> | undefined {
    let low = 0;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#changes[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#changes[low];
  }

  /**
   * The state in which a server that is not on the list registers.
   *
   * @param known The last state the server knows of, which may be stale; `undefined` if it has not been
   * registered before
   */
  stateOf(address: string, known: InstanceState | undefined): InstanceState {
    return known === undefined ? "active" : this.#withdrawn.get(address)?.state ?? known;
  }

  #noteWithdrawn(address: string, state?: InstanceState): void {
    this.#withdrawn.delete(address);
    this.#withdrawn.set(address, { at: this.#options.clock.now(), state });
    if (this.#withdrawn.size <= MAX_WITHDRAWN) return;
    for (const oldest of this.#withdrawn.keys()) {
      this.#withdrawn.delete(oldest);
      break;
    }
  }

  #listWithdrawn(): readonly string[] {
    const end = this.#options.clock.now() - WITHDRAWN_FOR;
    return [...this.#withdrawn].filter(([, { at }]) => at > end).map(([address]) => address);
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }

  #add(record: R): void {
    const { instance } = record;
    const size = sizeOf(instance);
    this.#records.set(instance.address, record);
    this.#sizes.set(instance.address, size);
    this.#bytes += size;
    for (const name of new Set(instance.services)) {
      this.#services.set(name, (this.#services.get(name) ?? 0) + 1);
    }
  }

  #remove(address: string): void {
    const record = this.#records.get(address);
    if (record === undefined) return;
    this.#records.delete(address);
    this.#bytes -= this.#sizes.get(address) ?? 0;
    this.#sizes.delete(address);
    for (const name of new Set(record.instance.services)) {
      const count = this.#services.get(name)! - 1;
      if (count === 0) this.#services.delete(name);
      else this.#services.set(name, count);
    }
  }
}

/** The error for a request on behalf of an incarnation that is not the current one. */
export function notCurrent(address: string): RpcError {
  return new RpcError("aborted", `Cannot change ${address}: a newer incarnation has replaced it on the list`);
}

/** The error for a heartbeat after its lease has expired. */
export function notListed(address: string): RpcError {
  return new RpcError("not_found", `Cannot renew ${address}: it is not on the list; register it again`);
}

function sizeOf(instance: Endpoint): number {
  return new TextEncoder().encode(JSON.stringify(instance)).length;
}

function full({ address }: Endpoint, limit: string): RpcError {
  return new RpcError(
    "resource_exhausted",
    `Cannot register ${address}: the registry is full: ${limit}`,
  );
}

function checkLimits(limits: StoreLimits): Required<StoreLimits> {
  return {
    maxInstances: checkLimit("maxInstances", limits.maxInstances ?? 10_000),
    maxServices: checkLimit("maxServices", limits.maxServices ?? 1_000),
    maxBytes: checkLimit("maxBytes", limits.maxBytes ?? 8 * 1024 * 1024),
    maxHistory: checkLimit("maxHistory", limits.maxHistory ?? 10_000),
  };
}

function checkLimit(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`Cannot use ${name} ${shownOption(value)}: expected a whole number above 0`);
}
