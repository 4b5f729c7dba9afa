// The time of the current turn of the event loop: reading the clock takes longer than many calls of a turn together.

/** A clock that is read once a turn. */
export class TurnClock {
  #now: number | undefined;

  /** The time in this turn, on the clock of `performance.now()`. */
  now(): number {
    if (this.#now !== undefined) return this.#now;
    queueMicrotask(this.#end);
    return this.#now = performance.now();
  }

  readonly #end = (): void => {
    this.#now = undefined;
  };
}
