// The monitoring pages of a server: /debug/rpc as a page or JSON, and /metrics for Prometheus. Decides what a request
// may see, and writes the response; read-only. Owned by a Server.

import type { Log } from "../call/log.ts";
import { clientFigures, clientMetricsText } from "./client_metrics.ts";
import { SHOWN_HEADERS } from "./html_page.ts";
import { metricsText } from "./server_metrics.ts";
import { METRICS_TYPE } from "./metrics_text.ts";
import { cachedFor, STATS_SHARED_FOR } from "./cached_for.ts";
import type { StatsSources } from "./stats_sources.ts";
import type { ServerSnapshot, ServerStats } from "./server_stats.ts";
import { UnreadResponses } from "../transport/unread_responses.ts";
import type { Visibility, VisibilityRule } from "./visibility.ts";

/** The path of the page. */
export const DEBUG_PATH = "/debug/rpc";
/** The path of the metrics. */
export const METRICS_PATH = "/metrics";

/** The server's data. */
export interface MonitoringSource {
  /** The stats, which may be cached for a moment. */
  stats(): ServerStats;
  /** The current stats, with running calls and connections. */
  snapshot(): ServerSnapshot;
}

/** The format of a response. */
type Form = "metrics" | "html" | "page" | "json";

/** Answers requests for the monitoring pages. */
export class Monitoring {
  readonly #source: MonitoringSource;
  readonly #shown: StatsSources;
  readonly #rule: false | VisibilityRule;
  readonly #log: Log | undefined;
  readonly #unread = new UnreadResponses();
  readonly #ownMetrics: () => Promise<Uint8Array<ArrayBuffer>>;
  /** What every request may see, cached in each format. */
  readonly #figures: Readonly<Record<Form, () => Promise<Uint8Array<ArrayBuffer>>>>;

  /** @param rule What requests may see; false = the pages do not exist */
  constructor(
    source: MonitoringSource,
    shown: StatsSources,
    rule: false | VisibilityRule,
    log: Log | undefined,
  ) {
    this.#source = source;
    this.#shown = shown;
    this.#rule = rule;
    this.#log = log;
    this.#ownMetrics = cachedFor(STATS_SHARED_FOR, async () => {
      const delay = await eventLoopDelay();
      return encode(metricsText(source.stats(), delay));
    });
    const written = (form: Form) => cachedFor(STATS_SHARED_FOR, () => this.#write(form, source.stats()));
    this.#figures = {
      metrics: () => this.#metrics(),
      html: written("html"),
      page: written("page"),
      json: written("json"),
    };
  }

  /** Whether a path is one of the pages. */
  has(pathname: string): boolean {
    return this.#rule !== false && (pathname === DEBUG_PATH || pathname === METRICS_PATH);
  }

  /** Answers a request for one of the pages. Never rejects. */
  async answer(request: Request, { pathname, searchParams }: URL, peer: string): Promise<Response> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("The page is read-only\n", { status: 405, headers: { allow: "GET, HEAD" } });
    }
    const visibility = await this.#visibility(request, peer);
    if (visibility instanceof Response) return visibility;
    if (visibility === false) {
      return new Response("This is not shown to you\n", { status: 403, headers: SHOWN_HEADERS });
    }
    const as = searchParams.get("as");
    const asJson = as === "json" || request.headers.get("accept")?.includes("application/json");
    const form = pathname === METRICS_PATH ? "metrics" : as === "page" ? as : asJson ? "json" : "html";
    const body = visibility === true && form !== "metrics"
      ? this.#write(form, this.#source.snapshot())
      : this.#figures[form]();
    const headers = form === "html"
      ? await (await loadDocument()).documentHeaders()
      : { ...SHOWN_HEADERS, "content-type": form === "metrics" ? METRICS_TYPE : "application/json" };
    return this.#unread.response(await body, headers, peer) ??
      new Response("Too much waits to be read by others\n", { status: 503, headers: { "retry-after": "1" } });
  }

  /** Encodes stats in a format. */
  async #write(form: Form, stats: ServerStats | ServerSnapshot): Promise<Uint8Array<ArrayBuffer>> {
    if (form === "json") return encode(JSON.stringify(stats));
    const { pageOf, documentOf } = await loadDocument();
    return encode(form === "html" ? documentOf(stats) : JSON.stringify(pageOf(stats)));
  }

  /** The metrics of the server, which are cached, and of the clients that it shows. */
  async #metrics(): Promise<Uint8Array<ArrayBuffer>> {
    const own = await this.#ownMetrics();
    const ofClients = clientMetricsText(this.#shown.read(clientFigures));
    return ofClients === "" ? own : encode(new TextDecoder().decode(own) + ofClients);
  }

  async #visibility(request: Request, peer: string): Promise<Visibility | Response> {
    try {
      const visibility = this.#rule && await this.#rule(request, peer);
      // A copy: the rule may return the same response again.
      if (visibility instanceof Response) return visibility.clone();
      if (visibility === true || visibility === "figures") return visibility;
      // Any other value is not a permission.
      return false;
    } catch (error) {
      this.#log?.("The option monitoring failed, so nothing is shown", error);
      return false;
    }
  }
}

/** Loads the page when a request asks for it: few servers are ever asked, and the page is slow to load. */
function loadDocument() {
  return import("./debug_document.ts");
}

/** The delay of a timer that is due at once, in ms: how busy the event loop is. */
async function eventLoopDelay(): Promise<number> {
  const began = performance.now();
  await new Promise<void>((resolve) => setTimeout(resolve, 0));
  return performance.now() - began;
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
