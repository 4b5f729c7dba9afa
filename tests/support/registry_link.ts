// The way to a registry in this process, without a network: it can be cut, and it counts what goes over it.

import type { Fetch } from "../../discovery/registry_request.ts";
import type { Registry } from "../../registry/registry.ts";

export const REGISTRY_URL = "http://registry.test/_rpc_/registry";

/** A `fetch` that reaches a registry, as long as the test lets it. */
export class RegistryLink {
  /** What answers; without one, connections are refused. */
  registry: Registry | undefined;
  /** Answers in the registry's place. */
  override: (() => Response) | undefined;
  /** Whether requests get no answer at all. */
  silent = false;
  /** The method of each request so far. */
  readonly methods: string[] = [];
  /** How many requests there were at the same time at most. */
  mostAtOnce = 0;
  #atOnce = 0;

  constructor(registry?: Registry) {
    this.registry = registry;
  }

  /** How many requests wait for an answer. */
  get underWay(): number {
    return this.#atOnce;
  }

  readonly fetch: Fetch = async (url, init) => {
    this.methods.push(init.method ?? "GET");
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    try {
      init.signal?.throwIfAborted();
      if (this.silent) return await untilAborted(init.signal!);
      if (this.override !== undefined) return this.override();
      if (this.registry === undefined) throw new TypeError("connection refused");
      return await this.registry.fetch(new Request(url, init));
    } finally {
      this.#atOnce--;
    }
  };
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
