// Ends streams of handlers when their server drains. Used by handlers whose streams have no end of their own.

import type { CallContext } from "./handler.ts";
import { Items } from "./source.ts";
import type { Streamable } from "./streamable.ts";

/**
 * Passes items on until the server drains. Then it leaves their source, and the stream ends with `unavailable`: callers
 * may call again, and reach another server. Without it, a stream that has no end lasts until the grace of the shutdown
 * has passed.
 *
 * @example A stream of ticks that does not delay a shutdown
 * ```ts
 * import { type CallContext, Server, untilDraining } from "@troodon/rpc/server";
 *
 * async function* ticks() {
 *   for (let tick = 1;; tick++) {
 *     await new Promise((done) => setTimeout(done, 1_000));
 *     yield tick;
 *   }
 * }
 * new Server().register("Clock", {
 *   ticks: (_: undefined, context: CallContext) => untilDraining(ticks(), context),
 * });
 * ```
 *
 * @typeParam T The type of the items
 * @param items Any iterable, such as a generator or a `ReadableStream`
 * @param context The context of the call
 * @returns The items, for the handler to return
 */
export function untilDraining<T>(
  items: AsyncIterable<T> | Iterable<T>,
  { draining }: Pick<CallContext, "draining">,
): AsyncIterableIterator<T> {
  const stop = () => passed.stop(draining.reason);
  const ended = () => draining.removeEventListener("abort", stop);
  const passed = new Items(items as Streamable, { ended });
  if (draining.aborted) stop();
  else draining.addEventListener("abort", stop);
  return passed as AsyncIterableIterator<T>;
}
