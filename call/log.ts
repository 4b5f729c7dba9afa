// The `log` option of servers and clients, as the library calls it.

/** Told of what an operator may want to know. */
export type Log = (message: string, error?: unknown) => void;

/** A log whose own failures stay its own: what it is told of may be anything, also what cannot be made text. */
export function sheltered(log: Log | undefined): Log | undefined {
  if (log === undefined) return undefined;
  if (typeof log !== "function") throw new TypeError("Cannot use log: expected a function");
  return (message, error) => {
    try {
      log(message, error);
    } catch {
      // Who logs the logger?
    }
  };
}
