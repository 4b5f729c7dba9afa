// The errors of calls that end without an answer, made here so that a client, a session and a broadcast say the same.

import { RpcError } from "./error.ts";

/**
 * The error of a call that ran out of time.
 *
 * @param why Why it was not even sent, if that is known
 */
export function deadlineExceeded(method: string, notStarted = false, why?: string): RpcError {
  const what = why === undefined ? "answered in time" : `sent in time: ${why}`;
  return new RpcError("deadline_exceeded", `Call of ${method} was not ${what}`, { notStarted });
}

/** The error of a call that its signal ended, with the signal's reason as its cause. */
export function canceled(method: string, cause: unknown, notStarted = false): RpcError {
  return new RpcError("canceled", `Call of ${method} was canceled by its signal`, { cause, notStarted });
}

/** The error of a connection as that of one call on it, with what is known about whether the call was started. */
export function endedWith(reason: RpcError, notStarted: boolean): RpcError {
  const { cause, remote, retryAfter } = reason;
  return new RpcError(reason.code, reason.message, { cause, remote, notStarted, retryAfter });
}
