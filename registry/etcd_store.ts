// Keeps the registry's leases in etcd, so that several registries serve one truth and one may die. Given to a
// Registry by users, and by main.ts with --store etcd@….

import { checkOptions, type Names } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import { safeLog } from "../call/log.ts";
import { checkDuration, type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { type Fetch, globalFetch } from "../discovery/registry_request.ts";
import { sameEndpoint } from "../discovery/snapshots.ts";
import { EtcdClient } from "./etcd_client.ts";
import { EtcdMirror, type EtcdRecord, parseRecord, TAKEN_OFF } from "./etcd_mirror.ts";
import { LeaseTable, notThat, notThere, STORE_LIMITS, type StoreLimits } from "./lease_table.ts";
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
   * What all keys begin with: registries that share it share their list.
   *
   * @default {"/troodon/registry/"}
   */
  prefix?: string;
  /**
   * How long a member of etcd may take to answer, in ms, 1 or more.
   *
   * @default {2_000}
   */
  timeout?: number;
  /** Told when etcd goes away and when it is back. Nothing is logged by default. */
  log?: (message: string) => void;
  /**
   * What asks etcd.
   *
   * @default {fetch}
   */
  fetch?: Fetch;
  /** The time, for tests. The system's monotonic clock by default. */
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

/** How long etcd keeps the note that a server was taken off: for registries that hear of it from etcd. */
const NOTE_SECONDS = 60;
/** How often a write is tried again because somebody else was faster. */
const MAX_TRIES = 8;

/**
 * Leases in etcd v3, through the HTTP/JSON gateway on its client port.
 *
 * Each server is a key that is bound to a lease of etcd's, so that etcd itself takes off who is silent, whatever
 * becomes of the registry. Leases are whole seconds, rounded up, and 2 s at least. The list is served from memory,
 * kept up to date by a watch; while etcd cannot be reached, the store says `unavailable` rather than what may be wrong
 * by now. Bounds count what is on the list when a server comes; registries that take servers at the same moment may
 * pass them by as many.
 *
 * It works from the first request until it is closed. Ages are counted by the clocks of the machines; nothing else is.
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
   * Does not ask yet.
   *
   * @param url Where etcd listens for clients, such as `http://127.0.0.1:2379`; several for a cluster
   * @param options Its bounds
   * @throws {TypeError} If a URL is no http or https URL, or an option is unknown or of the wrong type
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

  /** Stops following etcd. What is in there stays until its leases run out. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#mirror.ended;
  }

  /** As {@linkcode EtcdStore.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Puts a server on the list, or renews it and takes over what the instance now says.
   *
   * @param instance The server
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is taken off
   * @param incarnation Left out: any; 0: a new one; another number: only that one
   * @param state What a new incarnation was in before, as far as it knows
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if a bound would be passed; `not_found` or `aborted` if the incarnation is
   * not on the list; `unavailable` if etcd is away
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
      if (incarnation && before === undefined) throw notThere(address);
      const kept = incarnation === 0 ? undefined : before;
      const sameLease = kept?.asked === ttl;
      if (sameLease && ttl > 0 && !await this.#client.keepAlive(kept.lease)) return "again";
      if (sameLease && sameEndpoint(kept.instance, instance)) return kept;
      this.#table.checkRoom(instance);
      const lease = sameLease ? kept : await this.#grantLease(ttl);
      return {
        instance,
        ttl: lease.ttl,
        asked: ttl,
        incarnation: kept?.incarnation ?? revision + 1,
        state: kept?.state ?? this.#table.stateOf(address, state),
        at: before?.at ?? Date.now(),
        lease: lease.lease,
      };
    });
    return { lease: toLease(grant.record!), created: grant.created };
  }

  /**
   * Renews a lease as it is.
   *
   * @param address Of the server
   * @param incarnation Left out: any
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if etcd is away
   */
  async renew(address: string, incarnation?: number): Promise<Lease | undefined> {
    await this.#mirror.ready();
    const known = this.#table.get(address);
    if (known !== undefined && (incarnation ?? known.incarnation) === known.incarnation) {
      if (known.lease === "0" || await this.#client.keepAlive(known.lease)) return toLease(known);
    }
    // What is known here may be behind by what another registry has just written.
    const record = (await this.#read(address)).record;
    if (record === undefined) return undefined;
    checkIncarnation(record, incarnation);
    return record.lease === "0" || await this.#client.keepAlive(record.lease) ? toLease(record) : undefined;
  }

  /**
   * Takes a server off the list.
   *
   * @param address Of the server
   * @param incarnation Left out: any
   * @returns Whether it was on the list
   * @throws {RpcError} `aborted` if another incarnation is on the list, `unavailable` if etcd is away
   */
  async revoke(address: string, incarnation?: number): Promise<boolean> {
    await this.#mirror.ready();
    return !(await this.#write(address, incarnation, () => "delete")).created;
  }

  /**
   * Pauses, drains or resumes a server.
   *
   * @param address Of the server
   * @param state What it is to be
   * @returns The lease, or `undefined` if the server is not on the list
   * @throws {RpcError} `unavailable` if etcd is away
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
   * The servers whose leases have not run out.
   *
   * @returns Their leases in the order of their addresses, and the revision, which is etcd's
   * @throws {RpcError} `unavailable` if etcd is away
   */
  async list(): Promise<LeaseList> {
    await this.#mirror.ready();
    return this.#table.list();
  }

  /**
   * Follows the list.
   *
   * @param options Where to begin, and what ends it
   * @returns What happens
   * @throws {RpcError} `unavailable` if etcd is away or goes away
   */
  async *watch(options: WatchLeasesOptions = {}): AsyncGenerator<LeaseEvent, void, undefined> {
    if (options.signal?.aborted) return;
    await this.#mirror.ready();
    // From another registry, which is ahead of this one.
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
   * Reads a server, decides what it is to become, and writes that unless somebody else was faster: then all over
   * again. What is decided may be that it stays as it is, that it goes, or to read again.
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
        note: this.#prefix + address + TAKEN_OFF,
        lease: draft?.lease ?? note?.id,
      });
      const unused = written === undefined ? draft?.lease : before?.lease;
      const used = written === undefined ? before?.lease : draft?.lease;
      // If that fails, it runs out by itself.
      if (unused !== undefined && unused !== "0" && unused !== used) {
        await this.#client.revokeLease(unused).catch(() => {});
      }
      if (written === undefined) continue;
      await this.#mirror.reached(written);
      return { record: draft === undefined ? undefined : { ...draft, modRevision: written }, created };
    }
    throw new RpcError("unavailable", `Cannot change ${address}: too many are changing it at the same time`);
  }
}

/** A record that is not written yet. */
type Draft = Omit<EtcdRecord, "modRevision">;

function checkIncarnation({ instance, incarnation }: EtcdRecord, asked: number | undefined): void {
  if (asked !== undefined && asked !== incarnation) throw notThat(instance.address);
}

function toLease({ instance, ttl, incarnation, state, at }: EtcdRecord): Lease {
  return { instance, ttl, age: Math.max(0, Date.now() - at), incarnation, state };
}

function checkPrefix(prefix: string): string {
  if (typeof prefix === "string" && /^[\x21-\x7d]+$/.test(prefix)) return prefix;
  throw new TypeError("Cannot use prefix: expected visible ASCII characters, such as /troodon/registry/");
}

function checkUrls(urls: string | URL | readonly (string | URL)[]): readonly URL[] {
  const all = typeof urls === "string" || urls instanceof URL ? [urls] : [...urls];
  if (all.length === 0) throw new TypeError("Cannot use no etcd URL: expected at least one");
  return all.map((text) => {
    const url = URL.parse(String(text));
    if (url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.username === "") {
      return url;
    }
    throw new TypeError("Cannot use etcd URL: expected one such as http://127.0.0.1:2379, without a user");
  });
}
