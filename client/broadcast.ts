// One call to every server concurrently. The first error cancels the others.

import { deadlineExceeded } from "../call/outcome.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import type { Answer } from "./send_attempt.ts";
import type { Channel } from "./channel.ts";
import { Attempt } from "./attempt.ts";
import { callServer } from "./single_server.ts";
import type { RetryContext } from "./retry_loop.ts";
import { withStop } from "./waiting.ts";

/**
 * Calls every channel. If a server shuts down before it has started the call, the call is sent again once it is back.
 *
 * @param channels Returns the current channels
 * @returns One of the answers
 * @throws {RpcError} The first error; `unavailable` if there are no channels
 */
export async function broadcast(
  channels: () => readonly Channel[],
  call: OutgoingCall,
  context: RetryContext,
): Promise<Answer> {
  const { changes } = context;
  while (call.waitForReady && changes !== undefined && channels().length === 0) {
    await changes.changed(changes.version, call, call.signal, context.noServer(call.method).message);
  }
  const servers = channels();
  if (servers.length === 0) throw context.noServer(call.method);
  if (call.deadline <= performance.now()) throw deadlineExceeded(call, true);
  return await withStop(call.signal, async (signal) => {
    const answers = await Promise.all(servers.map((channel) => {
      // The balancer did not pick this server, so it gets no report.
      const attempt = new Attempt(channel, undefined, 0);
      return callServer(call, attempt, context, { signal, again: "if left" });
    }));
    return answers[0]!;
  });
}
