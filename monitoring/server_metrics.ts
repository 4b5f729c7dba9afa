// Prometheus metrics of a server itself. Those of the clients that it shows are in client_metrics.ts.

import { PER_OCTAVE } from "../call/latency.ts";
import type { LatencySummary, MethodStats } from "../call/method_stats.ts";
import { family, head, labelled, labels, line, pair, type Sample } from "./metrics_text.ts";
import type { ServerStats } from "./server_stats.ts";

/**
 * The upper bounds of the histogram's buckets, in µs: powers of two, from 64 µs to 17 s. They are also bounds in
 * call/latency.ts, so that no bucket has to be interpolated.
 */
const BOUNDS: readonly number[] = Array.from({ length: 19 }, (_, at) => 2 ** (at + 6));
/** The tolerance, as a factor, for rounded bounds. */
const HALF_BUCKET = 2 ** (1 / (2 * PER_OCTAVE));

/**
 * Returns the metrics text.
 *
 * @param delay How late a timer was, in ms
 */
export function metricsText(stats: ServerStats, delay: number): string {
  const { methods } = stats;
  return [
    family(
      "rpc_server_calls_total",
      "counter",
      "Calls whose handler was started",
      byMethod(methods, ({ calls }) => calls),
    ),
    family(
      "rpc_server_call_errors_total",
      "counter",
      "Of these, calls that were answered with an error or ended without an answer",
      byMethod(methods, ({ errors }) => errors),
    ),
    family(
      "rpc_server_errors_total",
      "counter",
      "The same by the code of the error, once there is one",
      methods.flatMap(errorSamples),
    ),
    family(
      "rpc_server_calls_in_flight",
      "gauge",
      "Calls whose handler has not returned",
      byMethod(methods, (each) => each.inFlight),
    ),
    durations(methods),
    single(
      "rpc_server_unknown_methods_total",
      "counter",
      "Calls of methods that this server does not have",
      stats.unknownMethods,
    ),
    single("rpc_server_connections", "gauge", "Connections that are open", stats.connections),
    single("rpc_server_handshakes", "gauge", "Connections whose handshake is not done", stats.handshakes),
    single(
      "rpc_server_connections_accepted_total",
      "counter",
      "Connections whose handshake succeeded",
      stats.accepted,
    ),
    family(
      "rpc_server_connections_refused_total",
      "counter",
      "Connections refused, or lost before their handshake was done, by reason",
      labelled("reason", { ...stats.refusals }),
    ),
    single(
      "rpc_server_probes_total",
      "counter",
      "Connections that ended before a byte arrived",
      stats.probes,
    ),
    single(
      "rpc_server_accept_errors_total",
      "counter",
      "Times when no connection could be accepted for a while",
      stats.acceptErrors,
    ),
    family(
      "rpc_server_limits_met_total",
      "counter",
      "Times when a limit was met",
      labelled("limit", { ...stats.limits }),
    ),
    single(
      "rpc_server_unsent_bytes",
      "gauge",
      "Bytes that wait to be written on all connections together",
      stats.unsentBytes,
    ),
    single(
      "rpc_server_uptime_seconds",
      "gauge",
      "For how long there has been this server",
      stats.uptime / 1_000,
    ),
    single(
      "rpc_server_event_loop_delay_seconds",
      "gauge",
      "How late a timer was that was set when this was asked for",
      delay / 1_000,
    ),
  ].join("");
}

function single(name: string, type: "counter" | "gauge", help: string, value: number): string {
  return family(name, type, help, [["", value]]);
}

function byMethod(methods: readonly MethodStats[], value: (method: MethodStats) => number): Sample[] {
  return methods.map((each) => [labels({ method: each.method }), value(each)]);
}

function errorSamples({ method, errorCodes }: MethodStats): Sample[] {
  return Object.entries(errorCodes).map(([code, times]) => [labels({ method, code }), times]);
}

/** The durations of calls, as a histogram of cumulative buckets. */
function durations(methods: readonly MethodStats[]): string {
  const name = "rpc_server_call_duration_seconds";
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
    for (; at < spans.length && spans[at]![0] * 1_000 < bound * HALF_BUCKET; at++) calls += spans[at]![1];
    return [String(bound / 1e6), calls];
  });
  return [...buckets, ["+Inf", count]];
}
