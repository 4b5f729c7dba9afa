// A group of values: its getter, its two caches, and the lookup of a key. Created by groups.ts.

import { detach, RpcError } from "@troodon/rpc";
import { type CachedValue, MAX_VALUE_BYTES, type Value } from "./contract.ts";
import { type Entry, Lru } from "./lru.ts";
import type { PeerPicker } from "./peers.ts";
import { SingleFlight } from "./single_flight.ts";

/**
 * Loads a value from its source; undefined if it does not exist. It may throw an `RpcError` to report the reason
 * to callers. `signal` aborts when its time is over.
 */
export type Getter = (key: string, signal: AbortSignal) => Value | undefined | Promise<Value | undefined>;

/** Options of a {@linkcode Group}. */
export interface GroupOptions {
  /** The limit of both caches together, in bytes. @default {64 MiB} */
  maxBytes?: number;
  /** Time to live of values, in ms. @default {unlimited} */
  ttl?: number;
  /** Maximum time to live of copies of other peers' keys, in ms. @default {5_000} */
  hotTtl?: number;
  /** Maximum time of a getter, in ms. @default {5_000} */
  loadTimeout?: number;
  /** The other peers. Without them this process owns every key. */
  peers?: PeerPicker;
  /** Receives messages about failed loads. */
  log?: (message: string) => void;
  /** The clock in ms, replaceable in tests. @default {performance.now} */
  now?: () => number;
}

/** The source of a value: the main cache, the cache of other peers' keys, another peer, or the getter. */
export type Source = "main" | "hot" | "peer" | "getter";

/** A value and its source. */
export interface Lookup {
  readonly value: Value;
  readonly from: Source;
}

/** Statistics of a group. */
export interface GroupStats {
  /** Lookups over HTTP or by the program. */
  gets: number;
  /** Hits in the main cache. */
  mainHits: number;
  /** Hits in the cache of other peers' keys. */
  hotHits: number;
  /** Misses; concurrent lookups of the same key each count. */
  misses: number;
  /** Calls of the getter. */
  loads: number;
  /** Failed calls of the getter; reporting that there is no value is not a failure. */
  loadErrors: number;
  /** Values fetched from other peers. */
  peerFetches: number;
  /** How often another peer was unreachable, and the value was loaded locally. */
  peerFailures: number;
  /** Requests by other peers. */
  served: number;
  /** Entries in the caches. */
  entries: number;
  bytes: number;
  maxBytes: number;
  /** Values evicted for lack of space. */
  evicted: number;
}

/** One part in this many of the bytes is for other peers' keys. */
const HOT_SHARE = 8;

