// The metrics of calls: a histogram of durations as in the conventions, or totals, which are recorded once for all calls that
// end together. Created once for each side of a server or client.

import type { Counter, Histogram, Meter } from "@opentelemetry/api";
import type { Attributes } from "./conventions.ts";
import type { Otel } from "./otel.ts";

/** Outgoing calls or incoming calls. */
export type Side = "client" | "server";

/** Records ended calls. */
export interface Measure {
  /** The time in ms, on the clock of `performance.now()`; as precise as the metric requires. */
  now(): number;
  /** Records `count` calls of `ms` each. Never throws. */
  add(attributes: Attributes, ms: number, count: number): void;
}

/** The bucket boundaries that the conventions recommend, in s. */
const BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** Records the duration of each call in a histogram. The API takes single values only. */
export class Durations implements Measure {
  readonly #otel: Otel;
  readonly #histogram: Histogram;

  constructor(otel: Otel, meter: Meter, side: Side) {
    this.#otel = otel;
    this.#histogram = meter.createHistogram(`rpc.${side}.call.duration`, {
      description: `Duration of ${side === "client" ? "outgoing" : "incoming"} calls`,
      unit: "s",
      advice: { explicitBucketBoundaries: BOUNDARIES },
    });
  }

  now(): number {
    return performance.now();
  }

  add(attributes: Attributes, ms: number, count: number): void {
    this.#otel.guard(() => {
      for (let i = 0; i < count; i++) this.#histogram.record(ms / 1_000, attributes);
    });
  }
}

interface Sum {
  readonly attributes: Attributes;
  count: number;
  ms: number;
}

/** Counts calls and their total duration. Calls that end in the same turn are recorded together. */
export class Totals implements Measure {
  readonly #calls: Counter;
  readonly #time: Counter;
  /** Sums of the current turn by attributes, which are the same object for calls of the same kind. */
  #pending = new Map<Attributes, Sum>();
  /** The last sum, which is often the next one too. */
  #last: Sum | undefined;
  #now: number | undefined;
  readonly #otel: Otel;

  constructor(otel: Otel, meter: Meter, side: Side) {
    this.#otel = otel;
    const which = side === "client" ? "outgoing" : "incoming";
    this.#calls = meter.createCounter(`troodon.${side}.calls`, {
      description: `Number of ${which} calls that have ended`,
      unit: "{call}",
    });
    this.#time = meter.createCounter(`troodon.${side}.time`, {
      description: `Total duration of ${which} calls`,
      unit: "s",
    });
  }

  now(): number {
    return this.#now ??= performance.now();
  }

  add(attributes: Attributes, ms: number, count: number): void {
    let sum = this.#last;
    if (sum?.attributes !== attributes) {
      sum = this.#last = this.#pending.get(attributes) ?? this.#begin(attributes);
    }
    sum.count += count;
    sum.ms += ms * count;
  }

  #begin(attributes: Attributes): Sum {
    if (this.#pending.size === 0) queueMicrotask(() => this.#otel.guard(() => this.#flush()));
    const sum = { attributes, count: 0, ms: 0 };
    this.#pending.set(attributes, sum);
    return sum;
  }

  #flush(): void {
    this.#now = this.#last = undefined;
    const pending = this.#pending;
    this.#pending = new Map();
    for (const { attributes, count, ms } of pending.values()) {
      this.#calls.add(count, attributes);
      this.#time.add(ms / 1_000, attributes);
    }
  }
}

/** Creates the metric that an option selects; undefined = none. */
export function createMeasure(
  otel: Otel,
  metrics: boolean | "totals",
  side: Side,
): Measure | undefined {
  const { meter } = otel;
  if (meter === undefined || metrics === false) return undefined;
  return metrics === "totals" ? new Totals(otel, meter, side) : new Durations(otel, meter, side);
}
