// The long way of a call: waiting for a connection, and going to another server where that is allowed. A call is sent
// again only where it is certain that no handler was started for it, or where its user says that it may run twice.

import { RpcError } from "../call/error.ts";
import type { PickContext } from "../discovery/balancer.ts";
import { SessionCall } from "../transport/caller.ts";
import type { Channel } from "./channel.ts";
import type { CallPlan } from "./options.ts";
import { within } from "./within.ts";

/** How often one call is sent at most. */
const MAX_ATTEMPTS = 4;

/** Whether a call that failed with `error` may be sent again. */
export function mayRetry(error: RpcError, plan: CallPlan): boolean {
  if (error.code === "unavailable") return error.notStarted || plan.idempotent;
  return error.code === "resource_exhausted" && error.notStarted && error.remote;
}

/**
 * Makes a call, on as many servers as it takes.
 *
 * @param pick Chooses a channel
 * @param error Why an attempt made already has failed
 * @throws {RpcError} The error of the last server, or of all of them
 */
export async function retry(
  plan: CallPlan,
  pick: (context: PickContext) => Channel | undefined,
  error: RpcError | undefined,
): Promise<unknown> {
  const { method, key, signal, deadline } = plan;
  /** Servers that could not be reached or had no room: not asked again. */
  const exclude = new Set<string>();
  const errors: RpcError[] = error === undefined ? [] : [error];
  const late = () =>
    new RpcError("deadline_exceeded", `Call of ${method} was not answered in time`, { notStarted: true });
  while (errors.length < MAX_ATTEMPTS || exclude.size === errors.length) {
    if (signal?.aborted) {
      const message = `Call of ${method} was canceled by its signal`;
      throw new RpcError("canceled", message, { cause: signal.reason, notStarted: true });
    }
    if (deadline <= performance.now()) throw late();
    const channel = pick({ method, key, exclude });
    if (channel === undefined) break;
    try {
      const session = await within(channel.connected(), deadline, signal, late);
      return await new Promise((resolve, reject) => {
        session.call(new SessionCall(method, plan.args, deadline, signal, plan.metadata, resolve, reject));
      });
    } catch (error) {
      if (!(error instanceof RpcError) || !mayRetry(error, plan)) throw error;
      // A server that went away in good order may be back at once; one that refused or did not answer is not.
      if (channel.ready === undefined || error.code === "resource_exhausted") exclude.add(channel.address);
      errors.push(error);
    }
  }
  throw summary(errors, exclude.size);
}

function summary(errors: RpcError[], servers: number): RpcError {
  const last = errors.at(-1);
  if (last === undefined) {
    return new RpcError("unavailable", "No server is known to call", { notStarted: true });
  }
  if (servers < 2) return last;
  const notStarted = errors.every((error) => error.notStarted);
  const reasons = errors.map((error) => error.message).join("; ");
  return new RpcError("unavailable", `None of ${servers} servers took the call: ${reasons}`, {
    cause: last,
    notStarted,
  });
}
