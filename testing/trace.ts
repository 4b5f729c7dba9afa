// The log of a simulated network with simulated times, shown when a test fails.

/** The last events, in order. */
export class Trace {
  readonly #limit: number;
  readonly #startedAt = performance.now();
  #events: string[] = [];
  #times: number[] = [];
  #dropped = 0;

  /** @param limit Number of events to keep */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(event: string): void {
    this.#times.push(performance.now() - this.#startedAt);
    if (this.#events.push(event) < 2 * this.#limit) return;
    this.#dropped += this.#events.length - this.#limit;
    this.#events = this.#events.slice(-this.#limit);
    this.#times = this.#times.slice(-this.#limit);
  }

  /** The events that are kept, and the number of dropped ones. */
  toString(): string {
    const from = Math.max(0, this.#events.length - this.#limit);
    const lines = this.#events.slice(from).map((event, n) =>
      `${(this.#times[from + n]! / 1_000).toFixed(3)} s  ${event}`
    );
    const dropped = this.#dropped + from;
    return (dropped > 0 ? [`(${dropped} earlier events)`, ...lines] : lines).join("\n");
  }
}
