// One call to every server at once. The first error cancels the rest.

import { RpcError } from "../call/error.ts";
import { SessionCall } from "../transport/caller.ts";
import type { Channel } from "./channel.ts";
import type { CallPlan } from "./options.ts";
import { within } from "./within.ts";

/**
 * Calls every channel.
 *
 * @returns One of the results
 * @throws {RpcError} The first error; `unavailable` if there are no channels
 */
export async function broadcast(channels: readonly Channel[], plan: CallPlan): Promise<unknown> {
  if (channels.length === 0) {
    throw new RpcError("unavailable", "No server is known to call", { notStarted: true });
  }
  const stop = new AbortController();
  const abort = () => stop.abort(plan.signal?.reason);
  if (plan.signal?.aborted) abort();
  plan.signal?.addEventListener("abort", abort);
  try {
    const results = await Promise.all(channels.map((channel) => callOne(channel, plan, stop.signal)));
    return results[0];
  } finally {
    plan.signal?.removeEventListener("abort", abort);
    stop.abort();
  }
}

async function callOne(channel: Channel, plan: CallPlan, signal: AbortSignal): Promise<unknown> {
  const { method, args, deadline, metadata } = plan;
  const late = () =>
    new RpcError("deadline_exceeded", `Call of ${method} was not answered in time`, { notStarted: true });
  if (deadline <= performance.now()) throw late();
  const session = await within(channel.connected(), deadline, signal, late);
  return await new Promise((resolve, reject) => {
    session.call(new SessionCall(method, args, deadline, signal, metadata, resolve, reject));
  });
}
