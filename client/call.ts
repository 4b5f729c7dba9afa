// When a call of a client may be sent again, and how a further attempt is made.

import type { RpcError } from "../call/error.ts";
import type { SessionCall } from "../transport/caller.ts";
import type { OutgoingCall } from "../transport/outgoing_call.ts";
import type { Session } from "../transport/session.ts";

/** Whether a call that failed with `error` may be sent again. */
export function mayRetry(error: RpcError, call: OutgoingCall): boolean {
  // What has been taken from a stream of arguments, or handed out of a stream of items, cannot be taken back.
  if (call.outflow !== undefined || call.inflow?.begun) return false;
  if (error.code === "unavailable") return error.notStarted || call.idempotent;
  return error.code === "resource_exhausted" && error.notStarted && error.remote;
}

/**
 * Makes a further attempt at a call, over a session.
 *
 * @param signal Ends this attempt; the call's own unless there is more to it
 */
export function attempt(
  session: Session,
  call: OutgoingCall,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const { method, args, deadline, metadata, inflow } = call;
  return new Promise((resolve, fail) => {
    const attempt: SessionCall = {
      seq: 0,
      method,
      args,
      deadline,
      signal,
      metadata,
      inflow,
      outflow: undefined,
      resolve: (result, metadata) => {
        call.replyMetadata = metadata;
        resolve(result);
      },
      reject: (error) => {
        call.outflow ??= attempt.outflow;
        fail(error);
      },
    };
    session.call(attempt);
  });
}
