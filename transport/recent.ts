// A Map of bounded size that evicts the least recently set entries. Used by tls_acceptor.ts.

/** The most recently set entries. */
export class Recent<V> {
  readonly #most: number;
  readonly #entries = new Map<string, V>();

  /** @param most Maximum number of entries, at least 1 */
  constructor(most: number) {
    this.#most = most;
  }

  /** Sets an entry and makes it the newest. */
  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#most) this.#entries.delete(this.#entries.keys().next().value!);
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  /** Removes an entry and returns its value. */
  take(key: string): V | undefined {
    const value = this.#entries.get(key);
    this.#entries.delete(key);
    return value;
  }
}
