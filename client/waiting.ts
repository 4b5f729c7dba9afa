// Waits that end with a call's deadline or signal. For connecting and retrying, not for the hot path.

import type { Code, RpcError } from "../call/error.ts";
import { canceled, deadlineExceeded } from "../call/outcome.ts";
import { offAbort, onAbort } from "../call/signals.ts";
import { MAX_DELAY } from "../discovery/clock.ts";
import type { SessionCall } from "../session/session_call.ts";

/**
 * Waits for `promise`, or until `deadline` or `signal`.
 *
 * @param deadline On the clock of `performance.now()`; Infinity = none
 * @param call The call that waits, for the error
 * @param why What the call waits for, for the error
 * @param code The code of the error when the deadline passes; `deadline_exceeded` by default
 * @throws {RpcError} `code` or `canceled`, of a call that was not started
 */
export function within<T>(
  promise: Promise<T>,
  deadline: number,
  signal: AbortSignal | undefined,
  call: Pick<SessionCall, "method" | "timeout">,
  why?: string,
  code?: Code,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const left = deadline - performance.now();
    const late = () => end<RpcError>(reject, deadlineExceeded(call, true, why, code));
    const timer = left <= MAX_DELAY ? setTimeout(late, Math.max(0, left)) : undefined;
    const aborted = () => end<RpcError>(reject, canceled(call.method, signal?.reason, true));
    promise.then((value) => end(resolve, value), (error) => end(reject, error));
    if (signal?.aborted) aborted();
    else if (signal !== undefined) onAbort(signal, aborted);

    function end<V>(settle: (value: V) => void, value: V): void {
      clearTimeout(timer);
      if (signal !== undefined) offAbort(signal, aborted);
      settle(value);
    }
  });
}

/**
 * Waits for some ms, or until `deadline` or `signal`. Never rejects.
 *
 * @param deadline On the clock of `performance.now()`; Infinity = none
 */
export async function pause(ms: number, deadline: number, signal: AbortSignal | undefined): Promise<void> {
  const until = Math.min(performance.now() + ms, deadline);
  await within(new Promise<never>(() => {}), until, signal, { method: "" }).catch(() => {});
}

/**
 * Runs a function with a signal that aborts when `outer` does, and when the run has ended.
 *
 * @param outer Has no listener of this run after it has ended
 */
export async function withStop<T>(
  outer: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const abort = () => stop.abort(outer?.reason);
  if (outer?.aborted) abort();
  else if (outer !== undefined) onAbort(outer, abort);
  try {
    return await run(stop.signal);
  } finally {
    if (outer !== undefined) offAbort(outer, abort);
    stop.abort();
  }
}
