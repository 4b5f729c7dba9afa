// What is measured of calls: the duration of each, as the conventions have it, or sums, which are told once for all calls
// that end together. Made once for each side of a server or client.

import type { Counter, Histogram, Meter } from "@opentelemetry/api";
import type { Attributes } from "./conventions.ts";
import type { Otel } from "./otel.ts";

/** Which calls: those that are made, or those that are answered. */
export type Side = "client" | "server";

/** Takes what is measured. */
export interface Measure {
  /** The time in ms, on the clock of `performance.now()`, as precise as it is needed. */
  now(): number;
  /** Calls have ended that took `ms` each. Never throws. */
  add(attributes: Attributes, ms: number, count: number): void;
}

/** The boundaries that the conventions advise, in s. */
const BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** A histogram of durations. The API takes them one by one. */
export class Durations implements Measure {
  readonly #otel: Otel;
  readonly #histogram: Histogram;

  constructor(otel: Otel, meter: Meter, side: Side) {
    this.#otel = otel;
    this.#histogram = meter.createHistogram(`rpc.${side}.call.duration`, {
      description: `How long ${side === "client" ? "outgoing" : "incoming"} calls take`,
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

/** How many calls there were and how long they took together. What ends together is told together. */
export class Totals implements Measure {
  readonly #calls: Counter;
  readonly #time: Counter;
  /** By attributes, which are the same object for calls of the same kind. */
  #open = new Map<Attributes, Sum>();
  /** The sum that was added to last, which is often the next one too. */
  #last: Sum | undefined;
  #now: number | undefined;
  readonly #otel: Otel;

  constructor(otel: Otel, meter: Meter, side: Side) {
    this.#otel = otel;
    const which = side === "client" ? "outgoing" : "incoming";
    this.#calls = meter.createCounter(`troodon.${side}.calls`, {
      description: `How many ${which} calls have ended`,
      unit: "{call}",
    });
    this.#time = meter.createCounter(`troodon.${side}.time`, {
      description: `How long ${which} calls took, all together`,
      unit: "s",
    });
  }

  now(): number {
    return this.#now ??= performance.now();
  }

  add(attributes: Attributes, ms: number, count: number): void {
    let sum = this.#last;
    if (sum?.attributes !== attributes) {
      sum = this.#last = this.#open.get(attributes) ?? this.#begin(attributes);
    }
    sum.count += count;
    sum.ms += ms * count;
  }

  #begin(attributes: Attributes): Sum {
    if (this.#open.size === 0) queueMicrotask(() => this.#otel.guard(() => this.#tell()));
    const sum = { attributes, count: 0, ms: 0 };
    this.#open.set(attributes, sum);
    return sum;
  }

  #tell(): void {
    this.#now = this.#last = undefined;
    const open = this.#open;
    this.#open = new Map();
    for (const { attributes, count, ms } of open.values()) {
      this.#calls.add(count, attributes);
      this.#time.add(ms / 1_000, attributes);
    }
  }
}

/** What is to be measured; undefined = nothing. */
export function measureOf(
  otel: Otel,
  metrics: boolean | "totals",
  side: Side,
): Measure | undefined {
  const { meter } = otel;
  if (meter === undefined || metrics === false) return undefined;
  return metrics === "totals" ? new Totals(otel, meter, side) : new Durations(otel, meter, side);
}