/** A group of values. */
export class Group {
  /** Its name, of letters, digits, `_`, `.` and `-`. */
  readonly name: string;
  readonly #getter: Getter;
  readonly #main: Lru;
  readonly #hot: Lru;
  readonly #ttl: number;
  readonly #hotTtl: number;
  readonly #loadTimeout: number;
  readonly #peers: PeerPicker | undefined;
  readonly #log: (message: string) => void;
  readonly #now: () => number;
  /** Pending fetches from another peer, or from the getter if the peer is unreachable. */
  readonly #fetches = new SingleFlight<Lookup>();
  /** Pending calls of the getter. */
  readonly #loads = new SingleFlight<Value>();
  readonly #count = {
    gets: 0,
    mainHits: 0,
    hotHits: 0,
    loads: 0,
    loadErrors: 0,
    peerFetches: 0,
    peerFailures: 0,
    served: 0,
  };

  /**
   * @throws {TypeError} If the name is invalid
   * @throws {RangeError} If a number is out of its range
   */
  constructor(name: string, getter: Getter, options: GroupOptions = {}) {
    if (!/^[\w.-]{1,64}$/.test(name)) {
      throw new TypeError(
        `Cannot name a group ${JSON.stringify(name)}: expected 1 to 64 letters, digits, _, . or -`,
      );
    }
    const { maxBytes = 64 * 1024 * 1024, ttl = Infinity, hotTtl = 5_000, loadTimeout = 5_000 } = options;
    for (const [option, value] of Object.entries({ ttl, hotTtl, loadTimeout })) {
      if (!(value > 0)) throw new RangeError(`Cannot use ${option} ${value}: expected more than 0 ms`);
    }
    this.name = name;
    this.#getter = getter;
    this.#ttl = ttl;
    this.#hotTtl = hotTtl;
    this.#loadTimeout = loadTimeout;
    this.#peers = options.peers;
    this.#log = options.log ?? (() => {});
    this.#now = options.now ?? (() => performance.now());
    const hotBytes = options.peers === undefined ? 0 : Math.floor(maxBytes / HOT_SHARE);
    this.#main = new Lru(maxBytes - hotBytes, this.#now);
    this.#hot = new Lru(hotBytes, this.#now);
  }

  /**
   * Looks up a value: in the caches, without a promise; otherwise from the owner or the getter.
   *
   * @throws {RpcError} As a rejection: `not_found` if there is no such value; otherwise why it could not be
   * loaded
   */
  get(key: string): Lookup | Promise<Lookup> {
    this.#count.gets++;
    const main = this.#main.get(key);
    if (main !== undefined) {
      this.#count.mainHits++;
      return { value: main.value, from: "main" };
    }
    const hot = this.#hot.get(key);
    if (hot !== undefined) {
      this.#count.hotHits++;
      return { value: hot.value, from: "hot" };
    }
    const peers = this.#peers;
    if (peers?.ownerOf(this.name, key) !== undefined) {
      return this.#fetches.run(key, () => this.#fetch(key, peers));
    }
    return this.#load(key, this.#main, this.#ttl).then((value) => ({ value, from: "getter" }));
  }

  /**
   * Looks up a value for another peer: in the main cache or by the getter. Never asks another peer, so that
   * two peers which temporarily disagree about the owner of a key cannot send a request back and forth.
   *
   * @throws {RpcError} As {@linkcode get}
   */
  async serve(key: string): Promise<CachedValue> {
    this.#count.served++;
    const entry = this.#main.get(key);
    if (entry !== undefined) return this.#toCachedValue(entry);
    const value = await this.#load(key, this.#main, this.#ttl);
    return this.#ttl === Infinity ? { value } : { value, ttl: this.#ttl };
  }

  /** Returns the statistics. */
  stats(): GroupStats {
    const { gets, mainHits, hotHits } = this.#count;
    return {
      ...this.#count,
      misses: gets - mainHits - hotHits,
      entries: this.#main.size + this.#hot.size,
      bytes: this.#main.bytes + this.#hot.bytes,
      maxBytes: this.#main.maxBytes + this.#hot.maxBytes,
      evicted: this.#main.evicted + this.#hot.evicted,
    };
  }

  #toCachedValue({ value, expires }: Entry): CachedValue {
    return expires === Infinity ? { value } : { value, ttl: expires - this.#now() };
  }

  async #fetch(key: string, peers: PeerPicker): Promise<Lookup> {
    try {
      const { value, ttl = Infinity } = await peers.fetch(this.name, key);
      this.#count.peerFetches++;
      this.#hot.set(key, value, Math.min(ttl, this.#hotTtl));
      return { value, from: "peer" };
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      this.#count.peerFailures++;
    }
    // Not this peer's key: keep it briefly, because the owner may be back at any time.
    const value = await this.#load(key, this.#hot, Math.min(this.#ttl, this.#hotTtl));
    return { value, from: "getter" };
  }

  #load(key: string, cache: Lru, ttl: number): Promise<Value> {
    // Other callers wait for it, too: it must not end with the call that started it.
    return this.#loads.run(key, () => detach(() => this.#runGetter(key, cache, ttl)));
  }

  /** Calls the getter. A getter that hangs must not keep its key forever. */
  async #callGetter(key: string): Promise<Value | undefined> {
    const stop = new AbortController();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const error = new RpcError(
        "unavailable",
        `Cannot load ${JSON.stringify(key)} of ${this.name}: its getter took over ${this.#loadTimeout} ms`,
      );
      stop.abort(error);
      late.reject(error);
    }, this.#loadTimeout);
    try {
      return await Promise.race([this.#getter(key, stop.signal), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #runGetter(key: string, cache: Lru, ttl: number): Promise<Value> {
    this.#count.loads++;
    let value: Value | undefined;
    try {
      value = await this.#callGetter(key);
      if (value !== undefined) checkSize(value);
    } catch (error) {
      this.#count.loadErrors++;
      this.#log(`Cannot load ${JSON.stringify(key)} of ${this.name}: ${error}`);
      if (error instanceof RpcError) throw error;
      // Do not pass on the message: the getter's errors may be confidential.
      throw new RpcError("internal", `Cannot load ${JSON.stringify(key)} of ${this.name}: its getter failed`);
    }
    if (value === undefined) {
      throw new RpcError(
        "not_found",
        `Cannot find ${JSON.stringify(key)} in ${this.name}: there is no such value`,
      );
    }
    // A view of a larger buffer would keep all of it in memory.
    if (value.byteLength < value.buffer.byteLength) value = value.slice();
    cache.set(key, value, ttl);
    return value;
  }
}

function checkSize({ byteLength }: Value): void {
  if (byteLength <= MAX_VALUE_BYTES) return;
  throw new RpcError(
    "internal",
    `Cannot serve a value of ${byteLength} bytes: expected at most ${MAX_VALUE_BYTES}`,
  );
}

/**
 * Whether an error says that the peer could not be asked, rather than being its response: the peer is gone,
 * does not answer in time, is overloaded, or does not have the group. An error of the owner's getter counts
 * as a response: the local getter would report the same.
 */
function isUnreachable(error: unknown): boolean {
  if (!(error instanceof RpcError)) return false;
  return !error.remote || error.notStarted || error.code === "deadline_exceeded" ||
    error.code === "failed_precondition";
}
