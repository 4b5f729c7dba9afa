// The `log` option of servers and clients, and the wrapper that the library calls.

import { oneLine } from "./safe_text.ts";

/** Receives messages for operators, and the error that caused a message, if any. */
export type Log = (message: string, error?: unknown) => void;

/**
 * Wraps a user's log: each message becomes one line of bounded length without control characters, whatever a peer sent; the
 * error is passed on unchanged. Exceptions of the log itself are ignored.
 */
export function safeLog(log: Log | undefined): Log | undefined {
  if (log === undefined) return undefined;
  if (typeof log !== "function") throw new TypeError("Cannot use log: expected a function");
  return (message, error) => {
    try {
      if (error === undefined) log(oneLine(message));
      else log(oneLine(message), error);
    } catch {
      // There is nowhere to report a failing log.
    }
  };
}
