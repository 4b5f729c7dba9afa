// Runs the same work once for all concurrent callers. Owned by a Group.

/** Pending work, by key. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /** The number of keys with pending work. */
  get size(): number {
    return this.#flights.size;
  }

  /**
   * Runs `work`, or joins the pending work for the same key. If it fails, it fails for all callers, and the
   * next caller tries again.
   */
  run(key: string, work: () => Promise<T>): Promise<T> {
    const pending = this.#flights.get(key);
    if (pending !== undefined) return pending;
    // Started in a microtask, so that it is recorded before it can end.
    const flight = Promise.resolve().then(work).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}
