// Keeps the registry's leases in etcd, so that several registry processes share one list and any of them may
// fail. Passed to a Registry by users, and by main.ts with --store etcd@….

import { checkOptions, type Names } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import { safeLog } from "../call/log.ts";
import { checkDuration, type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { type Fetch, globalFetch } from "../discovery/registry_request.ts";
import { sameEndpoint } from "../discovery/snapshots.ts";
import { EtcdClient } from "./etcd_client.ts";
import { EtcdMirror, type EtcdRecord, parseRecord, REMOVED_SUFFIX } from "./etcd_mirror.ts";
import { LeaseTable, notCurrent, notListed, STORE_LIMITS, type StoreLimits } from "./lease_table.ts";
import type {
  Grant,
  InstanceState,
  Lease,
  LeaseEvent,
  LeaseList,
  RegistryStore,
  WatchLeasesOptions,
} from "./store.ts";

/** Options of {@linkcode EtcdStore}. */
export interface EtcdStoreOptions extends StoreLimits {
  /**
   * Prefix of all keys. Registries with the same prefix share one list.
   *
   * @default {"/troodon/registry/"}
   */
  prefix?: string;
  /**
   * Timeout of a request to a member of etcd, in ms, 1 or more.
   *
   * @default {2_000}
   */
  timeout?: number;
  /** Called when etcd becomes unreachable and when it is back. Nothing is logged by default. */
  log?: (message: string) => void;
  /**
   * Sends the requests to etcd.
   *
   * @default {fetch}
   */
  fetch?: Fetch;
  /** The clock, replaceable in tests. The system's monotonic clock by default. */
  clock?: Clock;
}

const NAMES: Names<EtcdStoreOptions> = {
  ...STORE_LIMITS,
  prefix: true,
  timeout: true,
  log: true,
  fetch: true,
  clock: true,
};

/**
 * How long etcd keeps the marker of a deliberate removal, for other registries that learn of it from etcd.
 */
const NOTE_SECONDS = 60;
/** Maximum attempts of a write that conflicts with concurrent writes. */
const MAX_TRIES = 8;

/**
 * Stores leases in etcd v3, through the HTTP/JSON gateway on its client port.
 *
 * Each server is a key attached to an etcd lease, so etcd itself removes servers without heartbeats, even if
 * the registry has failed. Leases are whole seconds, rounded up, at least 2 s. The list is served from memory
 * and kept up to date by a watch; while etcd is unreachable, the store rejects with `unavailable` rather than
 * return stale data. Limits are checked against the list at the time a server registers; registries that
 * accept servers concurrently may exceed them by the number of concurrent registrations.
 *
 * The store connects at the first request and runs until it is closed. Ages are computed from the wall clocks
 * of the machines; nothing else is.
 *
 * @example Usage
 * ```ts
 * import { EtcdStore, Registry } from "@troodon/rpc/registry";
 *
 * await using store = new EtcdStore("http://127.0.0.1:2379");
 * await using registry = new Registry({ store });
 * await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
 * ```
 */
export class EtcdStore implements RegistryStore, AsyncDisposable {
  readonly #prefix: string;
  readonly #client: EtcdClient;
  readonly #table: LeaseTable<EtcdRecord>;
  readonly #mirror: EtcdMirror;
  readonly #closing = new AbortController();

  /**
   * Creates the store without sending a request.
   *
   * @param url The client URL of etcd, such as `http://127.0.0.1:2379`; several for a cluster
   * @param options Limits, prefix and timeout
   * @throws {TypeError} If a URL is not an http or https URL, or an option is unknown or of the wrong type
   * @throws {RangeError} If an option is out of its range
   */
  constructor(url: string | URL | readonly (string | URL)[], options: EtcdStoreOptions = {}) {
    checkOptions("create store", options, NAMES);
    this.#prefix = checkPrefix(options.prefix ?? "/troodon/registry/");
    const clock = options.clock ?? SYSTEM_CLOCK;
    const { signal } = this.#closing;
    this.#client = new EtcdClient({
      urls: checkUrls(url),
      fetch: options.fetch ?? globalFetch,
      clock,
      timeout: checkDuration("timeout", options.timeout ?? 2_000),
      signal,
    });
    this.#table = new LeaseTable<EtcdRecord>({ limits: options, clock, toLease });
    this.#mirror = new EtcdMirror({
      client: this.#client,
      table: this.#table,
      prefix: this.#prefix,
      clock,
      random: Math.random,
      log: safeLog(options.log) ?? (() => {}),
      signal,
    });
  }

  /** Stops following etcd. Entries in etcd stay until their leases expire. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#mirror.ended;
  }

  /** The same as {@linkcode EtcdStore.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Registers a server, or renews its lease and updates its description.
   *
   * @param instance The server
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is removed
   * @param incarnation Omitted: any; 0: a new one; another number: only that one
   * @param state The last state that a new incarnation knows of
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if a limit would be exceeded; `not_found` or `aborted` if the
   * incarnation is not on the list; `unavailable` if etcd is unreachable
   */
  async grant(
    instance: Endpoint,
    ttl: number,
    incarnation?: number,
    state?: InstanceState,
  ): Promise<Grant> {
    await this.#mirror.ready();
    const { address } = instance;
    const grant = await this.#write(address, incarnation || undefined, async (before, revision) => {
      if (incarnation && before === undefined) throw notListed(address);
      const current = incarnation === 0 ? undefined : before;
      const sameLease = current?.asked === ttl;
      if (sameLease && ttl > 0 && !await this.#client.keepAlive(current.lease)) return "again";
      if (sameLease && sameEndpoint(current.instance, instance)) return current;
      this.#table.checkRoom(instance);
      const lease = sameLease ? current : await this.#grantLease(ttl);
      return {
        instance,
        ttl: lease.ttl,
        asked: ttl,
        incarnation: current?.incarnation ?? revision + 1,
        state: current?.state ?? this.#table.stateOf(address, state),
        at: before?.at ?? Date.now(),
        lease: lease.lease,
      };
    });
    return { lease: toLease(grant.record!), created: grant.created };
  }

  /**
   * Renews a lease without changes.
   *
   * @param address The address of the server
   * @param incarnation Omitted: any
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if etcd is unreachable
   */
  async renew(address: string, incarnation?: number): Promise<Lease | undefined> {
    await this.#mirror.ready();
    const known = this.#table.get(address);
    if (known !== undefined && (incarnation ?? known.incarnation) === known.incarnation) {
      if (known.lease === "0" || await this.#client.keepAlive(known.lease)) return toLease(known);
    }
    // The table may not yet include what another registry has just written.
    const record = (await this.#read(address)).record;
    if (record === undefined) return undefined;
    checkIncarnation(record, incarnation);
    return record.lease === "0" || await this.#client.keepAlive(record.lease) ? toLease(record) : undefined;
  }

  /**
   * Removes a server from the list.
   *
   * @param address The address of the server
   * @param incarnation Omitted: any
   * @returns Whether it was on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if etcd is unreachable
   */
  async revoke(address: string, incarnation?: number): Promise<boolean> {
    await this.#mirror.ready();
    return !(await this.#write(address, incarnation, () => "delete")).created;
  }

  /**
   * Pauses, drains or resumes a server.
   *
   * @param address The address of the server
   * @param state The new state
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `unavailable` if etcd is unreachable
   */
  async setState(address: string, state: InstanceState): Promise<Lease | undefined> {
    await this.#mirror.ready();
    const { record } = await this.#write(address, undefined, (before) => {
      if (before === undefined) return "delete";
      return before.state === state ? before : { ...before, state };
    });
    return record === undefined ? undefined : toLease(record);
  }

  /**
   * Lists the servers whose leases have not expired.
   *
   * @returns Their leases, sorted by address, and the revision, which is etcd's
   * @throws {RpcError} `unavailable` if etcd is unreachable
   */
  async list(): Promise<LeaseList> {
    await this.#mirror.ready();
    return this.#table.list();
  }

  /**
   * Follows the list.
   *
   * @param options The revision to resume after, and the signal that ends the watch
   * @returns The events
   * @throws {RpcError} `unavailable` if etcd is or becomes unreachable
   */
  async *watch(options: WatchLeasesOptions = {}): AsyncGenerator<LeaseEvent, void, undefined> {
    if (options.signal?.aborted) return;
    await this.#mirror.ready();
    // The client got this revision from another registry, which is ahead of this one.
    if ((options.after ?? 0) > this.#table.revision) await this.#mirror.resync();
    yield* this.#table.watch(options);
  }

  async #read(address: string): Promise<{ revision: number; modRevision: number; record?: EtcdRecord }> {
    const { revision, entry } = await this.#client.get(this.#prefix + address);
    const record = entry === undefined ? undefined : parseRecord(entry, this.#prefix);
    return { revision, modRevision: entry?.modRevision ?? 0, record };
  }

  async #grantLease(ttl: number): Promise<{ ttl: number; lease: string }> {
    if (ttl === 0) return { ttl, lease: "0" };
    const { id, seconds } = await this.#client.grantLease(Math.ceil(ttl / 1_000));
    return { ttl: seconds * 1_000, lease: id };
  }

  /**
   * Reads a record, calls `decide` for the new one, and writes it. Starts over if the record has changed
   * meanwhile or `decide` returns "again". Writes nothing if `decide` returns the same record.
   */
  async #write(
    address: string,
    incarnation: number | undefined,
    decide: (
      before: EtcdRecord | undefined,
      revision: number,
    ) => Promise<Draft | EtcdRecord | "again"> | Draft | "delete",
  ): Promise<{ record: EtcdRecord | undefined; created: boolean }> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { revision, modRevision, record: before } = await this.#read(address);
      if (before !== undefined) checkIncarnation(before, incarnation);
      const after = await decide(before, revision);
      const created = before === undefined;
      if (after === "again") continue;
      if (after === "delete" && created) return { record: undefined, created };
      if (after === before) return { record: before, created };
      const draft = after === "delete" ? undefined : after;
      const note = draft === undefined ? await this.#client.grantLease(NOTE_SECONDS) : undefined;
      const written = await this.#client.write({
        key: this.#prefix + address,
        ifModRevision: modRevision,
        value: draft === undefined ? undefined : JSON.stringify({ ...draft, lease: undefined }),
        note: this.#prefix + address + REMOVED_SUFFIX,
        lease: draft?.lease ?? note?.id,
      });
      const unused = written === undefined ? draft?.lease : before?.lease;
      const used = written === undefined ? before?.lease : draft?.lease;
      // If revoking fails, the lease expires by itself.
      if (unused !== undefined && unused !== "0" && unused !== used) {
        await this.#client.revokeLease(unused).catch(() => {});
      }
      if (written === undefined) continue;
      await this.#mirror.reached(written);
      return { record: draft === undefined ? undefined : { ...draft, modRevision: written }, created };
    }
    throw new RpcError(
      "unavailable",
      `Cannot change ${address}: gave up after ${MAX_TRIES} conflicting writes`,
    );
  }
}

