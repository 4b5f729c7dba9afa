// Reports the end of a call to interceptors that measure or count calls: when the reply arrives, or for a stream when the
// stream ends.

import { RpcError } from "./error.ts";
import type { Call, Next, Reply } from "./interceptor.ts";
import { Items } from "./source.ts";
import { isStreamable } from "./streamable.ts";

/**
 * Passes a call on and reports when it has ended.
 *
 * @param ended Called once, with the error if the call failed. A stream that the consumer left before its end reports an
 *   `RpcError`, usually `canceled`
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
      // A source that the signal stops may end without an error.
      if (error === undefined && signal.aborted) ended(signal.reason);
      else if (left) ended(new RpcError("canceled", `The caller stopped reading the stream of ${method}`));
      else ended(error);
    },
  });
}
