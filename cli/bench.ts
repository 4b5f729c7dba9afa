// The command `bench`: how many calls a second, and how long they take. Each of so many callers makes one call after the
// other, so what is measured is what a server does for that many at once, not how it takes a rate that never lets up.

import { type Code, RpcError } from "../call/error.ts";
import { Latency } from "../call/latency.ts";
import type { Client } from "../client/client.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { advised } from "./advice.ts";
import type { Command, Invocation } from "./command.ts";
import { parseValue } from "./parse_value.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, openService, readMethod, readTarget } from "./target.ts";
import { columns, milliseconds, plural, printable, rate } from "./text.ts";

const PROGRESS_INTERVAL = 200;
/** Percentiles are right to within 1.1 %. */
const PER_OCTAVE = 64;
const PERCENTILES = [50, 90, 99] as const;

/** Measures a method under load. */
export const bench: Command = {
  name: "bench",
  summary: "Calls a method as often as it can, and says how often that was",
  operands: "ADDRESS METHOD [JSON]",
  about: `So many callers at once each make one call after the other; all pass the same argument. The
time of a call is from its start to its answer, as its caller sees it. Methods that answer with one
value only. The first call is made alone: if the server does not know the method, nothing more is done.
The exit code is 1 if no call went well.

It calls for real: a method that changes something changes it very often.`,
  flags: [
    { name: "connections", value: "N", help: "How many connections (1)" },
    { name: "concurrency", value: "N", help: "How many callers, spread over the connections (10)" },
    { name: "duration", value: "TIME", help: "For how long (5s)" },
    ...CONNECT_FLAGS,
    { name: "json", help: "Print JSON, in one line" },
  ],
  examples: [
    [
      `bench localhost:9000 Arith.sum '{"a": 1, "b": 2}'`,
      "Ten callers over one connection, for five seconds",
    ],
    [
      "bench localhost:9000 Echo.echo --connections 8 --concurrency 256 --duration 30s --json",
      "More of everything, for programs",
    ],
  ],
  run,
};

/** What came of the calls. */
class Outcome {
  readonly latency = new Latency(PER_OCTAVE);
  readonly errors = new Map<Code, { count: number; message: string }>();
  readonly #began = performance.now();
  #ended: number | undefined;

  /** For how long it went on, in s. */
  get seconds(): number {
    return ((this.#ended ?? performance.now()) - this.#began) / 1_000;
  }

  get failed(): number {
    return [...this.errors.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** Calls that ended, well or not. */
  get calls(): number {
    return this.latency.count + this.failed;
  }

  /** Whether it is over: what ends later is not counted. */
  get over(): boolean {
    return this.#ended !== undefined;
  }

  end(): void {
    this.#ended = performance.now();
  }

  fail({ code, message }: RpcError): void {
    const known = this.errors.get(code);
    if (known === undefined) this.errors.set(code, { count: 1, message });
    else known.count++;
  }
}

async function run(invocation: Invocation): Promise<number> {
  const { operands: [address = "", name = "", json], flags, shell, signal } = invocation;
  const target = readTarget(address);
  const { method, service } = readMethod(name);
  const args = json === undefined ? undefined : parseValue(json, "The argument");
  const connections = flags.count("connections", 1, 1, 10_000);
  const concurrency = flags.count("concurrency", 10, 1, 1_000_000);
  const duration = flags.duration("duration", 5_000);
  // A signal costs each call something, and all of them end with their client.
  const { signal: _, ...options } = callOptions(invocation);
  await using clients = new AsyncDisposableStack();
  const opened: Client[] = [];
  for (let i = 0; i < connections; i++) {
    opened.push(clients.use(await openService(target, service, invocation)));
  }
  try {
    await opened[0]!.call(method, args, callOptions(invocation));
  } catch (error) {
    signal.throwIfAborted();
    const shown = await advised(error, method, opened[0]!);
    if (!(shown instanceof RpcError) || shown.code === "unimplemented") throw shown;
  }
  const outcome = new Outcome();
  const caller = async (client: Client) => {
    while (!outcome.over) {
      const began = performance.now();
      try {
        await client.call(method, args, options);
        if (!outcome.over) outcome.latency.record(performance.now() - began, 1);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        if (!outcome.over) outcome.fail(error);
      }
    }
  };
  const callers = Array.from({ length: concurrency }, (_, i) => caller(opened[i % connections]!));
  const working = Promise.all([...callers, showProgress(outcome, duration, invocation)]);
  // What goes wrong before the end is thrown at the end.
  working.catch(() => {});
  await sleep(SYSTEM_CLOCK, duration, signal);
  outcome.end();
  // Ends the calls that are still under way, and so their callers.
  await clients.disposeAsync();
  await working;
  const report = flags.has("json")
    ? printValue(reportAsJson(method, outcome))
    : reportAsText(outcome).join("\n");
  await shell.out(`${report}\n`);
  return outcome.latency.count === 0 && outcome.failed > 0 ? 1 : 0;
}

/** Tells a terminal how it goes, in one line that is written over. */
async function showProgress(
  outcome: Outcome,
  duration: number,
  { shell, signal }: Invocation,
): Promise<void> {
  if (!shell.errIsTerminal()) return;
  while (!outcome.over) {
    const { seconds, calls, failed, latency } = outcome;
    const p50 = `p50 ${milliseconds(latency.percentile(50))} ms`;
    const p99 = `p99 ${milliseconds(latency.percentile(99))} ms`;
    const time = `${seconds.toFixed(1)} of ${duration / 1_000} s`;
    const line = [
      time,
      plural(calls, "call"),
      `${rate(calls / seconds)}/s`,
      p50,
      p99,
      plural(failed, "error"),
    ];
    await shell.err(`\r\x1b[K${line.join("  ")}`);
    await sleep(SYSTEM_CLOCK, PROGRESS_INTERVAL, signal);
    if (signal.aborted) break;
  }
  await shell.err("\r\x1b[K");
}

function reportAsJson(method: string, { seconds, calls, errors, latency }: Outcome): unknown {
  return {
    method,
    seconds,
    calls,
    rate: latency.count / seconds,
    errors: Object.fromEntries([...errors].map(([code, { count }]) => [code, count])),
    latency: {
      mean: latency.mean,
      ...Object.fromEntries(PERCENTILES.map((percent) => [`p${percent}`, latency.percentile(percent)])),
      max: latency.max,
    },
  };
}

function reportAsText({ seconds, calls, failed, errors, latency }: Outcome): string[] {
  const head = `${plural(calls, "call")} in ${seconds.toFixed(2)} s, ${plural(failed, "error")}`;
  const times = [latency.mean, ...PERCENTILES.map((percent) => latency.percentile(percent)), latency.max];
  const table = columns([
    ["calls/s", "mean ms", ...PERCENTILES.map((percent) => `p${percent} ms`), "max ms"],
    [rate(latency.count / seconds), ...times.map(milliseconds)],
  ], 0);
  const failures = [...errors].map(([code, { count, message }]) =>
    `${code}: ${count}, such as: ${printable(message)}`
  );
  return [head, ...latency.count === 0 ? [] : table, ...failures];
}
