// Compares the figures of a run with the guarantees.

import type { Balance } from "./ledger.ts";
import type { Lateness, Slope } from "./meter.ts";
import type { Counts } from "./workload.ts";

/** A line of the report. */
export interface Figure {
  readonly name: string;
  readonly value: string | number;
  /** The guarantee, if there is one. */
  readonly promise?: string;
  readonly kept?: boolean;
}

type Fit = ReturnType<Slope["fit"]>;

/** All measurements. */
export interface Measured {
  readonly kill: boolean;
  readonly seconds: number;
  readonly counts: Counts;
  readonly balance: Balance;
  readonly faults: ReadonlyMap<string, number>;
  readonly lateness: Lateness;
  readonly loop: Lateness;
  readonly slopes: Readonly<Record<"client" | "server", Readonly<Record<"heap" | "rss", Fit>>>>;
  readonly sockets: Readonly<Record<"before" | "after", { client: number; server: number }>>;
  readonly leftover: { connections: number; inFlight: number; listeners: number; unhandled: number };
}

/** Maximum lateness with busy processors, in ms. */
const MAX_LATENESS = 250;
/** Maximum growth, in MB/h. */
const MAX_SLOPE = 1;
/** Growth in MB within a run that is within noise: in short runs, warm-up and chance. */
const NOISE = 2;

/** Compares the measurements with the guarantees. */
export function report(measured: Measured): Figure[] {
  const { counts, balance, kill, seconds } = measured;
  const zero = (name: string, value: number): Figure => ({ name, value, promise: "0", kept: value === 0 });
  const succeeded = [...counts.outcomes].reduce(
    (sum, [outcome, n]) => outcome.endsWith("succeeded") ? sum + n : sum,
    0,
  );
  return [
    {
      name: "calls",
      value: `${counts.calls}, ${Math.round(counts.calls / seconds)} per second, ${succeeded} succeeded`,
    },
    { name: "faults", value: [...measured.faults].map(([fault, n]) => `${n} ${fault}`).join(", ") },
    zero("wrong outcomes", counts.wrongs),
    zero("calls that never settled", counts.calls - counts.settled),
    { name: "executions", value: balance.executions },
    zero("executed more than once, not idempotent", balance.duplicates),
    zero("succeeded without being executed", balance.unexecuted),
    zero("executed despite notStarted", balance.startedDespiteError),
    zero("idempotent, executed more than 4 times", balance.repeatedTooOften),
    ...(kill ? [] : soakFigures(measured)),
    zero("unhandled rejections", measured.leftover.unhandled),
  ];
}

function soakFigures({ lateness, loop, slopes, sockets, leftover }: Measured): Figure[] {
  // The lateness of the event loop is caused by this process, not by the library: subtract it.
  const late = Math.max(0, lateness.max - loop.max);
  const settledLate = `max ${lateness.max.toFixed(0)} ms, p99.9 ${
    lateness.percentile(0.999)
  } ms of ${lateness.count}`;
  return [
    {
      name: "lateness after the deadline",
      value: settledLate,
      promise: `at most ${MAX_LATENESS} ms beyond the event loop`,
      kept: late <= MAX_LATENESS,
    },
    {
      name: "lateness of the event loop",
      value: `max ${loop.max.toFixed(0)} ms, p99.9 ${loop.percentile(0.999)} ms`,
    },
    memory("client", slopes.client),
    memory("server", slopes.server),
    socketFigure("client", sockets.before.client, sockets.after.client),
    socketFigure("server", sockets.before.server, sockets.after.server),
    {
      name: "left on the server",
      value: leftover.connections + leftover.inFlight,
      promise: "0",
      kept: leftover.connections + leftover.inFlight === 0,
    },
    {
      name: "listeners left on a shared signal",
      value: leftover.listeners,
      promise: "0",
      kept: leftover.listeners === 0,
    },
  ];
}

function memory(side: string, { heap, rss }: Readonly<Record<"heap" | "rss", Fit>>): Figure {
  const value =
    `${heap.perHour.toFixed(1)} ± ${heap.error.toFixed(1)} MB/h, ${heap.grown.toFixed(2)} MB in this run ` +
    `(resident: ${rss.grown.toFixed(1)} MB)`;
  const kept = !(heap.perHour - heap.error > MAX_SLOPE && heap.grown > NOISE);
  return { name: `heap growth of the ${side}`, value, promise: `at most ${MAX_SLOPE} MB/h`, kept };
}

function socketFigure(side: string, before: number, after: number): Figure {
  return {
    name: `sockets of the ${side}`,
    value: `${before} → ${after}`,
    promise: "no increase",
    kept: after <= before,
  };
}
