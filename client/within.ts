// Waiting for a promise no longer than a deadline or a signal allows. For what is off the hot path: connecting.

import { RpcError } from "../call/error.ts";

/** The longest delay that timers take. */
const MAX_DELAY = 2_147_483_647;

/**
 * Waits for `promise`, or until `deadline` or `signal`.
 *
 * @param deadline On the clock of `performance.now()`; Infinity = none
 * @param late Makes the error of the deadline
 */
export function within<T>(
  promise: Promise<T>,
  deadline: number,
  signal: AbortSignal | undefined,
  late: () => RpcError,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const left = deadline - performance.now();
    const timer = left <= MAX_DELAY ? setTimeout(() => end(reject, late()), Math.max(0, left)) : undefined;
    const aborted = () => {
      end(
        reject,
        new RpcError("canceled", "The call was canceled by its signal", {
          cause: signal?.reason,
          notStarted: true,
        }),
      );
    };
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
