// Calls over HTTP: finds the method that a request asks for, checks who may ask, and answers. A server is otherwise
// untouched: methods, interceptors, limits and statistics are those of its connections.

import { checkOptions } from "../call/check_options.ts";
import { isRpcError, RpcError } from "../call/error.ts";
import type { Identity } from "../call/handler.ts";
import { checkIdentity } from "../call/identity.ts";
import { isThenable } from "../call/thenable.ts";
import { DEBUG_PATH, METRICS_PATH } from "../monitoring/monitoring.ts";
import type { Arrivals, Arriving } from "../server/arrivals.ts";
import type { Entrance } from "../server/entrance.ts";
import { HEALTH_PATH } from "../server/server_health.ts";
import { Server } from "../server/server.ts";
import { RPC_PATH } from "../transport/http.ts";
import { addressOf, type FetchInfo, type RemoteAddress } from "../transport/unread_responses.ts";
import { CrossSite } from "./cross_site.ts";
import type { HeaderList } from "./answer.ts";
import type { Asked } from "./asked.ts";
import { Exchange } from "./exchange.ts";
import { ifSlow } from "./if_slow.ts";
import { EVENTS, LAST_EVENT_ID } from "./event_stream.ts";
import { negotiate, negotiateGet, notAllowed, type Route, Unanswerable } from "./negotiate.ts";

/** Options of {@linkcode web}. */
export interface WebOptions {
  /**
   * What paths of calls begin with, such as `/api`: then `Arith.sum` is `/api/Arith/sum`.
   *
   * @default {""}
   */
  prefix?: string;
  /**
   * Origins whose pages may call from a browser, such as `https://app.example.com`, or `"*"` for all. Pages of the server's
   * own origin always may.
   *
   * @default {[]}
   */
  cors?: Iterable<string> | "*";
}

/** Answers HTTP requests: what {@linkcode web} returns, and `Deno.serve` takes. */
export type WebHandler = (request: Request, info?: FetchInfo) => Response | Promise<Response>;

const SERVED_ELSEWHERE: ReadonlySet<string> = new Set([DEBUG_PATH, METRICS_PATH, RPC_PATH, HEALTH_PATH]);
const PREFIX = /^(?:\/[\w.~-]+)*$/;
const CALL_PATH = /^\/([^/]+)\/([^/]+)$/;
/** The status of a response to a client that has left, which Deno.serve still waits for. */
const CLIENT_LEFT = 499;
const BEARER = /^Bearer (.+)$/i;

/**
 * Answers calls over HTTP, for curl, fetch and clients of the Connect protocol: `POST /Arith/sum` with JSON calls
 * `Arith.sum`. Everything else of {@linkcode Server.fetch} is answered as well: WebSockets, the page, metrics and
 * `/healthz`.
 *
 * A call is answered as one over a connection is, by interceptors, `authenticate` (with the token of
 * `Authorization: Bearer`, for each request), deadlines, limits (of a peer instead of a connection) and statistics.
 * Handlers cannot call their caller back.
 *
 * @example
 * ```ts
 * import { Server } from "@troodon/rpc";
 * import { web } from "@troodon/rpc/web";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = new Server();
 * server.register("Arith", { sum: ({ a, b }: { a: number; b: number }) => a + b });
 * await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, web(server));
 *
 * const response = await fetch(`http://127.0.0.1:${http.addr.port}/Arith/sum`, {
 *   method: "POST",
 *   headers: { "content-type": "application/json" },
 *   body: JSON.stringify({ a: 1, b: 2 }),
 * });
 * assertEquals(await response.json(), 3);
 * ```
 *
 * @param server The server whose services are called
 * @param options Where calls are, and which pages may make them
 * @returns A handler for `Deno.serve`, or for `export default { fetch }`
 * @throws {TypeError} If `server` is not a server, or an option is unknown or invalid
 */
export function web(server: Server, options: WebOptions = {}): WebHandler {
  checkOptions<WebOptions>("serve calls over HTTP", options, { prefix: true, cors: true });
  const { prefix = "" } = options;
  if (typeof prefix !== "string" || !PREFIX.test(prefix)) {
    throw new TypeError('Cannot use prefix: expected a path such as "/api", without a slash at its end');
  }
  const door = new Door(Server.entranceOf(server), prefix, new CrossSite(options.cors));
  return (request, info) => door.answer(request, info);
}

/** What `authenticate` returns. */
type Verdict = boolean | Identity;

