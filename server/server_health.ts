// Whether a server, or one of its services, accepts calls: answers rpc.Health, and /healthz for probes that speak only HTTP.

import type { ContractHandlers } from "../call/contract_methods.ts";
import { RpcError } from "../call/error.ts";
import type { Health, HealthReport, HealthRequest, HealthStatus } from "../call/health.ts";
import { quoted } from "../call/method_name.ts";
import type { ServiceTable } from "../call/service.ts";

/** Where probes that speak HTTP ask. */
export const HEALTH_PATH = "/healthz";

const STATUSES: readonly unknown[] = ["serving", "not_serving"] satisfies HealthStatus[];

/** The health of one server. */
export class ServerHealth {
  readonly #services: ServiceTable;
  readonly #stopping: AbortSignal;
  /** What the application has set, by service; "" is the whole server. */
  readonly #statuses = new Map<string, HealthStatus>();
  /** Called at each change. */
  readonly #watchers = new Set<() => void>();

  /** @param stopping Aborts when the server begins to shut down */
  constructor(services: ServiceTable, stopping: AbortSignal) {
    this.#services = services;
    this.#stopping = stopping;
    stopping.addEventListener("abort", () => this.#notify(), { once: true });
  }

  /**
   * Sets the status of a service, or of the whole server.
   *
   * @throws {TypeError} If the service is not registered, or the status is invalid
   */
  set(status: HealthStatus, service?: string): void {
    if (!STATUSES.includes(status)) {
      throw new TypeError('Cannot set health: expected "serving" or "not_serving"');
    }
    if (service !== undefined && !this.#services.services.has(service)) {
      throw new TypeError(`Cannot set health: there is no service ${quoted(String(service))}`);
    }
    this.#statuses.set(service ?? "", status);
    this.#notify();
  }

  /** The handlers of `rpc.Health`. */
  handlers(): ContractHandlers<typeof Health> {
    return {
      check: (request) => this.#report(serviceIn(request)),
      watch: (request, { signal }) => this.#watch(serviceIn(request), signal),
    };
  }

  /** Answers a probe: 200 if calls are accepted, 503 if not, 404 for an unknown service. */
  answer(request: Request, { searchParams }: URL): Response {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("Health is read-only\n", { status: 405, headers: { allow: "GET, HEAD" } });
    }
    const headers = { "cache-control": "no-store" };
    try {
      const report = this.#report(searchParams.get("service") ?? "");
      return Response.json(report, { status: report.status === "serving" ? 200 : 503, headers });
    } catch (error) {
      const { code, message } = error as RpcError;
      return Response.json({ code, message }, { status: 404, headers });
    }
  }

  #report(service: string): HealthReport {
    if (service !== "" && !this.#services.services.has(service)) {
      throw new RpcError("not_found", `There is no service ${quoted(service)}`);
    }
    const isServing = !this.#stopping.aborted && this.#isServing("") && this.#isServing(service);
    return { status: isServing ? "serving" : "not_serving" };
  }

  #isServing(service: string): boolean {
    return this.#statuses.get(service) !== "not_serving";
  }

  async *#watch(service: string, canceled: AbortSignal): AsyncGenerator<HealthReport> {
    let wake = () => {};
    const changed = () => wake();
    this.#watchers.add(changed);
    canceled.addEventListener("abort", changed);
    let last: HealthStatus | undefined;
    try {
      for (;;) {
        const report = this.#report(service);
        if (report.status !== last) yield report;
        last = report.status;
        // A server that shuts down does not wait for those who watch it.
        if (this.#stopping.aborted || canceled.aborted) return;
        if (this.#report(service).status === last) await new Promise<void>((resolve) => wake = resolve);
      }
    } finally {
      this.#watchers.delete(changed);
    }
  }

  #notify(): void {
    for (const changed of [...this.#watchers]) changed();
  }
}

/** The service that a request names; "" is the whole server. */
function serviceIn(request: HealthRequest | void): string {
  const service: unknown = (request as HealthRequest | null | undefined)?.service ?? "";
  if (typeof service === "string") return service;
  throw new RpcError("invalid_argument", "Cannot check health: expected { service: text }, or nothing");
}
