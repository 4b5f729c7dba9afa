// The command `bench`: how many calls a second, and how long they take. In a closed loop it shows what a server does for
// so many callers at once; in an open loop, how it takes a rate that never lets up.

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
  summary: "Calls a method as often as it can, or at a rate, and says how that went",
  operands: "ADDRESS METHOD [JSON]",
  about: `So many callers at once each make one call after the other; all pass the same argument. The
time of a call is from its start to its answer, as its caller sees it. That is a closed loop: while a
server does not answer, it is not called, and the calls that others would have made meanwhile are in no
figure. With --rate calls are made at that rate whether earlier ones are answered or not, an open loop,
and the time of each is from when it was due.

Methods that answer with one value only. The first call is made alone: if the server does not know the
method, nothing more is done. The exit code is 1 if no call went well.

It calls for real: a method that changes something changes it very often.`,
  flags: [
    { name: "connections", value: "N", help: "How many connections (1)" },
    {
      name: "concurrency",
      value: "N",
      help: "How many callers in all (10); with --rate, the most calls at once (10000)",
    },
    { name: "rate", value: "N", help: "How many calls a second, in an open loop" },
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

/** How calls are made, for the report. */
interface Loop {
  readonly concurrency: number;
  /** How many calls a second were due; undefined = the loop is closed. */
  readonly rate: number | undefined;
  /** How late a call began at most, in ms; undefined likewise. */
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
  const outcome = new CallOutcome();
  const makes = opened.map((client): MakeCall => () => client.call(method, args, options));
  const open = perSecond === undefined ? undefined : new OpenLoop(outcome, perSecond, concurrency);
  let next = 0;
  const loops = open !== undefined
    ? [open.run(() => makes[next++ % connections]!())]
    : Array.from({ length: concurrency }, (_, i) => closedLoop(outcome, makes[i % connections]!));
  const working = Promise.all([...loops, showProgress(outcome, duration, invocation)]);
  // What goes wrong before the end is thrown at the end.
  working.catch(() => {});
  await sleep(SYSTEM_CLOCK, duration, signal);
  outcome.end(open?.unmade());
  // Ends the calls that are still under way, and so their callers.
  await clients.disposeAsync();
  await working;
  const loop: Loop = { concurrency, rate: perSecond, latest: open?.latest };
  const report = flags.has("json")
    ? printValue(reportAsJson(method, outcome, loop))
    : reportAsText(outcome, loop).join("\n");
  await shell.out(`${report}\n`);
  return outcome.latency.count === 0 ? 1 : 0;
}

/** Tells a terminal how it goes, in one line that is written over. */
async function showProgress(
  outcome: CallOutcome,
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
    `${code}: ${count}, such as: ${printable(message)}`
  );
  const remarks = [unansweredAsText(outcome), loopAsText(loop)];
  return latency.count === 0 ? [head, ...failures, ...remarks] : [head, ...table, ...remarks, ...failures];
}

function unansweredAsText({ unanswered: { count, meanAge, maxAge } }: CallOutcome): string {
  if (count === 0) return "all calls were answered";
  const ages = `for ${milliseconds(meanAge)} ms on average, ${milliseconds(maxAge)} ms at most`;
  return `${plural(count, "call")} not answered in the end, ${ages}`;
}

function loopAsText({ concurrency, rate, latest = 0 }: Loop): string {
  return rate === undefined
    ? `closed loop: ${plural(concurrency, "caller")}; a slow answer holds back the calls after it`
    : `open loop: ${plural(rate, "call")} due each second; they began ${
      milliseconds(latest)
    } ms late at most`;
}
