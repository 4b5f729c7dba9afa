// Holds the latest list of endpoints and lets any number of watchers follow it. Owned by each Discovery.

import type { Endpoint } from "./endpoint.ts";

/** What {@linkcode Snapshots} tells its owner. */
export interface SnapshotsOptions {
  /** Run when the first watcher comes. */
  onWatched?: () => void;
  /** Run when the last watcher has gone. */
  onUnwatched?: () => void;
}

/** The latest list of endpoints, and who watches it. */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #watches = new Set<Watch>();
  #latest: readonly Endpoint[] | undefined;

  constructor(options: SnapshotsOptions = {}) {
    this.#options = options;
  }

  /** The latest list, if there has been one. */
  get latest(): readonly Endpoint[] | undefined {
    return this.#latest;
  }

  /** Takes the list that holds from now on, and hands it to those who wait for one. */
  publish(endpoints: readonly Endpoint[]): void {
    if (this.#latest !== undefined && sameEndpoints(this.#latest, endpoints)) return;
    this.#latest = endpoints;
    for (const watch of this.#watches) watch.offer(endpoints);
  }

  /** A watch as `Discovery.watch` promises it. */
  watch(signal?: AbortSignal): AsyncIterable<readonly Endpoint[]> {
    return { [Symbol.asyncIterator]: () => new Watch(this, signal) };
  }

  /** For a watch that begins: counts it. */
  add(watch: Watch): void {
    this.#watches.add(watch);
    if (this.#watches.size === 1) this.#options.onWatched?.();
  }

  /** For a watch that ends: forgets it. */
  remove(watch: Watch): void {
    if (this.#watches.delete(watch) && this.#watches.size === 0) this.#options.onUnwatched?.();
  }
}

type Result = IteratorResult<readonly Endpoint[], undefined>;

/**
 * One watcher. Not an async generator, because a generator's `return()` waits for the `next()` before it, which
 * here may never come; and because it must not hold lists that nobody has asked for.
 */
class Watch implements AsyncIterator<readonly Endpoint[], undefined> {
  readonly #source: Snapshots;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#end();
  readonly #waiting: ((result: Result) => void)[] = [];
  #seen: readonly Endpoint[] | undefined;
  #state: "idle" | "active" | "ended" = "idle";

  constructor(source: Snapshots, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  next(): Promise<Result> {
    if (this.#state === "idle") this.#begin();
    const latest = this.#source.latest;
    if (this.#state === "ended") return Promise.resolve({ done: true, value: undefined });
    if (this.#waiting.length === 0 && latest !== undefined && this.#isNew(latest)) {
      this.#seen = latest;
      return Promise.resolve({ done: false, value: latest });
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<Result> {
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Hands over a list if it is waited for and new to this watcher; else `next` will find it. */
  offer(endpoints: readonly Endpoint[]): void {
    if (this.#waiting.length === 0 || !this.#isNew(endpoints)) return;
    this.#seen = endpoints;
    this.#waiting.shift()?.({ done: false, value: endpoints });
  }

  #isNew(endpoints: readonly Endpoint[]): boolean {
    return this.#seen === undefined || !sameEndpoints(this.#seen, endpoints);
  }

  #begin(): void {
    if (this.#signal?.aborted) {
      this.#state = "ended";
      return;
    }
    this.#state = "active";
    this.#signal?.addEventListener("abort", this.#onAbort);
    this.#source.add(this);
  }

  #end(): void {
    const wasActive = this.#state === "active";
    this.#state = "ended";
    if (!wasActive) return;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#seen = undefined;
    for (const resolve of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
    this.#source.remove(this);
  }
}

/** Whether two lists say the same in the same order. */
export function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((endpoint, index) => sameEndpoint(endpoint, b[index]!));
}

/** Whether two endpoints say the same. */
export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a === b ||
    a.address === b.address && a.weight === b.weight && a.version === b.version &&
      sameServices(a.services, b.services) && sameMetadata(a.metadata, b.metadata);
}

function sameServices(a: Endpoint["services"], b: Endpoint["services"]): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((name, index) => name === b[index]);
}

function sameMetadata(a: Endpoint["metadata"], b: Endpoint["metadata"]): boolean {
  if (a === undefined || b === undefined) return a === b;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && a[name] === b[name]);
}
