// A Map of bounded size that evicts the least recently set entries. Used by tls_acceptor.ts.

/** The most recently set entries. */
export class Recent<V> {
  readonly #max: number;
  readonly #entries = new Map<string, V>();

  /** @param max Maximum number of entries, at least 1 */
  constructor(max: number) {
    this.#max = max;
  }

  /** Sets an entry and makes it the newest. */
  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#max) this.#entries.delete(this.#entries.keys().next().value!);
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
