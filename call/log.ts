// The `log` option of servers and clients, as the library calls it.

import { oneLine } from "./one_line.ts";

/** Told of what an operator may want to know. */
export type Log = (message: string, error?: unknown) => void;

/**
 * The log as the library calls it: each message is one line of bounded length without control characters, whatever a peer
 * has said; the error that comes with it is as it was thrown. What the log itself throws is ignored.
 */
export function sheltered(log: Log | undefined): Log | undefined {
  if (log === undefined) return undefined;
  if (typeof log !== "function") throw new TypeError("Cannot use log: expected a function");
  return (message, error) => {
    try {
      if (error === undefined) log(oneLine(message));
      else log(oneLine(message), error);
    } catch {
      // Who logs the logger?
    }
  };
}
