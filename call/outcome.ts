// The errors of calls that end without an answer, made here so that a client, a session and a broadcast say the same.

import { type Code, ofCall, RpcError } from "./error.ts";

/**
 * The error of a call that ran out of time.
 *
 * @param why Why it was not even sent, if that is known
 */
export function deadlineExceeded(
  method: string,
  notStarted = false,
  why?: string,
  code: Code = "deadline_exceeded",
): RpcError {
  const what = why === undefined ? "answered in time" : `sent in time: ${why}`;
  return new RpcError(code, `Call of ${method} was not ${what}`, { notStarted });
}

/**
 * The error of a call that its signal ended, with the signal's reason as its cause: `deadline_exceeded` for the signal of
 * `AbortSignal.timeout()`, else `canceled`.
 */
export function canceled(method: string, cause: unknown, notStarted = false): RpcError {
  if (isTimeout(cause)) {
    const message = `Call of ${method} was ended by the timeout of its signal`;
    return new RpcError("deadline_exceeded", message, { cause, notStarted });
  }
  return new RpcError("canceled", `Call of ${method} was canceled by its signal`, { cause, notStarted });
}

/** The error of a connection as that of one call on it, with what is known about whether the call was started. */
export function endedWith(reason: RpcError, notStarted: boolean): RpcError {
  const { cause, remote, retryAfter, method, address } = reason;
  const error = new RpcError(reason.code, reason.message, { cause, remote, notStarted, retryAfter });
  if (method !== undefined) ofCall(error, method, address);
  return error;
}

/** Whether a signal's reason is the one that `AbortSignal.timeout()` aborts with (DOM Standard, section 3.2). */
function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}
