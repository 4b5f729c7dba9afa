// The long way of a call: waiting for a connection, and going to another server where that is allowed. A call is sent
// again only where it is certain that no handler was started for it, or where its user says that it may run twice.

import { RpcError } from "../call/error.ts";
import { canceled, deadlineExceeded, endedWith } from "../call/outcome.ts";
import type { PickContext } from "../discovery/balancer.ts";
import type { Session } from "../transport/session.ts";
import type { OutgoingCall } from "../transport/outgoing_call.ts";
import { attempt, mayRetry } from "./call.ts";
import type { Channel } from "./channel.ts";

/** How often one call is sent at most. */
const MAX_ATTEMPTS = 4;

/**
 * Makes a call, on as many servers as it takes.
 *
 * @param pick Chooses a channel
 * @param first The channel that was chosen already
 * @param error Why the first attempt, made already, has failed
 * @throws {RpcError} The error of the last server, or of all of them
 */
export async function retry(
  call: OutgoingCall,
  pick: (context: PickContext) => Channel | undefined,
  first: Channel | undefined,
  error?: RpcError,
): Promise<unknown> {
  const errors: RpcError[] = error === undefined ? [] : [error];
  try {
    return await tryServers(call, pick, first, errors);
  } catch (error) {
    if (!(error instanceof RpcError) || !error.notStarted) throw error;
    // The last attempt was not started, but an earlier one may have been.
    throw errors.every(({ notStarted }) => notStarted) ? error : endedWith(error, false);
  }
}

/** @param errors Why attempts have failed so far; added to */
async function tryServers(
  call: OutgoingCall,
  pick: (context: PickContext) => Channel | undefined,
  first: Channel | undefined,
  errors: RpcError[],
): Promise<unknown> {
  const { method, key, signal, deadline } = call;
  /** Servers that could not be reached or had no room: not asked again. */
  const exclude = new Set<string>();
  /** Those of them whose connection takes its time: waited for when there is no other. */
  const slow: Channel[] = [];
  let channel = first;
  for (let attempts = errors.length; attempts < MAX_ATTEMPTS; channel = undefined) {
    if (signal?.aborted) throw canceled(method, signal.reason, true);
    if (deadline <= performance.now()) throw deadlineExceeded(method, true);
    channel ??= pick({ method, key, exclude });
    // A balancer of the user's own may not care for what is excluded.
    const more = channel !== undefined && !exclude.has(channel.address);
    if (!more && slow.length === 0) break;
    let session: Session;
    try {
      if (more && !await channel!.soon(call, signal)) {
        exclude.add(channel!.address);
        slow.push(channel!);
        continue;
      }
      [channel, session] = await firstOf(more ? [channel!] : slow.splice(0), call, signal);
    } catch (error) {
      if (!(error instanceof RpcError) || signal?.aborted || deadline <= performance.now()) throw error;
      if (more) exclude.add(channel!.address);
      errors.push(error);
      continue;
    }
    try {
      attempts++;
      return await attempt(session, call, signal);
    } catch (error) {
      if (!(error instanceof RpcError) || !mayRetry(error, call)) throw error;
      // A server that goes away in good order may be back at once; one that is full is not.
      if (error.code === "resource_exhausted") exclude.add(channel.address);
      errors.push(error);
    }
  }
  throw summary(errors, exclude.size);
}

/** The channel that has a session first, and the session; the last error if none gets one. */
async function firstOf(
  channels: readonly Channel[],
  call: OutgoingCall,
  signal: AbortSignal | undefined,
): Promise<[Channel, Session]> {
  const wait = async (
    channel: Channel,
  ): Promise<[Channel, Session]> => [channel, await channel.connectedFor(call, signal)];
  if (channels.length === 1) return await wait(channels[0]!);
  try {
    return await Promise.any(channels.map(wait));
  } catch (error) {
    throw (error as AggregateError).errors.at(-1);
  }
}

function summary(errors: RpcError[], servers: number): RpcError {
  const last = errors.at(-1);
  if (last === undefined) return noServer();
  if (servers < 2) return last;
  const notStarted = errors.every((error) => error.notStarted);
  const reasons = errors.map((error) => error.message).join("; ");
  const message = `None of ${servers} servers took the call: ${reasons}`;
  return new RpcError("unavailable", message, { cause: last, notStarted });
}

/** The error of a call that has nowhere to go. */
export function noServer(): RpcError {
  return new RpcError("unavailable", "No server is known to call", { notStarted: true });
}
