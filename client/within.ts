// Waiting for a promise no longer than a call's deadline or signal allows. For what is off the hot path: connecting.

import type { RpcError } from "../call/error.ts";
import { canceled, deadlineExceeded } from "../call/outcome.ts";
import { MAX_DELAY } from "../discovery/clock.ts";

/**
 * Waits for `promise`, or until `deadline` or `signal`.
 *
 * @param deadline On the clock of `performance.now()`; Infinity = none
 * @param method What waits, for the error
 * @throws {RpcError} `deadline_exceeded` or `canceled`, of a call that was not started
 */
export function within<T>(
  promise: Promise<T>,
  deadline: number,
  signal: AbortSignal | undefined,
  method: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const left = deadline - performance.now();
    const late = () => end<RpcError>(reject, deadlineExceeded(method, true));
    const timer = left <= MAX_DELAY ? setTimeout(late, Math.max(0, left)) : undefined;
    const aborted = () => end<RpcError>(reject, canceled(method, signal?.reason, true));
    signal?.addEventListener("abort", aborted);
    promise.then((value) => end(resolve, value), (error) => end(reject, error));
    if (signal?.aborted) aborted();

    function end<V>(settle: (value: V) => void, value: V): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
      settle(value);
    }
  });
}
