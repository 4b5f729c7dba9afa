// The latest list of endpoints and its watchers. Owned by each Discovery.

import type { Endpoint } from "./endpoint.ts";

/** Callbacks of {@linkcode Snapshots}. */
export interface SnapshotsOptions {
  /** Called when the first watcher starts. */
  onWatched?: () => void;
  /** Called when the last watcher has ended. */
  onUnwatched?: () => void;
}

/** The latest list of endpoints, and its watchers. */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #watchers = new Set<Watcher>();
  #latest: readonly Endpoint[] | undefined;

  constructor(options: SnapshotsOptions = {}) {
    this.#options = options;
  }

  /** The latest list, if any. */
  get latest(): readonly Endpoint[] | undefined {
    return this.#latest;
  }

  /** Replaces the list, and passes it to waiting watchers if it differs. */
  publish(endpoints: readonly Endpoint[]): void {
    if (this.#latest !== undefined && sameEndpoints(this.#latest, endpoints)) return;
    this.#latest = endpoints;
    for (const watcher of this.#watchers) watcher.offer(endpoints);
  }

  /** A watch as specified by `Discovery.watch`. */
  watch(signal?: AbortSignal): AsyncIterable<readonly Endpoint[]> {
    return { [Symbol.asyncIterator]: () => new Watcher(this, signal) };
  }

  /** Registers a watcher that starts. */
  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
    if (this.#watchers.size === 1) this.#options.onWatched?.();
  }

  /** Unregisters a watcher that ends. */
  remove(watcher: Watcher): void {
    if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#options.onUnwatched?.();
  }
}

type Result = IteratorResult<readonly Endpoint[], undefined>;

/**
 * One watcher. Not an async generator, since a generator's `return()` waits for a pending `next()`, which may never settle
 * here, and since a watcher must not retain lists that were not requested.
 */
class Watcher implements AsyncIterator<readonly Endpoint[], undefined> {
  readonly #source: Snapshots;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#end();
  readonly #pending: ((result: Result) => void)[] = [];
  #seen: readonly Endpoint[] | undefined;
  #state: "idle" | "active" | "ended" = "idle";

  constructor(source: Snapshots, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  next(): Promise<Result> {
    if (this.#state === "idle") this.#start();
    const latest = this.#source.latest;
    if (this.#state === "ended") return Promise.resolve({ done: true, value: undefined });
    if (this.#pending.length === 0 && latest !== undefined && this.#isNew(latest)) {
      this.#seen = latest;
      return Promise.resolve({ done: false, value: latest });
    }
    return new Promise((resolve) => this.#pending.push(resolve));
  }

  return(): Promise<Result> {
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Passes a list on if `next` is pending and the list is new to this watcher; otherwise `next` will find it. */
  offer(endpoints: readonly Endpoint[]): void {
    if (this.#pending.length === 0 || !this.#isNew(endpoints)) return;
    this.#seen = endpoints;
    this.#pending.shift()?.({ done: false, value: endpoints });
  }

  #isNew(endpoints: readonly Endpoint[]): boolean {
    return this.#seen === undefined || !sameEndpoints(this.#seen, endpoints);
  }

  #start(): void {
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
    for (const resolve of this.#pending.splice(0)) resolve({ done: true, value: undefined });
    this.#source.remove(this);
  }
}

/** Whether two lists are equal, including their order. */
function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((endpoint, index) => sameEndpoint(endpoint, b[index]!));
}

/** Whether two endpoints are equal. */
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
