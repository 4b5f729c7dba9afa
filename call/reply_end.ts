// When a call has ended, as an interceptor sees it: with its reply, or if that is a stream with the end of the stream. Used
// by interceptors that measure or count calls.

import { RpcError } from "./error.ts";
import type { Call, Next, Reply } from "./interceptor.ts";
import { Items } from "./source.ts";
import { isStreamable } from "./streamable.ts";

/**
 * Passes a call on, and says when it has ended.
 *
 * @param ended Called once, with why the call failed if it did; of a stream that was left before its end that is an
 *   `RpcError`, mostly `canceled`
 */
export async function passOn(call: Call, next: Next, ended: (error?: unknown) => void): Promise<Reply> {
  let reply: Reply;
  try {
    reply = await next(call);
  } catch (error) {
    ended(error);
    throw error;
  }
  if (isStreamable(reply.value)) return { ...reply, value: untilEnd(call, reply.value, ended) };
  ended();
  return reply;
}

function untilEnd(
  { method, signal }: Call,
  items: Iterable<unknown> | AsyncIterable<unknown>,
  ended: (error?: unknown) => void,
): Items {
  return new Items(items, {
    ended: (left, error) => {
      // A source that is told to stop by the signal may just end.
      if (error === undefined && signal.aborted) ended(signal.reason);
      else if (left) ended(new RpcError("canceled", `The stream of ${method} was left`));
      else ended(error);
    },
  });
}
