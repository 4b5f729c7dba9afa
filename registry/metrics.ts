// What a registry tells Prometheus at /metrics.
// https://prometheus.io/docs/instrumenting/exposition_formats/

import type { LeaseList } from "./store.ts";

/** What is counted beside the list. */
export interface RegistryFigures {
  /** Open watches. */
  watchers: number;
  /** Watches that were cut because nobody read them. */
  stalled: number;
  /** Requests answered, by method and status. */
  requests: ReadonlyMap<string, number>;
}

/** The text of the page. */
export function metricsText({ revision, leases }: LeaseList, figures: RegistryFigures): string {
  const states = new Map([["active", 0], ["paused", 0], ["draining", 0]]);
  const services = new Map<string, number>();
  for (const { instance, state } of leases) {
    count(states, state);
    if (state === "active") { for (const name of instance.services ?? []) count(services, name); }
  }
  return [
    family("registry_revision", "gauge", "The revision of the list", [["", revision]]),
    family("registry_instances", "gauge", "Servers on the list", labelled("state", states)),
    family(
      "registry_service_instances",
      "gauge",
      "Servers that take calls for a service",
      labelled("service", services),
    ),
    family("registry_watchers", "gauge", "Open watches", [["", figures.watchers]]),
    family("registry_watchers_stalled_total", "counter", "Watches that were cut because nobody read them", [
      ["", figures.stalled],
    ]),
    family("registry_requests_total", "counter", "Requests answered", [...figures.requests]),
  ].join("");
}

/** The labels of a request in `RegistryFigures.requests`. Bounded: methods come from strangers. */
export function requestLabels(method: string, status: number): string {
  const known = ["GET", "HEAD", "POST", "DELETE"].includes(method) ? method : "other";
  return `{method="${known}",status="${status}"}`;
}

/** Adds one to what is counted of a name. */
export function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function labelled(label: string, counts: ReadonlyMap<string, number>): [string, number][] {
  return Array.from(counts, ([value, number]) => [`{${label}="${escape(value)}"}`, number]);
}

function family(name: string, type: string, help: string, samples: readonly [string, number][]): string {
  const lines = samples.map(([labels, value]) => `${name}${labels} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escape(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => character === "\n" ? "\\n" : `\\${character}`);
}
