// HTTP requests to a server: the page and figures of monitoring, and WebSockets for RPC. Owned by a Server, for its
// `fetch` and for requests on `http@` addresses.

import type { Log } from "../call/log.ts";
import { DEBUG_PATH, type Monitoring } from "../monitoring/monitoring.ts";
import type { RefusalReason } from "../monitoring/refusals.ts";
import type { Conn } from "../transport/conn.ts";
import { methodNotAllowed, RPC_PATH } from "../transport/http.ts";
import { requestUrl } from "../transport/request_url.ts";
import { askerOf, type FetchInfo, lastResponse } from "../transport/unread_responses.ts";
import { asksForWebSocket } from "../transport/websocket_handshake.ts";
import type { AllowedOrigins } from "./allowed_origins.ts";
import { HEALTH_PATH, type ServerHealth } from "./server_health.ts";
import { peerOf, upgrade } from "./upgrade.ts";

/** Options of {@linkcode HttpRequests}. */
export interface HttpRequestsOptions {
  readonly monitoring: Monitoring;
  readonly health: ServerHealth;
  /** The origins whose pages may open a WebSocket. */
  readonly origins: AllowedOrigins;
  /** Bytes that may wait to be read of one WebSocket. */
  readonly maxHeld: number;
  readonly log: Log | undefined;
  /** Whether the server is shutting down, or closed. */
  readonly closing: () => boolean;
  /** Takes the connection of a WebSocket. */
  readonly take: (conn: Conn) => void;
  /** The limit that leaves no room for another WebSocket. */
  readonly limitFor: (peer: string) => RefusalReason | undefined;
  /** Counts a WebSocket that was refused. */
  readonly refuse: (reason: RefusalReason) => void;
}

/** Answers the HTTP requests of one server. */
export class HttpRequests {
  readonly #options: HttpRequestsOptions;

  constructor(options: HttpRequestsOptions) {
    this.#options = options;
  }

  /** Answers any request, as {@linkcode Server.fetch} says. Never rejects. */
  async fetch(request: Request, info: FetchInfo | undefined): Promise<Response> {
    try {
      return this.#upgrade(request, info) ?? await this.answer(request, askerOf(info));
    } catch (error) {
      this.#options.log?.("A request could not be answered", error);
      return new Response("The request could not be answered\n", { status: 500 });
    }
  }

  /** Answers a request that opens no WebSocket. */
  answer(request: Request, peer: string): Response | Promise<Response> {
    const url = requestUrl(request.url, request.headers.get("host"));
    if (url === undefined) {
      return new Response("Cannot parse the request target or the Host header\n", { status: 400 });
    }
    const { pathname } = url;
    if (this.#options.monitoring.has(pathname)) return this.#options.monitoring.answer(request, url, peer);
    if (pathname === HEALTH_PATH) return this.#options.health.answer(request, url);
    if (pathname === RPC_PATH) return methodNotAllowed();
    if (request.method === "POST") {
      const where = 'Calls over HTTP are answered by web() of "@troodon/rpc/web", which Deno.serve takes';
      return Response.json({ code: "unimplemented", message: where }, { status: 421 });
    }
    const see = this.#options.monitoring.has(DEBUG_PATH) ? `; see ${DEBUG_PATH}` : "";
    return new Response(`Nothing is served at ${pathname}${see}\n`, { status: 404 });
  }

  /** Refuses a WebSocket that a page of another origin asks for; undefined if it may open one. */
  refuseWebSocket(headers: Headers, peer: string, host?: string): Response | undefined {
    if (this.#options.origins.allows(headers, host)) return undefined;
    this.#options.log?.(`Refused ${peer}: its page's origin is not in the option origins`);
    return new Response("Pages of this origin may not call this server\n", { status: 403 });
  }

  /** The response that opens a WebSocket; undefined if the request is not for one. */
  #upgrade(request: Request, info: FetchInfo | undefined): Response | undefined {
    if (!asksForWebSocket(request)) return undefined;
    const url = requestUrl(request.url, request.headers.get("host"));
    if (url?.pathname !== RPC_PATH) return undefined;
    const refused = this.refuseWebSocket(request.headers, askerOf(info), url.host);
    if (refused !== undefined) {
      this.#options.refuse("http");
      return refused;
    }
    if (typeof Deno === "undefined") {
      const advice = "listen on an address with http@, which takes WebSockets, and dial that port";
      return new Response(`Only Deno opens a WebSocket for a request: ${advice}\n`, { status: 501 });
    }
    if (this.#options.closing()) {
      this.#options.refuse("closing");
      return new Response("The server is shutting down\n", { status: 503 });
    }
    const limit = this.#options.limitFor(peerOf(request, info));
    if (limit !== undefined) {
      this.#options.refuse(limit);
      this.#options.log?.(`Refused ${askerOf(info)}: there are too many connections (${limit})`);
      return lastResponse(`There are too many connections (${limit})\n`, 503, {});
    }
    const upgraded = upgrade(request, info, this.#options.maxHeld);
    if (upgraded === undefined) return undefined;
    this.#options.take(upgraded.conn);
    return upgraded.response;
  }
}
