// What a server tells Prometheus at /metrics, in its text format 0.0.4.
// https://prometheus.io/docs/instrumenting/exposition_formats/

import type { LatencySummary, MethodStats } from "../call/stats.ts";
import type { ServerStats } from "./stats.ts";

/** The media type of the text. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * The upper ends of the histogram's buckets, in µs: powers of two, from 64 µs to 17 s. The buckets of call/latency.ts end
 * there too, so that nothing has to be guessed.
 */
const BOUNDS: readonly number[] = Array.from({ length: 19 }, (_, at) => 2 ** (at + 6));

/** What comes after a metric's name: its labels in braces, or nothing; and its value. */
type Sample = readonly [labels: string, value: number];

/**
 * The text.
 *
 * @param delay How late a timer was, in ms
 */
export function metricsText(stats: ServerStats, delay: number): string {
  const { methods } = stats;
  return [
    family(
      "calls_total",
      "counter",
      "Calls whose handler was started",
      byMethod(methods, ({ calls }) => calls),
    ),
    family(
      "errors_total",
      "counter",
      "Of these, calls that were answered with an error or ended without an answer, by its code",
      methods.flatMap(errorSamples),
    ),
    family(
      "calls_in_flight",
      "gauge",
      "Calls whose handler has not returned",
      byMethod(methods, (each) => each.inFlight),
    ),
    durations(methods),
    family("connections", "gauge", "Connections that are open", [["", stats.connections]]),
    family("handshakes", "gauge", "Connections whose handshake is not done", [["", stats.handshakes]]),
    family("connections_accepted_total", "counter", "Connections whose handshake succeeded", [[
      "",
      stats.accepted,
    ]]),
    family(
      "connections_refused_total",
      "counter",
      "Connections refused, or lost before their handshake was done, by reason",
      labelled("reason", stats.refusals),
    ),
    family("accept_errors_total", "counter", "Times when no connection could be accepted for a while", [
      ["", stats.acceptErrors],
    ]),
    family("limits_met_total", "counter", "Times when a limit was met", labelled("limit", stats.limits)),
    family("unsent_bytes", "gauge", "Bytes that wait to be written on all connections together", [
      ["", stats.unsentBytes],
    ]),
    family("uptime_seconds", "gauge", "For how long there has been this server", [[
      "",
      stats.uptime / 1_000,
    ]]),
    family("event_loop_delay_seconds", "gauge", "How late a timer was that was set when this was asked for", [
      ["", delay / 1_000],
    ]),
  ].join("");
}

function byMethod(methods: readonly MethodStats[], value: (method: MethodStats) => number): Sample[] {
  return methods.map((each) => [labels({ method: each.method }), value(each)]);
}

function errorSamples({ method, errorCodes }: MethodStats): Sample[] {
  return Object.entries(errorCodes).map(([code, times]) => [labels({ method, code }), times]);
}

function labelled(label: string, counts: object): Sample[] {
  return Object.entries(counts).map(([name, times]) => [labels({ [label]: snakeCase(name) }), times]);
}

/** How long calls took, as a histogram of cumulative buckets. */
function durations(methods: readonly MethodStats[]): string {
  const name = "call_duration_seconds";
  const help = "From the arrival of a call to its answer being handed to the system; of a stream, to its end";
  const samples = methods.map(({ method, latency }) => {
    const { count, sum } = latency;
    const label = pair("method", method);
    return [
      ...cumulative(latency).map(([le, calls]) => line(`${name}_bucket`, `{${label},le="${le}"}`, calls)),
      line(`${name}_sum`, `{${label}}`, sum / 1_000),
      line(`${name}_count`, `{${label}}`, count),
    ].join("");
  });
  return head(name, "histogram", help) + samples.join("");
}

function cumulative({ spans, count }: LatencySummary): [le: string, calls: number][] {
  let at = 0;
  let calls = 0;
  const buckets = BOUNDS.map((bound): [string, number] => {
    // Half a bucket of room for what rounding does to the ends.
    for (; at < spans.length && spans[at]![0] * 1_000 < bound * 1.07; at++) calls += spans[at]![1];
    return [String(bound / 1e6), calls];
  });
  return [...buckets, ["+Inf", count]];
}

function family(name: string, type: "counter" | "gauge", help: string, samples: readonly Sample[]): string {
  return head(name, type, help) + samples.map(([labels, value]) => line(name, labels, value)).join("");
}

function head(name: string, type: string, help: string): string {
  return `# HELP rpc_server_${name} ${help}\n# TYPE rpc_server_${name} ${type}\n`;
}

function line(name: string, labels: string, value: number): string {
  return `rpc_server_${name}${labels} ${value}\n`;
}

function labels(pairs: Readonly<Record<string, string>>): string {
  return `{${Object.entries(pairs).map(([name, value]) => pair(name, value)).join(",")}}`;
}

function pair(label: string, value: string): string {
  return `${label}="${escape(value)}"`;
}

function escape(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => character === "\n" ? "\\n" : `\\${character}`);
}

/** As Prometheus writes names: `maxConnections` is max_connections. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
