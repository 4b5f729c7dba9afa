// Keeps a lease table in step with an etcd prefix: reads everything once, follows a watch, and reads again
// whenever the watch was lost. Owned by EtcdStore.

import { RpcError } from "../call/error.ts";
import { toEndpoint } from "../discovery/check_endpoint.ts";
import { Backoff } from "../discovery/backoff.ts";
import { type Clock, sleep } from "../discovery/clock.ts";
import { Compacted, type EtcdClient, type EtcdEntry } from "./etcd_client.ts";
import type { LeaseRecord, LeaseTable } from "./lease_table.ts";
import type { InstanceState } from "./store.ts";

/** Interval of health checks, in ms: a cut connection does not report itself. */
const PING_INTERVAL = 1_000;
const MAX_BACKOFF = 1_000;
/** How long to wait for the watch to deliver a write of this process, in ms. */
const ECHO_TIMEOUT = 1_000;

/**
 * Suffix of the key that records a deliberate removal, as opposed to an expired lease. No address contains a
 * space.
 */
export const REMOVED_SUFFIX = " taken off";

/** The stored record of a server. */
export interface EtcdRecord extends LeaseRecord {
  /** The requested duration of the lease, in ms; etcd may have granted more. */
  readonly asked: number;
  /** The id of the etcd lease, "0" without one. */
  readonly lease: string;
  readonly modRevision: number;
  /** When it was registered, in ms since 1970: processes share no other clock. */
  readonly at: number;
}

/** Dependencies of a mirror. */
export interface EtcdMirrorOptions {
  client: EtcdClient;
  table: LeaseTable<EtcdRecord>;
  prefix: string;
  clock: Clock;
  random: () => number;
  log: (message: string) => void;
  /** Stops the mirror when aborted. */
  signal: AbortSignal;
}

/** A lease table that follows etcd. */
export class EtcdMirror {
  readonly #options: EtcdMirrorOptions;
  readonly #waiting = new Set<() => void>();
  #running: Promise<void> | undefined;
  /**
   * "up" while the table follows etcd, apart from changes still in transit; an error while etcd is
   * unreachable.
   */
  #state: "starting" | "up" | RpcError = "starting";
  #resyncing: Promise<void> | undefined;

  constructor(options: EtcdMirrorOptions) {
    this.#options = options;
  }

