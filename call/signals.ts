// One listener on each of a user's AbortSignals, however many calls share it: a listener for each call would make aborting
// quadratic, and Node warns of a leak from the eleventh on. Used by all code that waits for a user's signal.

interface Shared {
  readonly listeners: Set<() => void>;
  /** The listener that is registered on the signal. */
  readonly abort: () => void;
}

/** Shared listeners by signal. Module state, so that independent sessions and clients share them. */
const shared = new WeakMap<AbortSignal, Shared>();

/** Calls `listener` once when `signal` aborts, unless {@linkcode offAbort} is called first. The signal must not be aborted. */
export function onAbort(signal: AbortSignal, listener: () => void): void {
  const known = shared.get(signal);
  if (known !== undefined) return void known.listeners.add(listener);
  const listeners = new Set([listener]);
  const abort = () => {
    shared.delete(signal);
    signal.removeEventListener("abort", abort);
    for (const each of listeners) each();
  };
  shared.set(signal, { listeners, abort });
  signal.addEventListener("abort", abort);
}

/** Removes a listener. With the last one, the listener on the signal is removed too. */
export function offAbort(signal: AbortSignal, listener: () => void): void {
  const known = shared.get(signal);
  if (known === undefined || !known.listeners.delete(listener) || known.listeners.size > 0) return;
  shared.delete(signal);
  signal.removeEventListener("abort", known.abort);
}

/** Notifies all items that are registered under an AbortSignal when it aborts. */
export class SignalFanOut<T> {
  readonly #entries = new Map<AbortSignal, { items: Set<T>; listener: () => void }>();
  readonly #aborted: (item: T) => void;

  /** @param aborted Called for each item of an aborted signal, after the item was removed */
  constructor(aborted: (item: T) => void) {
    this.#aborted = aborted;
  }

  /** Registers `item` under `signal`, which must not be aborted. */
  add(signal: AbortSignal, item: T): void {
    const entry = this.#entries.get(signal);
    if (entry !== undefined) {
      entry.items.add(item);
      return;
    }
    const items = new Set([item]);
    const listener = () => {
      this.#entries.delete(signal);
      for (const each of items) this.#aborted(each);
    };
    this.#entries.set(signal, { items, listener });
    onAbort(signal, listener);
  }

  /** Removes `item`. With a signal's last item, the listener on the signal is removed too. */
  remove(signal: AbortSignal, item: T): void {
    const entry = this.#entries.get(signal);
    if (entry === undefined || !entry.items.delete(item) || entry.items.size > 0) return;
    offAbort(signal, entry.listener);
    this.#entries.delete(signal);
  }
}

/** Whether a value is an AbortSignal, of this realm or an equivalent such as jsdom's. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (value instanceof AbortSignal) return true;
  if (Object.prototype.toString.call(value) !== "[object AbortSignal]") return false;
  const { aborted, addEventListener, removeEventListener } = value as AbortSignal;
  return typeof aborted === "boolean" && typeof addEventListener === "function" &&
    typeof removeEventListener === "function";
}

/** A signal that aborts when either of two signals does. `own` may be of another realm. */
export function eitherSignal(own: AbortSignal, other: AbortSignal): AbortSignal {
  return AbortSignal.any([own instanceof AbortSignal ? own : follower(own), other]);
}

function follower(signal: AbortSignal): AbortSignal {
  const stop = new AbortController();
  if (signal.aborted) stop.abort(signal.reason);
  else signal.addEventListener("abort", () => stop.abort(signal.reason), { once: true });
  return stop.signal;
}
