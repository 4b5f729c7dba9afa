// The same work once, however many want it at the same time. Owned by a Group.

/** Work that is under way, by key. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /** How many keys are being worked on. */
  get size(): number {
    return this.#flights.size;
  }

  /**
   * Does `work`, or waits for the work on the same key that is under way. If it fails, it fails for all who wait, and
   * whoever comes next tries again.
   */
  run(key: string, work: () => Promise<T>): Promise<T> {
    const under = this.#flights.get(key);
    if (under !== undefined) return under;
    // Begun in a microtask, so that it is noted before it can end.
    const flight = Promise.resolve().then(work).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}