  /** Resolves when the mirror has stopped, after its signal aborted. */
  get ended(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** Starts the mirror if it is not running. Rejects with `unavailable` if etcd is unreachable. */
  async ready(): Promise<void> {
    if (this.#options.signal.aborted) throw new RpcError("unavailable", "The registry's store is closed");
    this.#running ??= this.#run();
    while (this.#state === "starting") await this.#untilChanged();
    if (this.#state !== "up") throw this.#state;
  }

  /** Waits for a change written by this process to arrive, so that the writer then finds it on the list. */
  async reached(revision: number): Promise<void> {
    const { clock, table } = this.#options;
    let timedOut = false;
    const cancelTimer = clock.setTimer(() => {
      timedOut = true;
      this.#wake();
    }, ECHO_TIMEOUT);
    while (table.revision < revision && !timedOut && this.#state === "up") await this.#untilChanged();
    cancelTimer();
  }

  /**
   * Reads everything again, for a client that knows a revision newer than this table's. Afterwards the
   * table's revision is at least that one, unless etcd has never had it.
   */
  resync(): Promise<void> {
    return this.#resyncing ??= (async () => {
      const { client, table, prefix } = this.#options;
      try {
        const { revision, entries } = await client.range(prefix);
        if (revision > table.revision) this.#replace(revision, entries);
      } finally {
        this.#resyncing = undefined;
      }
    })();
  }

  async #run(): Promise<void> {
    const { client, clock, log, prefix, random, signal, table } = this.#options;
    const backoff = new Backoff(random);
    while (!signal.aborted) {
      try {
        const { revision, entries } = await client.range(prefix);
        this.#replace(revision, entries);
        if (this.#state instanceof RpcError) log("registry: etcd is back");
        this.#setState("up");
        await this.#watch(revision + 1, () => backoff.reset());
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof Compacted) continue;
        const unavailable = error instanceof RpcError
          ? error
          : new RpcError("unavailable", `Cannot use etcd: ${error}`);
        if (!(this.#state instanceof RpcError)) {
          log(`registry: ${unavailable.message}; retrying until it is reachable`);
        }
        this.#setState(unavailable);
        table.fail(unavailable);
        client.useNext();
        await sleep(clock, backoff.next(MAX_BACKOFF), signal);
      }
    }
    const closed = new RpcError("unavailable", "The registry's store is closed");
    this.#setState(closed);
    table.fail(closed);
  }

  /** Follows the watch until the signal aborts. Throws if the watch or a health check fails. */
  async #watch(from: number, onAlive: () => void): Promise<void> {
    const { client, prefix, signal, table } = this.#options;
    const lost = new AbortController();
    const onAbort = () => lost.abort();
    signal.addEventListener("abort", onAbort);
    let failure: unknown;
    const pinging = this.#ping(lost.signal, onAlive).catch((error) => {
      failure = error;
      lost.abort();
    });
    try {
      for await (const { revision, set, removed } of client.watch(prefix, from, lost.signal)) {
        // Already covered by a newer snapshot.
        if (revision <= table.revision) continue;
        const records = set.map((entry) => parseRecord(entry, prefix)).filter((record) =>
          record !== undefined
        );
        const withdrawn = removedIn(set, prefix);
        const lapsed = removed.map((key) => key.slice(prefix.length)).filter((address) =>
          !withdrawn.includes(address)
        );
        table.apply(revision, records, lapsed, withdrawn);
        this.#wake();
      }
    } finally {
      lost.abort();
      signal.removeEventListener("abort", onAbort);
      await pinging;
    }
    if (failure !== undefined) throw failure;
  }

  async #ping(signal: AbortSignal, onAlive: () => void): Promise<void> {
    const { client, clock } = this.#options;
    while (true) {
      await sleep(clock, PING_INTERVAL, signal);
      if (signal.aborted) return;
      await client.revision();
      onAlive();
    }
  }

  #replace(revision: number, entries: readonly EtcdEntry[]): void {
    const { table, prefix } = this.#options;
    const records = entries.map((entry) => parseRecord(entry, prefix)).filter((record) =>
      record !== undefined
    );
    table.replace(revision, records, (a, b) => a.modRevision === b.modRevision, removedIn(entries, prefix));
    this.#wake();
  }

  #setState(state: "up" | RpcError): void {
    this.#state = state;
    this.#wake();
  }

  #untilChanged(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

/** The addresses of servers that were removed deliberately. */
function removedIn(entries: readonly EtcdEntry[], prefix: string): string[] {
  return entries.filter(({ key }) => key.endsWith(REMOVED_SUFFIX)).map(({ key }) =>
    key.slice(prefix.length, -REMOVED_SUFFIX.length)
  );
}

/** Parses a record, or returns undefined if something else wrote the key. */
export function parseRecord(
  { key, value, lease, modRevision }: EtcdEntry,
  prefix: string,
): EtcdRecord | undefined {
  try {
    const record = JSON.parse(value);
    const { ttl, asked, incarnation, state, at } = record;
    const instance = toEndpoint(record.instance);
    const numbers = [ttl, asked, incarnation, at, modRevision].every((number) =>
      Number.isFinite(number) && number >= 0
    );
    if (!numbers || !isState(state) || key !== prefix + instance.address) return undefined;
    return { instance, ttl, asked, incarnation, state, at, lease, modRevision };
  } catch {
    return undefined;
  }
}

function isState(state: unknown): state is InstanceState {
  return state === "active" || state === "paused" || state === "draining";
}
