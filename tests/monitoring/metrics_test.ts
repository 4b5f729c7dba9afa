// What a server reports to Prometheus: the format, as a reader of these tests and promtool take it, and the
// figures.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Latency } from "../../call/latency.ts";
import { connect, RpcError, Server, type ServerStats } from "../../mod.ts";
import { metricsText } from "../../monitoring/server_metrics.ts";
import { busy, clientOf, type Family, metricsOf, ODD, parse, valueOf } from "../support/metrics_reader.ts";
import { fails } from "../support/session_pair.ts";

Deno.test("metrics: the values are those of the server", async () => {
  await using at = await busy();
  const metrics = await metricsOf(at.server);
  const value = (name: string, labels?: Record<string, string>) =>
    valueOf(metrics, `rpc_server_${name}`, labels);
  assertEquals(value("calls_total", { method: "S.ok" }), 10);
  assertEquals(value("errors_total", { method: "S.fail", code: "aborted" }), 3);
  assertEquals(value("errors_total", { method: "S.fail", code: "internal" }), 1);
  assertEquals(metrics.get("rpc_server_errors_total")!.samples.length, 2, "none for what never failed");
  assertEquals(
    [value("call_errors_total", { method: "S.fail" }), value("call_errors_total", { method: "S.ok" })],
    [4, 0],
  );
  assertEquals(
    [value("calls_in_flight", { method: "S.wait" }), value("calls_in_flight", { method: "S.ok" })],
    [1, 0],
  );
  assertEquals(value("call_duration_seconds_count", { method: "S.ok" }), 10);
  assertEquals([value("connections"), value("connections_accepted_total"), value("accept_errors_total")], [
    1,
    1,
    0,
  ]);
  assertEquals(value("connections_refused_total", { reason: "unauthenticated" }), 1);
  assertEquals(value("connections_refused_total", { reason: "max_connections_per_peer" }), 0);
  assertEquals(value("limits_met_total", { limit: "max_in_flight_total" }), 0);
  assertEquals(value("unsent_bytes"), 0);
  assert(value("uptime_seconds")! > 0 && value("uptime_seconds")! < 60);
  assert(value("event_loop_delay_seconds")! >= 0 && value("event_loop_delay_seconds")! < 5);
  const stats = at.server.stats();
  const sum = stats.methods.find(({ method }) => method === "S.ok")!.latency.sum / 1_000;
  assertEquals(value("call_duration_seconds_sum", { method: "S.ok" }), sum);
});

