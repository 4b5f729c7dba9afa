// Prometheus metrics of a registry, served at /metrics. Used by registry.ts.

import { family, labels, type Sample } from "../monitoring/metrics_text.ts";
import type { LeaseList } from "./store.ts";

/** Counters besides the list. */
export interface RegistryCounters {
  /** Open watches. */
  watchers: number;
  /** Watches that were canceled because their clients did not read. */
  stalled: number;
  /** Answered requests, by method and status. */
  requests: ReadonlyMap<string, number>;
}

/** Metrics of the list. */
export function listMetrics({ revision, leases }: LeaseList): string {
  const states = new Map([["active", 0], ["paused", 0], ["draining", 0]]);
  const services = new Map<string, number>();
  for (const { instance, state } of leases) {
    count(states, state);
    if (state === "active") { for (const name of instance.services ?? []) count(services, name); }
  }
  return [
    family("registry_revision", "gauge", "The revision of the list", [["", revision]]),
    family("registry_instances", "gauge", "Servers on the list", byLabel("state", states)),
    family(
      "registry_service_instances",
      "gauge",
      "Servers that take calls for a service",
      byLabel("service", services),
    ),
  ].join("");
}

/** Metrics that do not depend on the list. */
export function otherMetrics(figures: RegistryCounters): string {
  return [
    family("registry_watchers", "gauge", "Open watches", [["", figures.watchers]]),
    family(
      "registry_watchers_stalled_total",
      "counter",
      "Watches that were canceled because their clients did not read",
      [
        ["", figures.stalled],
      ],
    ),
    family("registry_requests_total", "counter", "Requests answered", [...figures.requests]),
  ].join("");
}

/**
 * The labels of a request in `RegistryCounters.requests`. Bounded, because methods come from untrusted
 * clients.
 */
export function requestLabels(method: string, status: number): string {
  const known = ["GET", "HEAD", "POST", "DELETE"].includes(method) ? method : "other";
  return labels({ method: known, status: String(status) });
}

/** Increments a counter. */
export function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function byLabel(label: string, counts: ReadonlyMap<string, number>): Sample[] {
  return Array.from(counts, ([value, number]) => [labels({ [label]: value }), number]);
}
