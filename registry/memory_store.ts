// Keeps the registry's leases in memory, bounded in number and size. The registry's store unless it gets another.

import { checkOptions, shownOption } from "../call/check_options.ts";
import { RpcError } from "../call/error.ts";
import { type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { Grant, Lease, RegistryStore } from "./store.ts";

/** Options of {@linkcode MemoryStore}. */
export interface MemoryStoreOptions {
  /**
   * How many servers there is room for, 1 or more.
   *
   * @default {10_000}
   */
  maxInstances?: number;
  /**
   * How many bytes their descriptions may have together, as JSON.
   *
   * @default {8_388_608}
   */
  maxBytes?: number;
  /** The time, for tests. The system's monotonic clock by default. */
  clock?: Clock;
}

/** What the store notes of a server. */
interface Entry {
  instance: Endpoint;
  bytes: number;
  ttl: number;
  grantedAt: number;
  renewedAt: number;
}

/**
 * Leases in memory. They end with the process.
 *
 * Time is counted by the monotonic clock, so a jump of the wall clock ends no lease. A lease that has run out
 * is gone for every method from that moment on; there is no timer behind it.
 *
 * @example Usage
 * ```ts
 * import { MemoryStore } from "@troodon/rpc/registry";
 * import { assertEquals } from "@std/assert";
 *
 * const store = new MemoryStore();
 * await store.grant({ address: "tcp@10.0.0.1:9999" }, 10_000);
 * assertEquals((await store.list()).map(({ instance }) => instance.address), ["tcp@10.0.0.1:9999"]);
 * ```
 */
export class MemoryStore implements RegistryStore {
  readonly #maxInstances: number;
  readonly #maxBytes: number;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /**
   * Starts empty.
   *
   * @param options Its bounds
   * @throws {TypeError} If an option is unknown
   * @throws {RangeError} If a bound is not a whole number above 0
   */
  constructor(options: MemoryStoreOptions = {}) {
    const names = { maxInstances: true, maxBytes: true, clock: true } as const;
    checkOptions<MemoryStoreOptions>("create store", options, names);
    this.#maxInstances = checkBound("maxInstances", options.maxInstances ?? 10_000);
    this.#maxBytes = checkBound("maxBytes", options.maxBytes ?? 8 * 1024 * 1024);
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /**
   * Puts a server on the list, or renews it and takes over what the instance now says.
   *
   * @param instance The server, which will not change afterwards
   * @param ttl How long it stays without a heartbeat, in ms; 0 means until it is taken off
   * @returns The lease, and whether it is new
   * @throws {RpcError} `resource_exhausted` if a bound would be passed; leases before then stay as they are
   */
  // deno-lint-ignore require-await -- the seam is asynchronous, a throw must become a rejection
  async grant(instance: Endpoint, ttl: number): Promise<Grant> {
    const now = this.#clock.now();
    const before = this.#find(instance.address, now);
    const bytes = new TextEncoder().encode(JSON.stringify(instance)).length;
    if (!this.#hasRoom(before, bytes)) {
      // Room may be taken by what has run out and nobody has looked at since.
      this.#sweep(now);
      if (!this.#hasRoom(before, bytes)) {
        throw new RpcError(
          "resource_exhausted",
          `Cannot register ${instance.address}: the registry is full, with ${this.#entries.size} servers`,
        );
      }
    }
    this.#bytes += bytes - (before?.bytes ?? 0);
    const entry = { instance, bytes, ttl, grantedAt: before?.grantedAt ?? now, renewedAt: now };
    this.#entries.set(instance.address, entry);
    return { lease: toLease(entry, now), created: before === undefined };
  }

  /**
   * Renews a lease as it is.
   *
   * @param address Of the server
   * @returns The lease, or `undefined` if the server is not on the list
   */
  renew(address: string): Promise<Lease | undefined> {
    const now = this.#clock.now();
    const entry = this.#find(address, now);
    if (entry === undefined) return Promise.resolve(undefined);
    entry.renewedAt = now;
    return Promise.resolve(toLease(entry, now));
  }

  /**
   * Takes a server off the list.
   *
   * @param address Of the server
   * @returns Whether it was on the list
   */
  revoke(address: string): Promise<boolean> {
    const entry = this.#find(address, this.#clock.now());
    if (entry !== undefined) this.#remove(entry);
    return Promise.resolve(entry !== undefined);
  }

  /**
   * The servers whose leases have not run out.
   *
   * @returns Their leases, in the order of their addresses
   */
  list(): Promise<readonly Lease[]> {
    const now = this.#clock.now();
    this.#sweep(now);
    const leases = Array.from(this.#entries.values(), (entry) => toLease(entry, now));
    return Promise.resolve(leases.sort((a, b) => a.instance.address < b.instance.address ? -1 : 1));
  }

  #hasRoom(before: Entry | undefined, bytes: number): boolean {
    return this.#entries.size + (before === undefined ? 1 : 0) <= this.#maxInstances &&
      this.#bytes + bytes - (before?.bytes ?? 0) <= this.#maxBytes;
  }

  #find(address: string, now: number): Entry | undefined {
    const entry = this.#entries.get(address);
    if (entry === undefined || !hasEnded(entry, now)) return entry;
    this.#remove(entry);
    return undefined;
  }

  #sweep(now: number): void {
    for (const entry of this.#entries.values()) {
      if (hasEnded(entry, now)) this.#remove(entry);
    }
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.instance.address);
    this.#bytes -= entry.bytes;
  }
}

function hasEnded(entry: Entry, now: number): boolean {
  return entry.ttl > 0 && now - entry.renewedAt >= entry.ttl;
}

function toLease({ instance, ttl, grantedAt, renewedAt }: Entry, now: number): Lease {
  return { instance, ttl, age: now - grantedAt, idle: now - renewedAt };
}

function checkBound(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`Cannot use ${name} ${shownOption(value)}: expected a whole number above 0`);
}