Deno.test("metrics: counters are there at 0 before anything is counted, so that the first errors are an increase", async () => {
  await using server = new Server().register("S", {
    fail: () => {
      throw new RpcError("not_found", "No");
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const first = await metricsOf(server);
  for (const [name, { type, samples }] of first) {
    if (type !== "counter" || name === "rpc_server_errors_total") continue;
    assert(samples.length > 0 && samples.every(({ value }) => value === 0), name);
  }
  await using client = await connect(address);
  for (let n = 0; n < 500; n++) await fails(client.call("S.fail"), "not_found");
  const errors = (metrics: Map<string, Family>) => {
    return valueOf(metrics, "rpc_server_call_errors_total", { method: "S.fail" });
  };
  assertEquals(errors(first), 0);
  // Figures are computed again some 90 ms after the last ones.
  let later = first;
  while (errors(later) === 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    later = await metricsOf(server);
  }
  assertEquals(errors(later), 500);
});

Deno.test("metrics: a method's name is escaped within its label", async () => {
  await using at = await busy();
  const metrics = await metricsOf(at.server);
  for (const name of ODD) {
    assertEquals(
      valueOf(metrics, "rpc_server_calls_total", { method: `Odd.${name}` }),
      1,
      JSON.stringify(name),
    );
  }
  assertEquals([...metrics.keys()].filter((name) => !name.startsWith("rpc_server_")), []);
});

Deno.test("metrics: counters end in _total, and others do not", async () => {
  await using at = await busy();
  for (const [name, { type, help }] of await metricsOf(at.server)) {
    assertMatch(type, /^(counter|gauge|histogram)$/, name);
    assertEquals(name.endsWith("_total"), type === "counter", name);
    assert(help.length > 10 && !help.endsWith("."), name);
  }
});

Deno.test("metrics: shown clients have metrics, other shown objects have none", async () => {
  await using server = new Server();
  const before = (await metricsOf(server)).size;
  server.show("cache", { stats: () => ({ entries: 5, endpoints: [null] }) });
  assertEquals((await metricsOf(server)).size, before);
  await using of = await clientOf(server);
  const metrics = await metricsOf(server);
  const value = (name: string, labels = {}) =>
    valueOf(metrics, `rpc_client_${name}`, { client: 'the "shop"', ...labels });
  assertEquals(value("endpoints", { state: "ready" }), 2);
  assertEquals(value("endpoints", { state: "failing" }), 1);
  assertEquals(value("endpoints", { state: "connecting" }), 0);
  assertEquals([value("endpoints_ejected"), value("connections"), value("calls_pending")], [1, 2, 0]);
  const { retries, refusedRetries } = of.client.stats();
  assert(retries > 0);
  assertEquals([value("retries_total"), value("retries_refused_total")], [retries, refusedRetries]);
  assertEquals(value("limits_met_total", { limit: "heartbeat_timeout" }), 0);
});

const ROOT = new URL("../..", import.meta.url);

Deno.test("docs: docs/MONITORING.md lists every metric, with its kind and its labels, and no other", async () => {
  await using at = await busy();
  await using _of = await clientOf(at.server);
  const text = await Deno.readTextFile(new URL("docs/MONITORING.md", ROOT));
  const rows = text.matchAll(/^\| `(rpc_[a-z_]+)` +\| (counter|gauge|histogram) +\| (.*?) *\|/gm);
  const documented = Array.from(rows, ([, name, type, labels]) => [name, type, labels!.replaceAll("`", "")]);
  const actual = Array.from(await metricsOf(at.server), ([name, { type, samples }]) => {
    const labels = new Set(samples.flatMap(({ labels }) => Object.keys(labels)));
    return [name, type, [...labels].filter((label) => label !== "le").join(", ")];
  });
  assertEquals(documented, actual);
});

/** The histogram that comes of durations in ms. */
function histogram(durations: readonly number[]): [le: string, calls: number][] {
  const latency = new Latency();
  for (const ms of durations) latency.record(ms, 1);
  const figures = {
    uptime: 0,
    connections: 0,
    handshakes: 0,
    accepted: 0,
    probes: 0,
    acceptErrors: 0,
    unsentBytes: 0,
  };
  const method = {
    method: "S.m",
    calls: 0,
    errors: 0,
    errorCodes: {},
    inFlight: 0,
    latency: latency.summary(),
  };
  const stats = { ...figures, refusals: {}, limits: {}, methods: [method] } as unknown as ServerStats;
  return parse(metricsText(stats, 0)).get("rpc_server_call_duration_seconds")!.samples
    .filter(({ name }) => name.endsWith("_bucket")).map(({ labels, value }) => [labels.le!, value]);
}

Deno.test("metrics: buckets are cumulative, and the last one holds everything", () => {
  const bounds = histogram([]).map(([le]) => Number(le === "+Inf" ? Infinity : le));
  assertEquals([bounds[0], bounds.at(-2), bounds.at(-1)], [0.000064, 16.777216, Infinity]);
  assertEquals(bounds.length, 20);
  for (const [at, bound] of bounds.slice(1, -1).entries()) assertEquals(bound, bounds[at]! * 2);
  // What is recorded at a bound is in its bucket (`le`), and what is a little longer is in the next.
  for (const bound of bounds.slice(0, -1)) {
    const counts = histogram([bound * 1_000, bound * 1_000 * 1.001]);
    const at = counts.findIndex(([le]) => Number(le) === bound);
    assertEquals(counts[at]![1], 1, `${bound}`);
    assertEquals(counts[at + 1]![1], 2, `${bound}`);
    assertEquals(counts[at - 1]?.[1] ?? 0, 0, `${bound}`);
  }
  const many = histogram([0, 0.0001, 0.05, 1, 1, 1, 20_000, 100_000_000]);
  const counts = many.map(([, calls]) => calls);
  assertEquals(counts, counts.toSorted((a, b) => a - b));
  assertEquals([counts[0], counts.at(-2), counts.at(-1)], [3, 6, 8]);
});
