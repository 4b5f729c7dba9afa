// Errors of calls that end without an answer, shared by clients, sessions and broadcasts.

import { type Code, ofCall, RpcError } from "./error.ts";

/**
 * The error of a call whose deadline has passed.
 *
 * @param call Its method, and the time limit in ms that has set its deadline, if one has
 * @param notStarted Whether it is certain that it was not started
 * @param why What it was waiting for, if known
 */
export function deadlineExceeded(
  { method, timeout = Infinity }: { readonly method: string; readonly timeout?: number },
  notStarted = false,
  why?: string,
  code: Code = "deadline_exceeded",
): RpcError {
  return new RpcError(code, `${method} was not ${lateness(timeout, notStarted, why)}`, { notStarted });
}

/**
 * The error of a call that was ended by its signal; the cause is the signal's reason. The code is `deadline_exceeded` for a
 * signal of `AbortSignal.timeout()`, otherwise `canceled`.
 */
export function canceled(method: string, cause: unknown, notStarted = false): RpcError {
  if (isTimeout(cause)) {
    const message = `${method} was ended by the timeout of its signal`;
    return new RpcError("deadline_exceeded", message, { cause, notStarted });
  }
  return new RpcError("canceled", `${method} was canceled by its signal`, { cause, notStarted });
}

/** The error of one call on a connection that has failed, with whether it is certain that its handler was not started. */
export function endedWith(reason: RpcError, notStarted: boolean): RpcError {
  const { cause, remote, retryAfter, method, address } = reason;
  const error = new RpcError(reason.code, reason.message, { cause, remote, notStarted, retryAfter });
  if (method !== undefined) ofCall(error, method, address);
  return error;
}

function lateness(timeout: number, notStarted: boolean, why: string | undefined): string {
  if (timeout === 0) return "sent: its timeout is 0 ms";
  const limit = timeout === Infinity ? "before its deadline" : `within ${timeout} ms (timeout)`;
  return why === undefined ? `answered ${limit}` : `${notStarted ? "sent" : "answered"} ${limit}: ${why}`;
}

/** Whether a signal was aborted by `AbortSignal.timeout()` (DOM Standard, section 3.2). */
function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}
