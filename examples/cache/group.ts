// One group of values: its getter, its two caches, and the way of a key through them. Made by whoever runs a node.

import { detach, RpcError } from "@troodon/rpc";
import { type Kept, MAX_VALUE_BYTES, type Value } from "./contract.ts";
import { type Entry, Lru } from "./lru.ts";
import type { PeerPicker } from "./peers.ts";
import { SingleFlight } from "./single_flight.ts";

/**
 * Gets a value from where it really is; undefined if there is none. What it throws is an `RpcError` if those who asked
 * are to know why.
 */
export type Getter = (key: string) => Value | undefined | Promise<Value | undefined>;

/** Options of a {@linkcode Group}. */
export interface GroupOptions {
  /** The bound of both its caches together, in bytes. @default {64 MiB} */
  maxBytes?: number;
  /** How long values are good, in ms. @default {for ever} */
  ttl?: number;
  /** How long values of other peers' keys are kept here, in ms, if they are good for that long. @default {5_000} */
  hotTtl?: number;
  /** The other peers. Without them every key belongs here. */
  peers?: PeerPicker;
  /** Told why values could not be loaded. */
  log?: (message: string) => void;
  /** The time in ms, for tests. @default {performance.now} */
  now?: () => number;
}

/** Where a value came from: a cache, that of others' keys, another peer, or the getter. */
export type Source = "main" | "hot" | "peer" | "getter";

/** A value, and where it came from. */
export interface Got {
  readonly value: Value;
  readonly from: Source;
}

/** What a group has counted since it was made, and what it holds. */
export interface GroupStats {
  /** Values asked for here, by HTTP or by the program. */
  gets: number;
  /** Of these, those found in the main cache. */
  mainHits: number;
  /** Of these, those found among others' keys. */
  hotHits: number;
  /** Of these, those not found; those who waited for the same key count each. */
  misses: number;
  /** How often the getter was run, however it went. */
  loads: number;
  /** How often it failed; to say that there is no value is not to fail. */
  loadErrors: number;
  /** Values that other peers gave. */
  peerFetches: number;
  /** How often another peer could not be asked, and the value was loaded here. */
  peerFailures: number;
  /** Values that other peers asked for. */
  served: number;
  /** What is held now. */
  entries: number;
  bytes: number;
  maxBytes: number;
  /** Values that went to make room. */
  evicted: number;
}

/** One part in this many of the bytes is for others' keys. */
const HOT_SHARE = 8;

/** Values of one kind. */
export class Group {
  /** Its name, of letters, digits, `_`, `.` and `-`. */
  readonly name: string;
  readonly #getter: Getter;
  readonly #main: Lru;
  readonly #hot: Lru;
  readonly #ttl: number;
  readonly #hotTtl: number;
  readonly #peers: PeerPicker | undefined;
  readonly #log: (message: string) => void;
  readonly #now: () => number;
  /** Values on their way from another peer, or from the getter in its stead. */
  readonly #fetches = new SingleFlight<Got>();
  /** Values on their way from the getter. */
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
   * @throws {TypeError} If the name is none
   * @throws {RangeError} If a number is out of its range
   */
  constructor(name: string, getter: Getter, options: GroupOptions = {}) {
    if (!/^[\w.-]{1,64}$/.test(name)) {
      throw new TypeError(
        `Cannot name a group ${JSON.stringify(name)}: expected 1 to 64 letters, digits, _, . or -`,
      );
    }
    const { maxBytes = 64 * 1024 * 1024, ttl = Infinity, hotTtl = 5_000 } = options;
    for (const [option, value] of Object.entries({ ttl, hotTtl })) {
      if (!(value > 0)) throw new RangeError(`Cannot use ${option} ${value}: expected more than 0 ms`);
    }
    this.name = name;
    this.#getter = getter;
    this.#ttl = ttl;
    this.#hotTtl = hotTtl;
    this.#peers = options.peers;
    this.#log = options.log ?? (() => {});
    this.#now = options.now ?? (() => performance.now());
    const hotBytes = options.peers === undefined ? 0 : Math.floor(maxBytes / HOT_SHARE);
    this.#main = new Lru(maxBytes - hotBytes, this.#now);
    this.#hot = new Lru(hotBytes, this.#now);
  }

  /**
   * Gets a value: from here, which takes no promise, or else from the peer that it belongs to or from the getter.
   *
   * @throws {RpcError} `not_found` if there is no such value; else why it could not be loaded: as a rejection
   */
  get(key: string): Got | Promise<Got> {
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
   * Gets a value for another peer: from here or from the getter. It asks nobody else, so that two peers which for a moment
   * do not agree on the owner of a key cannot send each other round in circles.
   *
   * @throws {RpcError} As {@linkcode get}
   */
  async serve(key: string): Promise<Kept> {
    this.#count.served++;
    const entry = this.#main.get(key);
    if (entry !== undefined) return this.#kept(entry);
    const value = await this.#load(key, this.#main, this.#ttl);
    return this.#ttl === Infinity ? { value } : { value, ttl: this.#ttl };
  }

  /** What it has counted, and holds. */
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

  #kept({ value, expires }: Entry): Kept {
    return expires === Infinity ? { value } : { value, ttl: expires - this.#now() };
  }

  async #fetch(key: string, peers: PeerPicker): Promise<Got> {
    try {
      const { value, ttl = Infinity } = await peers.fetch(this.name, key);
      this.#count.peerFetches++;
      this.#hot.set(key, value, Math.min(ttl, this.#hotTtl));
      return { value, from: "peer" };
    } catch (error) {
      if (!couldNotAsk(error)) throw error;
      this.#count.peerFailures++;
    }
    // It is not ours to keep for long: the owner may be back at any time.
    const value = await this.#load(key, this.#hot, Math.min(this.#ttl, this.#hotTtl));
    return { value, from: "getter" };
  }

  #load(key: string, cache: Lru, ttl: number): Promise<Value> {
    // Others wait for it too: it does not end with the call of whoever came first.
    return this.#loads.run(key, () => detach(() => this.#run(key, cache, ttl)));
  }

  async #run(key: string, cache: Lru, ttl: number): Promise<Value> {
    this.#count.loads++;
    let value: Value | undefined;
    try {
      value = await this.#getter(key);
      if (value !== undefined) checkSize(value);
    } catch (error) {
      this.#count.loadErrors++;
      this.#log(`${JSON.stringify(key)} of ${this.name} could not be loaded: ${error}`);
      if (error instanceof RpcError) throw error;
      // Not its message: what a getter says may be nobody else's business.
      throw new RpcError("internal", `Cannot load ${JSON.stringify(key)} of ${this.name}: its getter failed`);
    }
    if (value === undefined) {
      throw new RpcError(
        "not_found",
        `Cannot find ${JSON.stringify(key)} in ${this.name}: there is no such value`,
      );
    }
    // A part of a larger buffer would keep all of it.
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
 * Whether an error says that a peer could not be asked, rather than what came of it: it is gone, does not answer in time,
 * is too busy, or does not have the group. What the getter of the owner said counts: it would say the same here.
 */
function couldNotAsk(error: unknown): boolean {
  if (!(error instanceof RpcError)) return false;
  return !error.remote || error.notStarted || error.code === "deadline_exceeded" ||
    error.code === "failed_precondition";
}