/** A request for a method. */
interface Received {
  readonly request: Request;
  readonly from: RemoteAddress | undefined;
  readonly route: Route;
  /** The headers by which a page may read the answer. */
  readonly cors: HeaderList;
  /** Where the query begins in its URL; negative without a query. */
  readonly mark: number;
  /** When it arrived, on the clock of `performance.now()`. */
  readonly time: number;
}

/** Answers the requests of one server. */
class Door {
  readonly #entrance: Entrance;
  readonly #prefix: string;
  readonly #crossSite: CrossSite;
  /** The methods that were called, by path: no more than the server has. */
  readonly #routes = new Map<string, Route>();

  constructor(entrance: Entrance, prefix: string, crossSite: CrossSite) {
    this.#entrance = entrance;
    this.#prefix = prefix;
    this.#crossSite = crossSite;
  }

  answer(request: Request, info: FetchInfo | undefined): Response | Promise<Response> {
    const { url } = request;
    const host = url.indexOf("://") + 3;
    const slash = url.indexOf("/", host);
    const mark = url.indexOf("?", slash);
    const path = mark < 0 ? url.slice(slash) : url.slice(slash, mark);
    const route = this.#routes.get(path) ?? this.#find(path, request.method);
    if (route === undefined) return this.#answerOther(request, info, path);
    const cors = this.#crossSite.headersFor(request.headers, url.slice(host, slash));
    if (cors === undefined) {
      const message = "Pages of this origin may not call this server (cors)";
      return refusal(new Unanswerable(403, "permission_denied", message), []);
    }
    if (request.method === "OPTIONS") return this.#preflight(request, cors);
    // Now: Deno.serve does not tell once a request has ended.
    const from = info?.remoteAddr;
    const received = { request, from, route, cors, mark, time: performance.now() };
    if (this.#entrance.options.authenticate !== undefined) return this.#authenticated(received);
    return this.#call(received, undefined, received.time);
  }

  #call(
    received: Received,
    identity: Identity | undefined,
    accepted: number,
  ): Response | Promise<Response> {
    const { request, cors } = received;
    const asked = this.#negotiate(received);
    if (asked instanceof Unanswerable) return refusal(asked, cors);
    if (asked.form === EVENTS && request.headers.get("last-event-id") === LAST_EVENT_ID) {
      return new Response(null, { status: 204, headers: [...cors] });
    }
    return this.#exchange(received, asked, identity, accepted).respond();
  }

