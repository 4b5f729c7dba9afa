// deno-lint-ignore-file no-console -- what it prints is what it is for
// `deno task bench:telemetry`: what a small call costs with OpenTelemetry off and on, in the ways that docs/TELEMETRY.md
// tells of: 128 calls in flight over one connection, CPU time of both sides, each way in turn in every round. A collector
// that reads and forgets runs in this process, whose time is not counted.

import { parseArgs } from "@std/cli";
import type { TelemetryOptions } from "../telemetry/options.ts";
import { measure } from "./measure.ts";
import { CONTESTANTS, prepare, Ready } from "./peers.ts";
import { findCores } from "./process.ts";
import { figure, format, median, replaceBetween, table } from "./report.ts";
import { loadOf } from "./workloads.ts";

const PAGE = "docs/TELEMETRY.md";
const USAGE = `Usage: deno task bench:telemetry [options]

  --rounds N  How often each way is measured, in turn (5)
  --write     Put the table into ${PAGE}
`;

/** One way to have telemetry. */
interface Way {
  readonly title: string;
  /** Whether Deno's OpenTelemetry is on, and what else it is told. */
  readonly env?: Readonly<Record<string, string>>;
  readonly server?: boolean | TelemetryOptions;
  readonly client?: boolean | TelemetryOptions;
}

const SAMPLER = "OTEL_TRACES_SAMPLER";
const NO_TRACES = { OTEL_DENO_TRACING: "false" };

function both(telemetry: boolean | TelemetryOptions): Pick<Way, "server" | "client"> {
  return { server: telemetry, client: telemetry };
}

/** Traces that the client begins for a share of its calls, and the server for none. */
function share(traces: number, metrics: false | "totals"): Pick<Way, "server" | "client"> {
  return { server: { traces: 0, metrics }, client: { traces, metrics } };
}

const WAYS: readonly Way[] = [
  { title: "off" },
  { title: "on, `telemetry: false`", env: {}, ...both(false) },
  { title: "on: every call traced, durations", env: {} },
  { title: "every call traced", env: {}, ...both({ metrics: false }) },
  {
    title: "1 in 100 traced, by the sampler",
    env: { [SAMPLER]: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" },
    ...both({ metrics: false }),
  },
  { title: "none traced, by the sampler", env: { [SAMPLER]: "always_off" }, ...both({ metrics: false }) },
  { title: "1 in 100 traced, by `traces`", env: {}, ...share(0.01, false) },
  { title: "1 in 1,000 traced, by `traces`", env: {}, ...share(0.001, false) },
  { title: "durations alone", env: NO_TRACES },
  { title: "totals alone", env: NO_TRACES, ...both({ metrics: "totals" }) },
  { title: "1 in 1,000 traced, totals", env: {}, ...share(0.001, "totals") },
];

async function main(args: readonly string[]): Promise<void> {
  const { rounds, write, help, _: rest } = parseArgs([...args], {
    string: ["rounds"],
    boolean: ["write", "help"],
    default: { rounds: "5" },
  });
  if (help || rest.length > 0 || !(Number(rounds) >= 1)) {
    console.error(USAGE);
    Deno.exit(help ? 0 : 2);
  }
  const ready = await prepare(CONTESTANTS.find(({ name }) => name === "troodon")!, "");
  if (!(ready instanceof Ready)) throw new Error("The bench itself cannot be loaded");
  await using collector = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    await request.arrayBuffer();
    return new Response(null, { headers: { "content-type": "application/x-protobuf" } });
  });
  const on = {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
  };
  const cores = await findCores();
  const taken = WAYS.map(() => [] as number[]);
  for (let round = 0; round < Number(rounds); round++) {
    for (const [i, { env, server, client }] of WAYS.entries()) {
      const load = loadOf({
        kind: "sum",
        outstanding: 128,
        warm: 0.8,
        seconds: 0.5,
        telemetry: { server, client },
      });
      const way = env === undefined ? ready : ready.with({ ...on, ...env });
      taken[i]!.push((await measure(way, { factor: 1, apart: false }, load, cores))!.cpu!);
    }
  }
  const rows = WAYS.map(({ title }, i) => {
    const { least, median: middle } = figure(taken[i]!)!;
    const ratio = median(taken[i]!.map((cpu, round) => cpu / taken[0]![round]!));
    return [title, format(least), format(middle), i === 0 ? "" : `${((ratio - 1) * 100).toFixed(0)} %`];
  });
  const text = table(["", "least µs", "median µs", "more than off"], rows);
  console.log(text);
  if (write) await Deno.writeTextFile(PAGE, replaceBetween(await Deno.readTextFile(PAGE), "telemetry", text));
}

await main(Deno.args);
