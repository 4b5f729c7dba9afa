// A call that stays on one server: for those who fail fast, those who try the same server again, and each server of a
// broadcast.

import { RpcError } from "../call/error.ts";
import { Backoff } from "../discovery/backoff.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import {
  type Answer,
  checkLive,
  MAX_ATTEMPTS,
  sendAttempt,
  sendsAgain,
  withAllErrors,
} from "./send_attempt.ts";
import type { Attempt } from "./attempt.ts";
import type { RetryContext } from "./retry_loop.ts";
import { pause } from "./waiting.ts";

/** The longest wait between two attempts, in ms. */
const LONGEST_WAIT = 1_000;

/** How a call stays on one server. */
export interface SingleServerOptions {
  /** Ends the call. */
  readonly signal: AbortSignal | undefined;
  /**
   * When it is sent again, if it may be at all: never; when the server that had the connection left, at once; or that
   * and when there is no connection, after a while.
   */
  readonly again: "never" | "if left" | "always";
}

/**
 * Makes a call on one server.
 *
 * @param attempt The server; until the call has been sent once, it may go to another that has more room, unless it is part of
 * a broadcast
 * @throws {RpcError} Why it failed
 */
export async function callServer(
  call: OutgoingCall,
  attempt: Attempt,
  context: RetryContext,
  options: SingleServerOptions,
): Promise<Answer> {
  const errors: RpcError[] = [];
  try {
    return await tryServer(call, attempt, context, options, errors);
  } catch (error) {
    throw error instanceof RpcError ? withAllErrors(error, errors) : error;
  }
}

/** @param errors Why attempts have failed; added to */
async function tryServer(
  call: OutgoingCall,
  first: Attempt,
  context: RetryContext,
  { signal, again }: SingleServerOptions,
  errors: RpcError[],
): Promise<Answer> {
  const backoff = new Backoff(Math.random);
  const { budget, changes } = context;
  for (let attempt = first;;) {
    checkLive(call, signal, attempt);
    const before = changes?.version;
    let sent = false;
    let instead: Attempt | undefined;
    try {
      const session = await attempt.channel.connectedFor(call, signal);
      sent = true;
      const answer = await sendAttempt(session, attempt.address, call, signal, (reason) => {
        if (reason !== undefined || errors.length > 0 || again === "if left") return false;
        const { method, key, streams } = call;
        instead = context.pick({ method, key, streams, exclude: new Set([attempt.address]) }, true);
        return instead !== undefined;
      });
      if (answer !== undefined) {
        attempt.done();
        return answer;
      }
    } catch (error) {
      report(attempt, sent ? call.faultOf(error as RpcError) : error, sent, signal);
      if (!sent) call.observer?.failedAt(attempt.address, error);
      if (!(error instanceof RpcError)) throw error;
      const unsent = !sent || error.code === "unavailable" && error.notStarted && !error.remote;
      if (unsent && call.waitForReady && before !== undefined && attempt.channel.state !== "closed") {
        if (signal?.aborted || call.deadline <= performance.now()) throw error;
        const code = error.code === "unauthenticated" ? error.code : undefined;
        await changes!.changed(before, call, signal, error.message, code);
        continue;
      }
      errors.push(error);
      const ends = again === "never" || again === "if left" && !sent || errors.length === MAX_ATTEMPTS;
      if (ends || !sendsAgain(error, call, budget)) throw error;
    }
    if (instead !== undefined) {
      attempt.release();
      attempt = instead;
    } else if (again === "always") await pause(backoff.next(LONGEST_WAIT), call.deadline, signal);
  }
}

function report(attempt: Attempt, error: unknown, sent: boolean, signal: AbortSignal | undefined): void {
  if (sent) attempt.done(error as RpcError | undefined);
  else if (error instanceof RpcError && !signal?.aborted) attempt.unreachable();
  else attempt.release();
}
