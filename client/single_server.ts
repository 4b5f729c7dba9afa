// A call that stays on one server: fail mode `failfast`, fail mode `retry`, and each server of a broadcast.

import { RpcError } from "../call/error.ts";
import { Backoff } from "../discovery/backoff.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import type { CallTarget } from "../session/session_call.ts";
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

/** Options of {@linkcode callServer}. */
export interface SingleServerOptions {
  /** Cancels the call. */
  readonly signal: AbortSignal | undefined;
  /**
   * When the call is sent again, if that is safe: never; at once if the server shut down; or then and, with a backoff,
   * also when there is no connection.
   */
  readonly again: "never" | "if left" | "always";
}

/**
 * Makes a call on one server.
 *
 * @param attempt The server. Until the call has been sent once, it may move to another server or connection with more room,
 * unless it is part of a broadcast
 * @throws {RpcError} Why the call failed
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

/** @param errors Collects the errors of failed attempts */
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
    let target: CallTarget | undefined;
    let instead: Attempt | undefined;
    try {
      target = await attempt.channel.connectedFor(call, signal);
      const answer = await sendAttempt(target, attempt.address, call, signal, (reason) => {
        if (reason !== undefined || errors.length > 0 || again === "if left") return false;
        const { method, key, streams } = call;
        const pick = (exclude: ReadonlySet<string>) => context.pick({ method, key, streams, exclude }, true);
        instead = pick(new Set([attempt.address]));
        if (instead === undefined && attempt.channel.connections > 1) instead = pick(new Set());
        return instead !== undefined;
      });
      if (answer !== undefined) {
        attempt.done();
        return answer;
      }
    } catch (error) {
      // A call that has left with a handshake which then failed has met no session.
      const sent = target !== undefined && target.failed !== true;
      report(attempt, sent ? call.faultOf(error as RpcError) : error, sent, signal);
      if (target === undefined) call.observer?.failedAt(attempt.address, error);
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
