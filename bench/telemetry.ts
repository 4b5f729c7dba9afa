// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task bench:telemetry`: the cost of a small call with OpenTelemetry on, in the configurations of
// docs/TELEMETRY.md, compared with off: CPU time of both sides, both measured in turn in one process per
// configuration. A collector that discards everything runs in this process, whose time is not counted.

import { parseArgs } from "@std/cli";
import type { TelemetryOptions } from "../telemetry/telemetry_options.ts";
import { findCores, Process } from "./process.ts";
import { format, median, replaceBetween, table } from "./report.ts";

const PAGE = "docs/TELEMETRY.md";
const USAGE = `Usage: deno task bench:telemetry [options]

  --rounds N  Measurements of each configuration, in turn with off (60)
  --write     Insert the table into ${PAGE}
`;

/** A telemetry configuration. */
interface Configuration {
  readonly title: string;
  /** Environment variables of Deno's OpenTelemetry, in addition to switching it on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly server?: boolean | TelemetryOptions;
  readonly client?: boolean | TelemetryOptions;
}

const SAMPLER = "OTEL_TRACES_SAMPLER";
const NO_TRACES = { OTEL_DENO_TRACING: "false" };

function both(telemetry: boolean | TelemetryOptions): Pick<Configuration, "server" | "client"> {
  return { server: telemetry, client: telemetry };
}

/** The client starts traces for a share of its calls, the server never. */
function share(traces: number, metrics: false | "totals"): Pick<Configuration, "server" | "client"> {
  return { server: { traces: 0, metrics }, client: { traces, metrics } };
}

const CONFIGURATIONS: readonly Configuration[] = [
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

/**
 * Permissions of a process: the network of this machine, and reading the code. It gets no environment
 * variables.
 */
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
  for (const { title, env, server, client } of CONFIGURATIONS) {
    const command = [...COMMAND, JSON.stringify({ server, client }), rounds];
    await using side = new Process(command, shared, { ...on, ...env });
    const measured = await side.next<{ off: number[]; on: number[] }>();
    const increase = median(measured.on.map((cpu, round) => cpu / measured.off[round]!)) - 1;
    rows.push([
      title,
      format(Math.min(...measured.off)),
      format(Math.min(...measured.on)),
      `${(increase * 100).toFixed(0)} %`,
    ]);
  }
  const text = table(["", "off, least µs", "on, least µs", "more"], rows);
  console.log(text);
  if (write) await Deno.writeTextFile(PAGE, replaceBetween(await Deno.readTextFile(PAGE), "telemetry", text));
}

await main(Deno.args);
