// The AbortSignals of calls. One listener a signal, however many calls share it: a listener a call would make aborting
// quadratic, and a long-lived signal would gather what calls forget to remove. Owned by each session.

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

/** Whether a value is an AbortSignal: one of this realm, or one that behaves like it, such as jsdom's. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (value instanceof AbortSignal) return true;
  if (Object.prototype.toString.call(value) !== "[object AbortSignal]") return false;
  const { aborted, addEventListener, removeEventListener } = value as AbortSignal;
  return typeof aborted === "boolean" && typeof addEventListener === "function" &&
    typeof removeEventListener === "function";
}

/** A signal that aborts as soon as one of two does; the first may be of another realm. */
export function eitherSignal(own: AbortSignal, other: AbortSignal): AbortSignal {
  return AbortSignal.any([own instanceof AbortSignal ? own : follower(own), other]);
}

function follower(signal: AbortSignal): AbortSignal {
  const stop = new AbortController();
  if (signal.aborted) stop.abort(signal.reason);
  else signal.addEventListener("abort", () => stop.abort(signal.reason), { once: true });
  return stop.signal;
}
