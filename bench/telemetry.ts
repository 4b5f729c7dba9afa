// deno-lint-ignore-file no-console -- what it prints is what it is for
// `deno task bench:telemetry`: what a small call costs with OpenTelemetry on, in the ways that docs/TELEMETRY.md tells of,
// beside what it costs off: CPU time of both sides, both measured in turn in one process for each way. A collector that
// reads and forgets runs in this process, whose time is not counted.

import { parseArgs } from "@std/cli";
import type { TelemetryOptions } from "../telemetry/telemetry_options.ts";
import { findCores, Process } from "./process.ts";
import { format, median, replaceBetween, table } from "./report.ts";

const PAGE = "docs/TELEMETRY.md";
const USAGE = `Usage: deno task bench:telemetry [options]

  --rounds N  How often each way is measured, in turn with off (60)
  --write     Put the table into ${PAGE}
`;

/** One way to have telemetry. */
interface Way {
  readonly title: string;
  /** What Deno's OpenTelemetry is told beside that it is on. */
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
  { title: "`telemetry: false`", ...both(false) },
  { title: "every call traced, durations" },
  { title: "every call traced", ...both({ metrics: false }) },
  {
    title: "1 in 100 traced, by the sampler",
    env: { [SAMPLER]: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" },
    ...both({ metrics: false }),
  },
  { title: "none traced, by the sampler", env: { [SAMPLER]: "always_off" }, ...both({ metrics: false }) },
  { title: "1 in 100 traced, by `traces`", ...share(0.01, false) },
  { title: "1 in 1,000 traced, by `traces`", ...share(0.001, false) },
  { title: "none traced, by `traces`", ...share(0, false) },
  { title: "durations alone", env: NO_TRACES },
  { title: "totals alone", env: NO_TRACES, ...both({ metrics: "totals" }) },
  { title: "1 in 1,000 traced, totals", ...share(0.001, "totals") },
];

/** A side may use the network of this machine and read the code, no environment either. */
const COMMAND = [
  "deno",
  "run",
  "--no-prompt",
  "--no-check",
  "--ignore-env",
  "--allow-net=127.0.0.1",
  new URL("telemetry_side.ts", import.meta.url).pathname,
];

async function main(args: readonly string[]): Promise<void> {
  const { rounds, write, help, _: rest } = parseArgs([...args], {
    string: ["rounds"],
    boolean: ["write", "help"],
    default: { rounds: "60" },
  });
  if (help || rest.length > 0 || !(Number(rounds) >= 1)) {
    console.error(USAGE);
    Deno.exit(help ? 0 : 2);
  }
  await using collector = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    await request.arrayBuffer();
    return new Response(null, { headers: { "content-type": "application/x-protobuf" } });
  });
  const on = {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
  };
  const { shared } = await findCores();
  const rows: string[][] = [];
  for (const { title, env, server, client } of WAYS) {
    const command = [...COMMAND, JSON.stringify({ server, client }), rounds];
    await using side = new Process(command, shared, { ...on, ...env });
    const taken = await side.next<{ off: number[]; on: number[] }>();
    const more = median(taken.on.map((cpu, round) => cpu / taken.off[round]!)) - 1;
    rows.push([
      title,
      format(Math.min(...taken.off)),
      format(Math.min(...taken.on)),
      `${(more * 100).toFixed(0)} %`,
    ]);
  }
  const text = table(["", "off, least µs", "on, least µs", "more"], rows);
  console.log(text);
  if (write) await Deno.writeTextFile(PAGE, replaceBetween(await Deno.readTextFile(PAGE), "telemetry", text));
}

await main(Deno.args);
