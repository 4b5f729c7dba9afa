// The registry's HTTP interface: who is on the list, registering, taking off. Given to Deno.serve by users and
// by main.ts.

import { checkOptions } from "../call/check_options.ts";
import { type Code, RpcError } from "../call/error.ts";
import { toEndpoint } from "../discovery/check_endpoint.ts";
import { checkDuration, type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { answerJson, answerRefusal, readJson, Refusal } from "./http.ts";
import { MemoryStore } from "./memory_store.ts";
import type { Lease, RegistryStore } from "./store.ts";

/** Options of {@linkcode Registry}. */
export interface RegistryOptions {
  /**
   * How long a server stays on the list after its last heartbeat, in ms, 1 to `maxTtl`, unless it asks for
   * another time. 0 means until it is taken off.
   *
   * @default {10_000}
   */
  ttl?: number;
  /**
   * The longest time that a server may ask for, in ms; one that asks for more gets this. Asking for 0, until it
   * is taken off, is always possible, for servers that cannot send heartbeats.
   *
   * @default {3_600_000}
   */
  maxTtl?: number;
  /** Where leases are kept. A {@linkcode MemoryStore} of its own by default. */
  store?: RegistryStore;
  /** Told of what goes wrong inside. Nothing is logged by default. */
  log?: (message: string) => void;
  /** The time, for tests. The system's monotonic clock by default. */
  clock?: Clock;
}

const PATH = "/_rpc_/registry";
const ALLOW = "GET, HEAD, POST, DELETE";
/** Many HTTP implementations refuse a header beyond this. */
const MAX_LIST_HEADER = 8192;
const MAX_QUOTED = 64;
/** Addresses are listed in a header too, which can carry no more than this. */
const HEADER_SAFE = /^[\x21-\x7e]*$/;
/** The answers to errors that a store rejects with; others are 500. */
const STATUS_OF_STORE: ReadonlyMap<Code, number> = new Map([["resource_exhausted", 429], [
  "unavailable",
  503,
]]);

/**
 * Keeps the list of servers that are alive, over HTTP at `/_rpc_/registry`. curl is enough to use it:
 *
 * - `GET` (and `HEAD`): the list, as JSON `{ "ttl", "servers": [{ "address", "services", "weight", "metadata",
 *   "ttl", "age", "idle" }] }` with times in ms, where what a server did not say is left out; and as the header
 *   `X-Rpc-Servers: ADDRESS,ADDRESS`. A header longer than 8 KiB is left out whole, and `X-Rpc-Servers-Omitted`
 *   says how many addresses it would have had. `?service=NAME` lists those that say they offer the service.
 * - `POST` registers or renews: with the header `X-Rpc-Server: ADDRESS` and no body, which leaves what the
 *   server said of itself before; or with JSON `{ "address", "services", "weight", "metadata", "ttl" }`, all but
 *   the address optional, which replaces it. Answers 201 if the server was not on the list, else 200, with
 *   `{ "address", "ttl", "age" }`.
 * - `DELETE` takes off: by the same header, `?address=ADDRESS`, or JSON `{ "address" }`. Answers 204, or 404.
 *
 * Whatever is refused is answered with JSON `{ "error": { "code", "message" } }`. Changes asked for by web pages
 * of other origins are refused.
 *
 * @example Usage
 * ```ts
 * import { Registry } from "@troodon/rpc/registry";
 * import { assertEquals } from "@std/assert";
 *
 * await using registry = new Registry({ ttl: 5_000 });
 * await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
 * const url = `http://127.0.0.1:${server.addr.port}/_rpc_/registry`;
 *
 * const registered = await fetch(url, { method: "POST", headers: { "X-Rpc-Server": "tcp@10.0.0.1:9999" } });
 * assertEquals(await registered.json(), { address: "tcp@10.0.0.1:9999", ttl: 5_000, age: 0 });
 *
 * const list = await fetch(url);
 * assertEquals(list.headers.get("X-Rpc-Servers"), "tcp@10.0.0.1:9999");
 * await list.body?.cancel();
 * ```
 */
export class Registry {
  /** Answers a request. Bound, so that it can be handed over as it is: `Deno.serve(registry.fetch)`. */
  readonly fetch: (request: Request) => Promise<Response> = (request) => this.#answer(request);
  readonly #ttl: number;
  readonly #maxTtl: number;
  readonly #store: RegistryStore;
  readonly #log: ((message: string) => void) | undefined;
  readonly #clock: Clock;
  #closed = false;

  /**
   * Does not listen: that is for `Deno.serve`.
   *
   * @param options Times and the store
   * @throws {TypeError} If an option is unknown or of the wrong type
   * @throws {RangeError} If a time is out of its range
   */
  constructor(options: RegistryOptions = {}) {
    const names = { ttl: true, maxTtl: true, store: true, log: true, clock: true } as const;
    checkOptions<RegistryOptions>("create registry", options, names);
    this.#maxTtl = checkDuration("maxTtl", options.maxTtl ?? 3_600_000);
    this.#ttl = checkDuration("ttl", options.ttl ?? Math.min(10_000, this.#maxTtl), 0);
    if (this.#ttl > this.#maxTtl) {
      throw new RangeError(`Cannot use ttl of ${this.#ttl}: expected at most maxTtl, ${this.#maxTtl} ms`);
    }
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#store = options.store ?? new MemoryStore({ clock: this.#clock });
    this.#log = options.log;
  }

  /** Answers every further request with 503. What listens is closed by who made it listen. */
  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  /** The same as {@linkcode Registry.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #answer(request: Request): Promise<Response> {
    try {
      return await this.#route(request, new URL(request.url));
    } catch (error) {
      if (error instanceof Refusal) return answerRefusal(error);
      const status = error instanceof RpcError ? STATUS_OF_STORE.get(error.code) : undefined;
      if (error instanceof RpcError && status !== undefined) {
        return answerRefusal(new Refusal(status, error.code, error.message));
      }
      this.#log?.(`registry: ${request.method} failed: ${error}`);
      return answerRefusal(new Refusal(500, "internal", "The registry failed"));
    }
  }

  #route(request: Request, url: URL): Promise<Response> {
    if (this.#closed) throw new Refusal(503, "unavailable", "The registry is closed");
    if (url.pathname !== PATH) {
      throw new Refusal(404, "not_found", `Nothing at ${quote(url.pathname)}: the registry is at ${PATH}`);
    }
    switch (request.method) {
      case "GET":
      case "HEAD":
        // Of an answer to HEAD, Deno.serve sends the head alone, with the length of the body.
        return this.#list(url);
      case "POST":
        refuseForeignPage(request, url);
        return this.#register(request);
      case "DELETE":
        refuseForeignPage(request, url);
        return this.#takeOff(request, url);
      default:
        throw new Refusal(
          405,
          "unimplemented",
          `Cannot ${quote(request.method)} the registry: use ${ALLOW}`,
          {
            allow: ALLOW,
          },
        );
    }
  }

  async #list(url: URL): Promise<Response> {
    const service = url.searchParams.get("service");
    const all = await this.#store.list();
    const leases = service === null
      ? all
      : all.filter(({ instance }) => instance.services?.includes(service));
    const addresses = leases.map(({ instance }) => instance.address).join(",");
    const headers: Record<string, string> = addresses.length <= MAX_LIST_HEADER
      ? { "x-rpc-servers": addresses }
      : { "x-rpc-servers-omitted": String(leases.length) };
    return answerJson(200, { ttl: this.#ttl, servers: leases.map(toEntry) }, headers);
  }

  async #register(request: Request): Promise<Response> {
    const address = request.headers.get("x-rpc-server");
    const body = await readJson(request, this.#clock);
    if (address !== null && body !== undefined) {
      throw new Refusal(
        400,
        "invalid_argument",
        "Cannot register by header and body at once: send one of them",
      );
    }
    if (address === null && body === undefined) {
      throw new Refusal(
        400,
        "invalid_argument",
        "Cannot register nobody: send the header X-Rpc-Server: ADDRESS, or a JSON body with an address",
      );
    }
    const instance = checkInstance(body ?? { address });
    const renewed = body === undefined ? await this.#store.renew(instance.address) : undefined;
    if (renewed !== undefined) return answerJson(200, toAnswer(renewed));
    const { lease, created } = await this.#store.grant(instance, this.#checkTtl(body?.ttl));
    return answerJson(created ? 201 : 200, toAnswer(lease));
  }

  async #takeOff(request: Request, url: URL): Promise<Response> {
    const address = request.headers.get("x-rpc-server") ?? url.searchParams.get("address") ??
      (await readJson(request, this.#clock))?.address;
    if (typeof address !== "string") {
      throw new Refusal(
        400,
        "invalid_argument",
        "Cannot take nobody off: send the header X-Rpc-Server: ADDRESS, ?address=ADDRESS, or a JSON body",
      );
    }
    if (!await this.#store.revoke(address)) {
      throw new Refusal(404, "not_found", `Cannot take off ${quote(address)}: it is not registered`);
    }
    return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
  }

  #checkTtl(ttl: unknown): number {
    if (ttl === undefined) return this.#ttl;
    if (typeof ttl !== "number" || !(ttl === 0 || ttl >= 1)) {
      throw new Refusal(
        400,
        "invalid_argument",
        "Cannot register: ttl must be a number of ms, 1 or more, or 0",
      );
    }
    return Math.min(ttl, this.#maxTtl);
  }
}

/** Makes what a stranger says of itself an endpoint that the list can hold. */
function checkInstance(value: Record<string, unknown>): Endpoint {
  let instance: Endpoint;
  try {
    // An address alone would be an endpoint too, but not an object.
    instance = toEndpoint({ ...value });
  } catch (error) {
    throw new Refusal(400, "invalid_argument", (error as Error).message);
  }
  if (!HEADER_SAFE.test(instance.address)) {
    throw new Refusal(400, "invalid_argument", "Cannot register: the address must be ASCII without spaces");
  }
  return instance;
}

/**
 * A page in a browser on the same machine or network can send requests here, without seeing the answers; what
 * it may not do is change the list. Browsers say where such a request comes from, curl and servers do not.
 */
function refuseForeignPage(request: Request, url: URL): void {
  const origin = request.headers.get("origin");
  if (origin === null || URL.parse(origin)?.host === url.host) return;
  throw new Refusal(403, "permission_denied", `Cannot change the registry from a page of ${quote(origin)}`);
}

function toEntry({ instance, ttl, age, idle }: Lease): Record<string, unknown> {
  return { ...instance, ttl, age: Math.round(age), idle: Math.round(idle) };
}

function toAnswer({ instance, ttl, age }: Lease): Record<string, unknown> {
  return { address: instance.address, ttl, age: Math.round(age) };
}

function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}
