// One call to every server at once. The first error cancels the rest.

import { deadlineExceeded } from "../call/outcome.ts";
import type { OutgoingCall } from "../transport/outgoing_call.ts";
import { attempt } from "./call.ts";
import type { Channel } from "./channel.ts";
import { noServer } from "./retry.ts";

/**
 * Calls every channel.
 *
 * @returns One of the results
 * @throws {RpcError} The first error; `unavailable` if there are no channels
 */
export async function broadcast(channels: readonly Channel[], call: OutgoingCall): Promise<unknown> {
  if (channels.length === 0) throw noServer();
  if (call.deadline <= performance.now()) throw deadlineExceeded(call.method, true);
  const stop = new AbortController();
  const { signal } = stop;
  const abort = () => stop.abort(call.signal?.reason);
  if (call.signal?.aborted) abort();
  call.signal?.addEventListener("abort", abort);
  try {
    const results = await Promise.all(channels.map(async (channel) => {
      const session = await channel.connectedFor(call, signal);
      return await attempt(session, call, signal);
    }));
    return results[0];
  } finally {
    call.signal?.removeEventListener("abort", abort);
    stop.abort();
  }
}
