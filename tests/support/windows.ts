// What receive windows grow from, without a connection: a line of a fixed round trip, and a clock that tests set.

import { type LineProbe, RoundTrip } from "../../session/bandwidth.ts";
import type { RecvStreamOwner } from "../../session/recv_stream.ts";
import { ConnectionWindows, WindowBudget } from "../../session/window_budget.ts";

/** A line whose round trip is `ms`. Each measurement ends at the next reading of the clock that is late enough. */
export class TestLine implements LineProbe {
  readonly roundTrip = new RoundTrip();
  /** How many times the round trip was measured. */
  measured = 0;
  /** The time. */
  time = 1_000;
  /** The round trip; Infinity = pings are not answered. */
  ms: number;
  #sentAt = Infinity;

  constructor(ms = Infinity) {
    this.ms = ms;
  }

  now(): number {
    if (this.#sentAt + this.ms <= this.time) {
      this.roundTrip.measured(this.#sentAt, this.#sentAt + this.ms);
      this.#sentAt = Infinity;
    }
    return this.time;
  }

  /** Pings that are answered are left to tests. */
  mark: (onArrived: () => void) => void = () => {};

  measure(): void {
    if (this.#sentAt < Infinity) return;
    this.#sentAt = this.time;
    this.measured++;
  }
}

/** Windows with budgets that tests do not reach unless they set them. */
export function testWindows(
  line = new TestLine(),
  max = 1e9,
  total = new WindowBudget(1e9),
): ConnectionWindows {
  return new ConnectionWindows(total, max, line);
}

/** The owner of a stream that only records what is granted. */
export function streamOwner(grant: (items: number, bytes: number) => void = () => {}): RecvStreamOwner {
  return { grant, decode: () => undefined, consumerLeft: () => {} };
}
