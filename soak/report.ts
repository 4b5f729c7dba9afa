// The figures of a run beside what was promised.

import type { Balance } from "./ledger.ts";
import type { Lateness, Slope } from "./meter.ts";
import type { Tally } from "./workload.ts";

/** One line of the table. */
export interface Figure {
  readonly name: string;
  readonly value: string | number;
  /** What was promised, if anything was. */
  readonly promise?: string;
  readonly kept?: boolean;
}

type Fit = ReturnType<Slope["fit"]>;

/** Everything that was measured. */
export interface Measured {
  readonly kill: boolean;
  readonly seconds: number;
  readonly tally: Tally;
  readonly balance: Balance;
  readonly faults: ReadonlyMap<string, number>;
  readonly lateness: Lateness;
  readonly loop: Lateness;
  readonly slopes: Readonly<Record<"client" | "server", Readonly<Record<"heap" | "rss", Fit>>>>;
  readonly sockets: Readonly<Record<"before" | "after", { client: number; server: number }>>;
  readonly left: { connections: number; inFlight: number; listeners: number; unhandled: number };
}

/** Lateness that is allowed with the processors busy, in ms. */
const LATE = 250;
/** Growth that is allowed, in MB/h. */
const SLOPE = 1;
/** Growth in MB within a run that says nothing: in a short one it is warming up and chance. */
const NOISE = 2;

/** Holds what was measured against what was promised. */
export function report(measured: Measured): Figure[] {
  const { tally, balance, kill, seconds } = measured;
  const none = (name: string, value: number): Figure => ({ name, value, promise: "0", kept: value === 0 });
  const succeeded = [...tally.outcomes].reduce(
    (sum, [outcome, n]) => outcome.endsWith("went well") ? sum + n : sum,
    0,
  );
  return [
    {
      name: "calls",
      value: `${tally.calls}, ${Math.round(tally.calls / seconds)} a second, ${succeeded} went well`,
    },
    { name: "faults", value: [...measured.faults].map(([fault, n]) => `${n} ${fault}`).join(", ") },
    none("wrong outcomes", tally.wrongs),
    none("calls that never settled", tally.calls - tally.settled),
    { name: "executions", value: balance.executions },
    none("executed more than once, not idempotent", balance.duplicates),
    none("went well without being executed", balance.unexecuted),
    none("executed, but said not to be started", balance.startedAfterAll),
    none("idempotent, executed more than 4 times", balance.repeatedTooOften),
    ...(kill ? [] : soaked(measured)),
    none("rejections that nobody handled", measured.left.unhandled),
  ];
}

function soaked({ lateness, loop, slopes, sockets, left }: Measured): Figure[] {
  // What the process does to itself is not the library's: it is taken off.
  const late = Math.max(0, lateness.max - loop.max);
  const settledLate = `max ${lateness.max.toFixed(0)} ms, p99.9 ${
    lateness.percentile(0.999)
  } ms of ${lateness.count}`;
  return [
    {
      name: "late after their deadline",
      value: settledLate,
      promise: `at most ${LATE} ms beyond the event loop`,
      kept: late <= LATE,
    },
    { name: "late event loop", value: `max ${loop.max.toFixed(0)} ms, p99.9 ${loop.percentile(0.999)} ms` },
    memory("client", slopes.client),
    memory("server", slopes.server),
    opened("client", sockets.before.client, sockets.after.client),
    opened("server", sockets.before.server, sockets.after.server),
    {
      name: "left on the server",
      value: left.connections + left.inFlight,
      promise: "0",
      kept: left.connections + left.inFlight === 0,
    },
    {
      name: "listeners left on a shared signal",
      value: left.listeners,
      promise: "0",
      kept: left.listeners === 0,
    },
  ];
}

function memory(side: string, { heap, rss }: Readonly<Record<"heap" | "rss", Fit>>): Figure {
  const value =
    `${heap.perHour.toFixed(1)} ± ${heap.error.toFixed(1)} MB/h, ${heap.grown.toFixed(2)} MB in this run ` +
    `(resident: ${rss.grown.toFixed(1)} MB)`;
  const kept = !(heap.perHour - heap.error > SLOPE && heap.grown > NOISE);
  return { name: `heap growth of the ${side}`, value, promise: `at most ${SLOPE} MB/h`, kept };
}

function opened(side: string, before: number, after: number): Figure {
  return {
    name: `sockets of the ${side}`,
    value: `${before} → ${after}`,
    promise: "no more",
    kept: after <= before,
  };
}