  #exchange(
    { request, from, cors, time }: Received,
    asked: Asked,
    identity: Identity | undefined,
    accepted: number,
  ): Exchange {
    return new Exchange(this.#entrance, request, from, asked, identity, cors, time, accepted);
  }

  #negotiate({ request: { method, headers, url }, route, mark }: Received): Asked | Unanswerable {
    if (method === "POST") return negotiate(route, headers);
    if (method !== "GET" && method !== "HEAD") return notAllowed(route);
    return negotiateGet(route, headers, mark < 0 ? "" : url.slice(mark + 1));
  }

  /** Calls `authenticate` first, so that callers it refuses do not learn which methods there are. */
  #authenticated(received: Received): Response | Promise<Response> {
    const { request, from } = received;
    const [, token] = BEARER.exec(request.headers.get("authorization") ?? "") ?? [];
    let verdict: Verdict | PromiseLike<Verdict>;
    try {
      verdict = this.#entrance.options.authenticate!(token, addressOf(from), undefined);
    } catch (error) {
      return this.#refuse(received, error);
    }
    return isThenable(verdict) ? this.#awaited(received, verdict) : this.#judged(received, verdict);
  }

  #awaited(received: Received, verdict: PromiseLike<Verdict>): Promise<Response> {
    let signal: AbortSignal | undefined;
    let done = false;
    ifSlow(() => done, () => signal = received.request.signal);
    const { arrivals, options: { handshakeTimeout } } = this.#entrance;
    return inTime(verdict, handshakeTimeout, arrivals).then((verdict) => {
      done = true;
      if (signal?.aborted) return new Response(null, { status: CLIENT_LEFT });
      return this.#judged(received, verdict);
    }, (error) => {
      done = true;
      return this.#refuse(received, error);
    });
  }

  #judged(received: Received, verdict: Verdict): Response | Promise<Response> {
    let answer: Verdict;
    try {
      answer = checkIdentity(verdict ?? false);
    } catch (error) {
      return this.#refuse(received, error);
    }
    if (answer === false) return this.#refuse(received, undefined);
    return this.#call(received, answer === true ? undefined : answer, performance.now());
  }

  /** @param error Why; undefined = `authenticate` does not accept the token */
  #refuse(received: Received, error: unknown): Promise<Response> {
    const { log, onUnauthenticated } = this.#entrance.options;
    const refusal = isRpcError(error) ? error : new RpcError("unauthenticated", "The token is not accepted");
    // Otherwise the server has ended meanwhile.
    if (error === undefined || error !== this.#entrance.refusal) {
      const why = error === undefined || isRpcError(error) ? refusal.message : "authenticate failed";
      log?.(`Refused ${addressOf(received.from)}: ${why}`, error);
      onUnauthenticated();
    }
    const asked = this.#negotiate(received);
    const form = asked instanceof Unanswerable ? undefined : asked.form;
    const { method, target } = received.route;
    const refused: Asked = { method, target, args: "none", items: "envelopes", form };
    return this.#exchange(received, refused, undefined, performance.now()).refuse(refusal);
  }

  #preflight(request: Request, cors: HeaderList): Response {
    const headers = [...cors];
    if (request.headers.has("access-control-request-method")) {
      headers.push(...this.#crossSite.preflightHeaders(request.headers));
    } else {
      headers.push(["allow", "GET, HEAD, POST, OPTIONS"]);
    }
    return new Response(null, { status: 204, headers });
  }

  /** The method that a path names. Unknown names of methods have a route, too, so that interceptors see their calls. */
  #find(path: string, httpMethod: string): Route | undefined {
    if (!path.startsWith(this.#prefix)) return undefined;
    const match = CALL_PATH.exec(decoded(path.slice(this.#prefix.length)));
    if (match === null) return undefined;
    const [, service = "", key = ""] = match;
    const method = `${service}.${key}`;
    const { services } = this.#entrance.options;
    if (!services.services.get(service)?.methods.includes(key)) {
      if (SERVED_ELSEWHERE.has(path) && httpMethod !== "POST") return undefined;
      return { method, target: undefined, kind: undefined, readOnly: false };
    }
    const contract = this.#entrance.contractMethod(method);
    const target = services.find(method);
    const route: Route = {
      method,
      target,
      kind: contract?.kind,
      readOnly: contract?.readOnly ?? false,
      unary: { method, target, args: "body", items: "envelopes", form: undefined },
    };
    this.#routes.set(path, route);
    return route;
  }

  #answerOther(request: Request, info: FetchInfo | undefined, path: string): Response | Promise<Response> {
    const { method } = request;
    if (SERVED_ELSEWHERE.has(path) || method === "GET" || method === "HEAD") {
      return this.#entrance.options.fetch(request, info);
    }
    const message = `Nothing is called at this path: expected POST ${this.#prefix}/Service/method`;
    return refusal(new Unanswerable(404, "unimplemented", message), []);
  }
}

/** The path as names are written; empty if it is not written in the one way in which URLs write it. */
function decoded(path: string): string {
  if (!path.includes("%")) return path;
  try {
    const plain = decodeURI(path);
    // Otherwise a proxy that lets requests pass by their path would see another method.
    return encodeURI(plain) === path ? plain : "";
  } catch {
    return "";
  }
}

function refusal({ status, code, message, headers }: Unanswerable, cors: HeaderList): Response {
  const all = [["content-type", "application/json"], ...headers, ...cors] as HeaderList;
  return new Response(JSON.stringify({ code, message }), { status, headers: all });
}

/** Waits for the verdict of `authenticate`, up to `timeout` ms, and while the server accepts calls. */
function inTime(
  verdict: PromiseLike<Verdict>,
  timeout: number,
  arrivals: Arrivals,
): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const now = performance.now();
    const waiting: Arriving = {
      due: now + timeout,
      slot: -1,
      onOverdue(ended) {
        arrivals.delete(waiting);
        const message = `authenticate took longer than ${timeout} ms (handshakeTimeout)`;
        reject(ended ?? new RpcError("deadline_exceeded", message));
      },
    };
    arrivals.add(waiting, now);
    Promise.resolve(verdict).then((verdict) => {
      arrivals.delete(waiting);
      resolve(verdict);
    }, (error) => {
      arrivals.delete(waiting);
      reject(error);
    });
  });
}