/** A record that has not been written yet. */
type Draft = Omit<EtcdRecord, "modRevision">;

function checkIncarnation({ instance, incarnation }: EtcdRecord, asked: number | undefined): void {
  if (asked !== undefined && asked !== incarnation) throw notCurrent(instance.address);
}

function toLease({ instance, ttl, incarnation, state, at }: EtcdRecord): Lease {
  return { instance, ttl, age: Math.max(0, Date.now() - at), incarnation, state };
}

function checkPrefix(prefix: string): string {
  if (typeof prefix === "string" && /^[\x21-\x7d]+$/.test(prefix)) return prefix;
  throw new TypeError(
    "Cannot use prefix: expected a string of visible ASCII characters, such as /troodon/registry/",
  );
}

function checkUrls(urls: string | URL | readonly (string | URL)[]): readonly URL[] {
  const all = typeof urls === "string" || urls instanceof URL ? [urls] : [...urls];
  if (all.length === 0) throw new TypeError("Cannot use an empty list of etcd URLs: expected at least one");
  return all.map((text) => {
    const url = URL.parse(String(text));
    if (url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.username === "") {
      return url;
    }
    throw new TypeError(
      "Cannot use etcd URL: expected a URL such as http://127.0.0.1:2379, without a user name",
    );
  });
}
