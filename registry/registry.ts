// The registry's HTTP interface: listing, watching, registering and removing servers, and the web page.
// Passed to Deno.serve by users and by main.ts.

import { type Code, RpcError } from "../call/error.ts";
import type { EndpointLimits } from "../discovery/check_endpoint.ts";
import type { Clock } from "../discovery/clock.ts";
import { SHOWN_HEADERS } from "../monitoring/html_page.ts";
import { METRICS_TYPE } from "../monitoring/metrics_text.ts";
import { askerOf, type FetchInfo, UnreadResponses } from "../transport/unread_responses.ts";
import { requestUrl } from "../transport/request_url.ts";
import { refuseForeignPage, type TokenGuard } from "./guard.ts";
import { EncodedLists } from "./encoded_lists.ts";
import {
  answerJson,
  answerRefusal,
  HttpRefusal,
  invalid,
  JSON_HEADERS,
  quote,
  readJson,
} from "./json_response.ts";
import { Listing } from "./listing.ts";
import { count, listMetrics, otherMetrics, requestLabels } from "./registry_metrics.ts";
import { type RegistryOptions, registrySettings } from "./registry_options.ts";
import { checkInstance, readIncarnation, readRevision, readState, readTarget } from "./read_request.ts";
import type { Lease, RegistryStore } from "./store.ts";
import { WatchStreams } from "./watch_streams.ts";

const PATH = "/_rpc_/registry";
const ALLOW = "GET, HEAD, POST, DELETE";
/** HTTP statuses for errors of the store; other errors are answered with 500. */
const STATUS_OF_STORE: ReadonlyMap<Code, number> = new Map<Code, number>([
  ["not_found", 404],
  ["aborted", 409],
  ["resource_exhausted", 429],
  ["unavailable", 503],
]);

