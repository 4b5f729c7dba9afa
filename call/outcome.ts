// Errors of calls that end without an answer, shared by clients, sessions and broadcasts.

import { type Code, ofCall, RpcError } from "./error.ts";

/**
 * The error of a call whose deadline has passed.
 *
 * @param why Why the call was not even sent, if known
 */
export function deadlineExceeded(
  method: string,
  notStarted = false,
  why?: string,
  code: Code = "deadline_exceeded",
): RpcError {
  const what = why === undefined ? "answered before its deadline" : `sent before its deadline: ${why}`;
  return new RpcError(code, `${method} was not ${what}`, { notStarted });
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

/** Whether a signal was aborted by `AbortSignal.timeout()` (DOM Standard, section 3.2). */
function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}
