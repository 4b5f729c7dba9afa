// The command `bench`: calls per second and latencies of a method. A closed loop measures a server under a
// fixed number of callers; an open loop measures it at a fixed rate.

import { RpcError } from "../call/error.ts";
import type { Client } from "../client/client.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { advised } from "./advice.ts";
import type { Command, Invocation } from "./command.ts";
import { CallOutcome, closedLoop, type MakeCall, OpenLoop } from "./load.ts";
import { parseValue } from "./parse_value.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, openService, readMethod, readTarget } from "./target.ts";
import { columns, milliseconds, plural, printable, rate } from "./format.ts";

const PROGRESS_INTERVAL = 200;
const PERCENTILES = [50, 90, 99] as const;

/** Measures a method under load. */
export const bench: Command = {
  name: "bench",
  summary: "Measures a method under load: calls per second and latencies",
  operands: "ADDRESS METHOD [JSON]",
  about:
    `Each of the concurrent callers makes one call after the other, all with the same argument. The latency
of a call is from its start to its response, as its caller sees it. This is a closed loop: while a
server does not answer, it is not called, and the calls that would have been made meanwhile are not
counted. With --rate, calls are made at that rate whether or not earlier ones are answered, an open
loop, and the latency of each is from the time it was due.

Supports unary methods only. The first call is made alone: if the server does not know the method,
bench stops. The exit code is 1 if no call succeeded.

The calls are real: a method that changes data changes it very often.`,
  flags: [
    { name: "connections", value: "N", help: "Number of connections (1)" },
    {
      name: "concurrency",
      value: "N",
      help: "Number of callers in total (10); with --rate, maximum calls in flight (10000)",
    },
    { name: "rate", value: "N", help: "Calls per second, in an open loop" },
    { name: "duration", value: "TIME", help: "Duration of the measurement (5s)" },
    ...CONNECT_FLAGS,
    { name: "json", help: "Print JSON, on one line" },
  ],
  examples: [
    [
      `bench localhost:9000 Arith.sum '{"a": 1, "b": 2}'`,
      "Ten callers over one connection, for five seconds",
    ],
    [
      "bench localhost:9000 Echo.echo --connections 8 --concurrency 256 --duration 30s --json",
      "More connections, callers and time, with output for programs",
    ],
  ],
  run,
};

/** How calls are made, for the report. */
interface Loop {
  readonly concurrency: number;
  /** Calls per second that were due; undefined in a closed loop. */
  readonly rate: number | undefined;
  /** The longest delay of a call's start, in ms; undefined in a closed loop. */
  readonly latest: number | undefined;
}

async function run(invocation: Invocation): Promise<number> {
  const { operands: [address = "", name = "", json], flags, shell, signal } = invocation;
  const target = readTarget(address);
  const { method, service } = readMethod(name);
  const args = json === undefined ? undefined : parseValue(json, "The argument");
  const connections = flags.count("connections", 1, 1, 10_000);
  const perSecond = flags.has("rate") ? flags.count("rate", 0, 1, 1_000_000) : undefined;
  const concurrency = flags.count("concurrency", perSecond === undefined ? 10 : 10_000, 1, 1_000_000);
  const duration = flags.duration("duration", 5_000);
  // A signal adds a cost to each call, and closing the client ends all calls anyway.
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
  const outcome = new CallOutcome();
  const makes = opened.map((client): MakeCall => () => client.call(method, args, options));
  const open = perSecond === undefined ? undefined : new OpenLoop(outcome, perSecond, concurrency);
  let next = 0;
  const loops = open !== undefined
    ? [open.run(() => makes[next++ % connections]!())]
    : Array.from({ length: concurrency }, (_, i) => closedLoop(outcome, makes[i % connections]!));
  const working = Promise.all([...loops, showProgress(outcome, duration, invocation)]);
  // An early failure is thrown when `working` is awaited below.
  working.catch(() => {});
  await sleep(SYSTEM_CLOCK, duration, signal);
  outcome.end(open?.unmade());
  // Ends the calls in flight, and with them their callers.
  await clients.disposeAsync();
  await working;
  const loop: Loop = { concurrency, rate: perSecond, latest: open?.latest };
  const report = flags.has("json")
    ? printValue(reportAsJson(method, outcome, loop))
    : reportAsText(outcome, loop).join("\n");
  await shell.out(`${report}\n`);
  return outcome.latency.count === 0 ? 1 : 0;
}

/** Shows progress on a terminal, in one line that is overwritten. */
async function showProgress(
  outcome: CallOutcome,
  duration: number,
  { shell, signal }: Invocation,
): Promise<void> {
  if (!shell.errIsTerminal()) return;
  while (!outcome.ended) {
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

function reportAsJson(method: string, outcome: CallOutcome, loop: Loop): unknown {
  const { seconds, calls, errors, latency, unanswered } = outcome;
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
    unanswered,
    loop: loop.rate === undefined
      ? { kind: "closed", callers: loop.concurrency }
      : { kind: "open", rate: loop.rate, latestStart: loop.latest },
  };
}

function reportAsText(outcome: CallOutcome, loop: Loop): string[] {
  const { seconds, calls, failed, errors, latency } = outcome;
  const head = `${plural(calls, "call")} in ${seconds.toFixed(2)} s, ${plural(failed, "error")}`;
  const times = [latency.mean, ...PERCENTILES.map((percent) => latency.percentile(percent)), latency.max];
  const table = columns([
    ["calls/s", "mean ms", ...PERCENTILES.map((percent) => `p${percent} ms`), "max ms"],
    [rate(latency.count / seconds), ...times.map(milliseconds)],
  ], 0);
  const failures = [...errors].map(([code, { count, message }]) =>
    `${code}: ${count}, for example: ${printable(message)}`
  );
  const remarks = [unansweredAsText(outcome), loopAsText(loop)];
  return latency.count === 0 ? [head, ...failures, ...remarks] : [head, ...table, ...remarks, ...failures];
}

function unansweredAsText({ unanswered: { count, meanAge, maxAge } }: CallOutcome): string {
  if (count === 0) return "all calls were answered";
  const ages = `for ${milliseconds(meanAge)} ms on average, ${milliseconds(maxAge)} ms at most`;
  return `${plural(count, "call")} unanswered at the end, ${ages}`;
}

function loopAsText({ concurrency, rate, latest = 0 }: Loop): string {
  return rate === undefined
    ? `closed loop: ${plural(concurrency, "caller")}; a slow response delays the calls after it`
    : `open loop: ${plural(rate, "call")} per second; the latest started ${milliseconds(latest)} ms late`;
}
