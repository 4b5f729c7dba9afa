// One listener a signal, however many calls share it: a listener a call would make aborting quadratic, and a
// long-lived signal would gather what calls forget to remove. Owned by each session.

/** Tells every item that is registered under an AbortSignal when it aborts. */
export class SignalFanOut<T> {
  readonly #entries = new Map<AbortSignal, { items: Set<T>; listener: () => void }>();
  readonly #aborted: (item: T) => void;

  /** @param aborted Called for each item of a signal that aborts; the item is forgotten before */
  constructor(aborted: (item: T) => void) {
    this.#aborted = aborted;
  }

  /** Watches `signal` for `item`. The signal must not have aborted yet. */
  add(signal: AbortSignal, item: T): void {
    const entry = this.#entries.get(signal);
    if (entry !== undefined) {
      entry.items.add(item);
      return;
    }
    const items = new Set([item]);
    const listener = () => {
      this.#entries.delete(signal);
      signal.removeEventListener("abort", listener);
      for (const each of items) this.#aborted(each);
    };
    this.#entries.set(signal, { items, listener });
    signal.addEventListener("abort", listener);
  }

  /** Forgets `item`; the listener goes with a signal's last one. */
  remove(signal: AbortSignal, item: T): void {
    const entry = this.#entries.get(signal);
    if (entry === undefined || !entry.items.delete(item) || entry.items.size > 0) return;
    signal.removeEventListener("abort", entry.listener);
    this.#entries.delete(signal);
  }
}