/**
 * Registry of live servers, over HTTP at `/_rpc_/registry`. curl is enough to use it:
 *
 * - `GET` (and `HEAD`): the list, as JSON `{ "revision", "ttl", "servers": [{ "address", "services", "weight",
 *   "version", "metadata", "ttl", "age", "idle" }] }` with times in ms, without the properties that a server did not
 *   give; and as the header `X-Rpc-Servers: ADDRESS,ADDRESS`. A header longer than 2 KiB is omitted, and
 *   `X-Rpc-Servers-Omitted` gives the number of addresses instead. `withdrawn`, unless it is empty, has the addresses of
 *   servers that are paused or draining, or were removed within the last minute. `X-Rpc-First-Revision` is the revision
 *   that the list began with: a client with an older revision has seen a list that the registry has lost.
 *   `?service=NAME` lists the servers that offer the service; `?all` includes servers that are paused or draining, with
 *   `state` and `incarnation`.
 * - `GET ?watch=REVISION` streams the changes after that revision, as server-sent events that a client may resume with
 *   `Last-Event-ID`: `change` with `{ "revision", "set": [SERVER], "removed": [ADDRESS], "withdrawn": [ADDRESS] }`, or
 *   `list` with the whole list if the changes are no longer known. Without a revision, the first event is the list.
 * - `POST` registers or renews: with the header `X-Rpc-Server: ADDRESS` and no body, which keeps the previous
 *   description; or with JSON `{ "address", "services", "weight", "version", "metadata", "ttl", "incarnation", "state"
 *   }`, all optional but the address, which replaces it. The response is 201 if the server was not on the list, else
 *   200, with `{ "address", "ttl", "age" }`. With the incarnation 0 it is a new incarnation, in the given state or else
 *   active, and the response has `incarnation` and `state`; heartbeats with that incarnation, in JSON or as
 *   `X-Rpc-Incarnation`, get 404 after it was removed and 409 after another one replaced it.
 * - `POST ?state=paused`, `draining` or `active` pauses, drains or resumes the server, named as for `DELETE`.
 * - `DELETE` removes a server, named by the same header, `?address=ADDRESS`, or JSON `{ "address" }`. The response is
 *   204, or 404.
 *
 * `/` is a web page that shows the list live, `/metrics` has metrics for Prometheus.
 *
 * Rejected requests are answered with JSON `{ "error": { "code", "message" } }`. Changes requested by web pages of other
 * origins are rejected.
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
  /** Handles a request. Bound to the registry, so it can be passed directly: `Deno.serve(registry.fetch)`. */
  readonly fetch: (request: Request, info?: FetchInfo) => Promise<Response> = (request, info) =>
    this.#answer(request, info);
  readonly #ttl: number;
  readonly #maxTtl: number;
  readonly #limits: EndpointLimits;
  readonly #guard: TokenGuard | undefined;
  readonly #protectReads: boolean;
  readonly #store: RegistryStore;
  readonly #streams: WatchStreams;
  readonly #unread: UnreadResponses;
  readonly #lists: EncodedLists;
  readonly #log: ((message: string) => void) | undefined;
  readonly #clock: Clock;
  readonly #requests = new Map<string, number>();
  /**
   * Cached metrics of the list at a revision: with thousands of servers they take milliseconds to compute.
   */
  #listMetrics: { readonly revision: number; readonly text: string } | undefined;
  #closed = false;

  /**
   * Creates the registry without listening: pass its `fetch` to `Deno.serve`.
   *
   * @param options Leases, limits and the store
   * @throws {TypeError} If an option is unknown or of the wrong type
   * @throws {RangeError} If a number is out of its range
   */
  constructor(options: RegistryOptions = {}) {
    const settings = registrySettings(options);
    this.#maxTtl = settings.maxTtl;
    this.#ttl = settings.ttl;
    this.#limits = settings.limits;
    this.#guard = settings.guard;
    this.#protectReads = settings.protectReads;
    this.#clock = settings.clock;
    this.#store = settings.store;
    this.#unread = new UnreadResponses(this.#clock);
    this.#lists = new EncodedLists(this.#clock);
    this.#streams = new WatchStreams(settings.maxWatchers, this.#clock, this.#unread);
    this.#log = settings.log;
  }

  /**
   * Ends all watches and answers every further request with 503. Does not close the HTTP server or a store passed as an
   * option: the caller closes them, after this, because an HTTP server that shuts down waits for the watches.
   */
  close(): Promise<void> {
    this.#closed = true;
    this.#streams.close();
    return Promise.resolve();
  }

  /** The same as {@linkcode Registry.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #answer(request: Request, info: FetchInfo | undefined): Promise<Response> {
    const response = await this.#tryAnswer(request, info);
    count(this.#requests, requestLabels(request.method, response.status));
    return response;
  }

  async #tryAnswer(request: Request, info: FetchInfo | undefined): Promise<Response> {
    try {
      const url = requestUrl(request.url, request.headers.get("host"));
      if (url === undefined) throw invalid("Cannot parse the request target or the Host header");
      return await this.#route(request, url, info);
    } catch (error) {
      if (error instanceof HttpRefusal) return answerRefusal(error, info);
      const status = error instanceof RpcError ? STATUS_OF_STORE.get(error.code) : undefined;
      if (error instanceof RpcError && status !== undefined) {
        return answerRefusal(new HttpRefusal(status, error.code, error.message), info);
      }
      this.#log?.(`registry: ${request.method} failed: ${error}`);
      return answerRefusal(new HttpRefusal(500, "internal", "The registry failed"), info);
    }
  }

  #route(request: Request, url: URL, info: FetchInfo | undefined): Promise<Response> | Response {
    if (this.#closed) throw new HttpRefusal(503, "unavailable", "The registry is closed");
    switch (url.pathname) {
      case PATH:
        return this.#routeMethod(request, url, info);
      case "/":
        refuseMethod(request, "GET, HEAD");
        return import("./registry_page.ts").then(({ answerPage }) => answerPage());
      case "/metrics":
        refuseMethod(request, "GET, HEAD");
        return this.#metrics(request, info);
      default:
        throw new HttpRefusal(
          404,
          "not_found",
          `Nothing at ${quote(url.pathname)}: the registry is at ${PATH}`,
        );
    }
  }

  async #routeMethod(request: Request, url: URL, info: FetchInfo | undefined): Promise<Response> {
    refuseMethod(request, ALLOW);
    // `Deno.serve` answers HEAD with the headers alone, including the length of the body.
    const reads = request.method === "GET" || request.method === "HEAD";
    if (!reads) refuseForeignPage(request, url);
    if (!reads || this.#protectReads) await this.#guard?.check(request);
    if (reads) return this.#read(request, url, info);
    if (request.method === "DELETE") return this.#remove(request, url);
    return url.searchParams.has("state") ? this.#setState(request, url) : this.#register(request);
  }

  async #read(request: Request, url: URL, info: FetchInfo | undefined): Promise<Response> {
    const listing = new Listing(url.searchParams, this.#ttl);
    const after = readRevision(request, url);
    if (after !== undefined && request.method === "GET") {
      return this.#streams.open({
        events: (signal) => this.#store.watch({ after: after ?? undefined, signal }),
        render: (event) => {
          if ("change" in event) return encode(listing.toEvent(event));
          const write = () => ({ headers: {}, body: encode(listing.toEvent(event)) });
          return this.#lists.get(`event ${listing.form}`, event.list, write).body;
        },
        client: askerOf(info),
      });
    }
    const list = await this.#store.list();
    const { headers, body } = this.#lists.get(`answer ${listing.form}`, list, () => {
      const { headers, value } = listing.toAnswer(list);
      return { headers: { ...JSON_HEADERS, ...headers }, body: encode(JSON.stringify(value) + "\n") };
    });
    return this.#unread.response(body, headers, askerOf(info)) ?? overloaded();
  }

  async #metrics(request: Request, info: FetchInfo | undefined): Promise<Response> {
    if (this.#protectReads) await this.#guard?.check(request);
    const list = await this.#store.list();
    if (this.#listMetrics?.revision !== list.revision) {
      this.#listMetrics = { revision: list.revision, text: listMetrics(list) };
    }
    const text = this.#listMetrics.text + otherMetrics({
      watchers: this.#streams.size,
      stalled: this.#streams.stalled,
      requests: this.#requests,
    });
    const headers = { ...SHOWN_HEADERS, "content-type": METRICS_TYPE };
    return this.#unread.response(encode(text), headers, askerOf(info)) ?? overloaded();
  }

  async #register(request: Request): Promise<Response> {
    const address = request.headers.get("x-rpc-server");
    const body = await readJson(request, this.#clock);
    if (address !== null && body !== undefined) {
      throw invalid("Cannot register with both X-Rpc-Server and a body: send one of them");
    }
    if (address === null && body === undefined) {
      throw invalid(
        "Cannot register without an address: send the header X-Rpc-Server: ADDRESS, or a JSON body with an address",
      );
    }
    const incarnation = readIncarnation(body?.incarnation ?? request.headers.get("x-rpc-incarnation"));
    const instance = checkInstance(body ?? { address }, this.#limits);
    if (body === undefined && incarnation !== 0) {
      const renewed = await this.#store.renew(instance.address, incarnation);
      if (renewed !== undefined) return answerJson(200, toAnswer(renewed, incarnation));
    }
    const state = readState(body?.state);
    const ttl = this.#checkTtl(body?.ttl);
    const { lease, created } = await this.#store.grant(instance, ttl, incarnation, state);
    return answerJson(created ? 201 : 200, toAnswer(lease, incarnation));
  }

  async #remove(request: Request, url: URL): Promise<Response> {
    const { address, incarnation } = await readTarget(request, url, this.#clock);
    if (!await this.#store.revoke(address, incarnation)) throw notRegistered(address);
    return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
  }

  async #setState(request: Request, url: URL): Promise<Response> {
    const state = readState(url.searchParams.get("state"))!;
    const { address } = await readTarget(request, url, this.#clock);
    const lease = await this.#store.setState(address, state);
    if (lease === undefined) throw notRegistered(address);
    return answerJson(200, toAnswer(lease, lease.incarnation));
  }

  #checkTtl(ttl: unknown): number {
    if (ttl === undefined) return this.#ttl;
    if (!Number.isFinite(ttl) || !(ttl === 0 || ttl as number >= 1)) {
      throw invalid("Cannot register: expected ttl to be 0, or 1 or more ms");
    }
    return Math.min(ttl as number, this.#maxTtl);
  }
}

function refuseMethod({ method }: Request, allow: string): void {
  if (allow.split(", ").includes(method)) return;
  const message = `Cannot use method ${quote(method)} here: expected ${allow}`;
  throw new HttpRefusal(405, "unimplemented", message, { allow });
}

function overloaded(): never {
  const message = "Cannot answer: too many response bytes are waiting to be read by other clients";
  throw new HttpRefusal(503, "resource_exhausted", message, { "retry-after": "1" }, true);
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function notRegistered(address: string): HttpRefusal {
  return new HttpRefusal(404, "not_found", `Cannot find ${quote(address)}: the server is not registered`);
}

function toAnswer(
  { instance, ttl, age, incarnation, state }: Lease,
  asked: number | undefined,
): Record<string, unknown> {
  const answer = { address: instance.address, ttl, age: Math.round(age) };
  return asked === undefined ? answer : { ...answer, incarnation, state };
}
