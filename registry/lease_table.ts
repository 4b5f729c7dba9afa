// The leases that a store knows of at a revision, the changes that led there, and who waits for the next. Owned by
// each store, which decides what changes; bounds and watches are the same for all of them and live here.

import { type Names, shownOption } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import type { Clock } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { InstanceState, Lease, LeaseEvent, LeaseList, WatchLeasesOptions } from "./store.ts";

/** How much a store keeps at most. */
export interface StoreLimits {
  /**
   * How many servers there is room for, 1 or more.
   *
   * @default {10_000}
   */
  maxInstances?: number;
  /**
   * How many services they may have together, each name counted once, 1 or more.
   *
   * @default {1_000}
   */
  maxServices?: number;
  /**
   * How many bytes their descriptions may have together, as JSON.
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

/** The names of the limits, for those whose options they are among. */
export const STORE_LIMITS: Names<StoreLimits> = {
  maxInstances: true,
  maxServices: true,
  maxBytes: true,
  maxHistory: true,
};

/** How long lists name a server that was taken off, in ms: for clients that poll. */
const WITHDRAWN_FOR = 60_000;
/** How many of these servers are remembered. */
const MAX_WITHDRAWN = 1_000;

/** What every store notes of a server. A change makes a new one. */
export interface LeaseRecord {
  readonly instance: Endpoint;
  readonly ttl: number;
  readonly incarnation: number;
  readonly state: InstanceState;
}

/** What a table needs of its store. */
export interface LeaseTableOptions<R extends LeaseRecord> {
  limits: StoreLimits;
  clock: Clock;
  /**
   * The revision that an empty table begins with. Left out if it is to be filled by `replace` first.
   */
  revision?: number;
  /** What of a record others see. */
  toLease: (record: R) => Lease;
  /** Run when the first watch begins. */
  onWatched?: () => void;
  /** Run when the last watch has ended. */
  onUnwatched?: () => void;
}

interface Change<R> {
  revision: number;
  set: readonly R[];
  removed: readonly string[];
  withdrawn: readonly string[];
}

/** The leases, one for each address. */
export class LeaseTable<R extends LeaseRecord> {
  readonly #options: LeaseTableOptions<R>;
  readonly #limits: Required<StoreLimits>;
  readonly #records = new Map<string, R>();
  /** How many bytes each record counts. */
  readonly #sizes = new Map<string, number>();
  /** How many servers offer each service. */
  readonly #services = new Map<string, number>();
  /** The servers that were taken off, or whose leases ran out in the state named, and when: the oldest first. */
  readonly #withdrawn = new Map<string, { at: number; state?: InstanceState }>();
  readonly #changes: Change<R>[] = [];
  readonly #waiting = new Set<() => void>();
  #sorted: readonly R[] | undefined;
  #bytes = 0;
  /** What `#changes` lead on from: who knows an older revision starts over. */
  #from: number;
  #revision: number;
  #watches = 0;
  /** Counts how often revisions have gone back: those of another epoch say nothing. */
  #epoch = 0;
  /** Counts the failures, so that a watch finds out that it has lived through one. */
  #failures = 0;
  #failure: RpcError | undefined;

  constructor(options: LeaseTableOptions<R>) {
    this.#options = options;
    this.#limits = checkLimits(options.limits);
    this.#from = options.revision ?? Infinity;
    this.#revision = options.revision ?? 0;
  }

  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#records.size;
  }

  /** Whether anybody watches. */
  get watched(): boolean {
    return this.#watches > 0;
  }

  get(address: string): R | undefined {
    return this.#records.get(address);
  }

  values(): Iterable<R> {
    return this.#records.values();
  }

