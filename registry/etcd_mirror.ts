// What is in etcd under a prefix, kept up to date in a table: read once, then followed by a watch, and read again
// whenever the watch was lost. Owned by EtcdStore.

import { RpcError } from "../call/error.ts";
import { toEndpoint } from "../discovery/check_endpoint.ts";
import { Backoff } from "../discovery/backoff.ts";
import { type Clock, sleep } from "../discovery/clock.ts";
import { Compacted, type EtcdClient, type EtcdEntry } from "./etcd_client.ts";
import type { LeaseRecord, LeaseTable } from "./lease_table.ts";
import type { InstanceState } from "./store.ts";

/** How often etcd is asked whether it is still there, in ms: a connection that is cut does not say so by itself. */
const PING_INTERVAL = 1_000;
const MAX_BACKOFF = 1_000;
/** How long a write may take to come back by the watch, in ms. */
const ECHO_TIMEOUT = 1_000;

/** Ends the key of a note that a server was taken off, which its lease does not explain. No address has a space. */
export const TAKEN_OFF = " taken off";

/** What etcd holds of a server. */
export interface EtcdRecord extends LeaseRecord {
  /** The lease as it was asked for, of which etcd may have granted more. */
  readonly asked: number;
  /** The id of etcd's lease, "0" without one. */
  readonly lease: string;
  readonly modRevision: number;
  /** When it was registered, in ms since 1970: processes share no other clock. */
  readonly at: number;
}

/** What a mirror needs. */
export interface EtcdMirrorOptions {
  client: EtcdClient;
  table: LeaseTable<EtcdRecord>;
  prefix: string;
  clock: Clock;
  random: () => number;
  log: (message: string) => void;
  /** Ends it. */
  signal: AbortSignal;
}

/** A table that follows etcd. */
export class EtcdMirror {
  readonly #options: EtcdMirrorOptions;
  readonly #waiting = new Set<() => void>();
  #running: Promise<void> | undefined;
  /** Whether the table is as etcd is, but for what is on its way; an error if etcd is away. */
  #state: "starting" | "up" | RpcError = "starting";
  #resyncing: Promise<void> | undefined;

  constructor(options: EtcdMirrorOptions) {
    this.#options = options;
  }

  /** Resolves when it has ended, after its signal. */
  get ended(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** Starts it if need be. Rejects with `unavailable` if etcd is away. */
  async ready(): Promise<void> {
    if (this.#options.signal.aborted) throw new RpcError("unavailable", "The registry's store is closed");
    this.#running ??= this.#run();
    while (this.#state === "starting") await this.#untilChanged();
    if (this.#state !== "up") throw this.#state;
  }

  /** Waits for a change that was written here to arrive, so that who wrote it finds it on the list. */
  async reached(revision: number): Promise<void> {
    const { clock, table } = this.#options;
    let late = false;
    const cancelTimer = clock.setTimer(() => {
      late = true;
      this.#wake();
    }, ECHO_TIMEOUT);
    while (table.revision < revision && !late && this.#state === "up") await this.#untilChanged();
    cancelTimer();
  }

  /**
   * Reads everything again: for who knows of a revision that has not arrived here. Afterwards the table's revision is
   * at least that, unless etcd has never had it.
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
        const away = error instanceof RpcError
          ? error
          : new RpcError("unavailable", `Cannot use etcd: ${error}`);
        if (!(this.#state instanceof RpcError)) {
          log(`registry: ${away.message}; trying again until it is back`);
        }
        this.#setState(away);
        table.fail(away);
        client.useNext();
        await sleep(clock, backoff.next(MAX_BACKOFF), signal);
      }
    }
    const closed = new RpcError("unavailable", "The registry's store is closed");
    this.#setState(closed);
    table.fail(closed);
  }

  /** Follows until something goes wrong, which it throws, or the signal aborts. */
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
        // Read again in the meantime, and more than this.
        if (revision <= table.revision) continue;
        const records = set.map((entry) => parseRecord(entry, prefix)).filter((record) =>
          record !== undefined
        );
        const takenOff = notesIn(set, prefix);
        const lapsed = removed.map((key) => key.slice(prefix.length)).filter((address) =>
          !takenOff.includes(address)
        );
        table.apply(revision, records, lapsed, takenOff);
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
    table.replace(revision, records, (a, b) => a.modRevision === b.modRevision, notesIn(entries, prefix));
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

/** The addresses of servers that were taken off. */
function notesIn(entries: readonly EtcdEntry[], prefix: string): string[] {
  return entries.filter(({ key }) => key.endsWith(TAKEN_OFF)).map(({ key }) =>
    key.slice(prefix.length, -TAKEN_OFF.length)
  );
}

/** What a key says, or undefined if something else wrote it. */
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
