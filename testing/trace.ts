// What happened in a simulated network, with its times: what one reads when a test fails.

/** The last events, in order. */
export class Trace {
  readonly #limit: number;
  readonly #began = performance.now();
  #lines: string[] = [];
  #dropped = 0;

  /** @param limit How many events are kept */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(event: string): void {
    const seconds = (performance.now() - this.#began) / 1_000;
    this.#lines.push(`${seconds.toFixed(3)} s  ${event}`);
    if (this.#lines.length < 2 * this.#limit) return;
    this.#dropped += this.#lines.length - this.#limit;
    this.#lines = this.#lines.slice(-this.#limit);
  }

  /** The events that are kept, and how many came before them. */
  toString(): string {
    const lines = this.#lines.slice(-this.#limit);
    const dropped = this.#dropped + this.#lines.length - lines.length;
    return (dropped > 0 ? [`(${dropped} earlier events)`, ...lines] : lines).join("\n");
  }
}