  /** Throws `resource_exhausted` if there is no room for what an instance says of itself. */
  checkRoom(instance: Endpoint): void {
    const { maxInstances, maxServices, maxBytes } = this.#limits;
    const before = this.#records.get(instance.address);
    if (before === undefined && this.#records.size >= maxInstances) {
      throw full(instance, `${maxInstances} servers, its maxInstances`);
    }
    if (this.#bytes + sizeOf(instance) - (this.#sizes.get(instance.address) ?? 0) > maxBytes) {
      throw full(instance, `${maxBytes} bytes of descriptions, its maxBytes`);
    }
    let services = this.#services.size;
    const names = new Set(instance.services);
    for (const name of names) if (!this.#services.has(name)) services++;
    for (const name of before?.instance.services ?? []) {
      if (this.#services.get(name) === 1 && !names.has(name)) services--;
    }
    if (services > maxServices) throw full(instance, `${maxServices} services, its maxServices`);
  }

  /**
   * Takes a change, and tells those who watch.
   *
   * @param lapsed The addresses of servers whose leases have run out
   * @param takenOff The addresses of servers that were taken off
   */
  apply(
    revision: number,
    set: readonly R[],
    lapsed: readonly string[] = [],
    takenOff: readonly string[] = [],
  ): void {
    const isThere = (address: string) => this.#records.has(address);
    const withdrawn = takenOff.filter(isThere);
    const gone = [...lapsed.filter(isThere), ...withdrawn];
    for (const address of withdrawn) this.#noteWithdrawn(address);
    for (const address of lapsed) {
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
    if (this.#changes.length > this.#limits.maxHistory) this.#from = this.#changes.shift()!.revision;
    this.#wake();
  }

  /**
   * Takes a whole list, as the change that leads to it. An older revision makes everybody start over.
   *
   * @param takenOff As for `apply`; they may have come back
   */
  replace(
    revision: number,
    records: readonly R[],
    same: (a: R, b: R) => boolean,
    takenOff: readonly string[] = [],
  ): void {
    const addresses = new Set(records.map(({ instance }) => instance.address));
    const notes = new Set(takenOff);
    const removed = [...this.#records.keys()].filter((address) => !addresses.has(address));
    const withdrawn = removed.filter((address) => notes.has(address));
    const lapsed = removed.filter((address) => !notes.has(address));
    const set = records.filter((record) => {
      const before = this.#records.get(record.instance.address);
      return before === undefined || !same(before, record);
    });
    const goesOn = this.#from <= this.#revision && revision >= this.#revision;
    if (!goesOn) this.#revision = revision;
    this.apply(revision, set, lapsed, withdrawn);
    if (goesOn) return;
    // How it has come to this is not known: who knew something before starts over.
    this.#changes.length = 0;
    this.#from = revision;
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

  /** Ends all watches with an error: what they wait for is not known to come. */
  fail(error: RpcError): void {
    this.#failures++;
    this.#failure = error;
    this.#wake();
  }

  /** A watch as `RegistryStore.watch` promises it. */
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
    if (known === undefined || known < this.#from || known > this.#revision) return { list: this.list() };
    const change = this.#firstAfter(known);
    if (change === undefined) return undefined;
    const { toLease } = this.#options;
    return { change: { ...change, set: change.set.map(toLease) } };
  }

  /** The first change after a revision, by halving. */
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
   * @param known The state that it was in as far as it knows: it may not have heard of the last one. `undefined` if it
   * has not been registered before
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

/** The refusal of what is asked for an incarnation that is not the one on the list. */
export function notThat(address: string): RpcError {
  return new RpcError("aborted", `Cannot act for ${address}: a newer incarnation has its place on the list`);
}

/** The refusal of a heartbeat that comes when its lease is over. */
export function notThere(address: string): RpcError {
  return new RpcError("not_found", `Cannot renew ${address}: it is not on the list, register it anew`);
}

function sizeOf(instance: Endpoint): number {
  return new TextEncoder().encode(JSON.stringify(instance)).length;
}

function full({ address }: Endpoint, bound: string): RpcError {
  return new RpcError(
    "resource_exhausted",
    `Cannot register ${address}: the registry is full, with ${bound}`,
  );
}

function checkLimits(limits: StoreLimits): Required<StoreLimits> {
  return {
    maxInstances: checkBound("maxInstances", limits.maxInstances ?? 10_000),
    maxServices: checkBound("maxServices", limits.maxServices ?? 1_000),
    maxBytes: checkBound("maxBytes", limits.maxBytes ?? 8 * 1024 * 1024),
    maxHistory: checkBound("maxHistory", limits.maxHistory ?? 10_000),
  };
}

function checkBound(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`Cannot use ${name} ${shownOption(value)}: expected a whole number above 0`);
}
