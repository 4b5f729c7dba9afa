// When a call of a client may be sent again, and how a further attempt is made.

import { ofCall, RpcError } from "../call/error.ts";
import type { Metadata } from "../call/metadata.ts";
import { canceled, deadlineExceeded, endedWith } from "../call/outcome.ts";
import type { SessionCall } from "../session/session_call.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import type { Session } from "../session/session.ts";
import type { Attempt } from "./attempt.ts";
import type { RetryBudget } from "./retry_budget.ts";

/** How often one call is sent at most, on its way from server to server or to the same one. */
export const MAX_ATTEMPTS = 4;

/** What a call was answered with. */
export interface Answer {
  readonly value: unknown;
  readonly metadata: Metadata | undefined;
}

/** Whether a call that failed with `error` may be sent again. */
export function mayRetry(error: RpcError, call: OutgoingCall): boolean {
  // What has been taken from a stream of arguments, or handed out of a stream of items, cannot be taken back.
  if (call.sendStream !== undefined || call.recvStream?.started) return false;
  if (error.code === "unavailable") return error.notStarted || call.idempotent;
  return error.code === "resource_exhausted" && error.notStarted && error.remote;
}

/** Whether a call that failed with `error` is sent again: whether it may, and the budget has it. */
export function sendsAgain(error: unknown, call: OutgoingCall, budget: RetryBudget): error is RpcError {
  if (!(error instanceof RpcError) || !mayRetry(error, call)) return false;
  // What no server has seen, such as a call to one that leaves or cannot be reached, made no work for any.
  const costless = error.notStarted && error.code !== "resource_exhausted";
  return costless || budget.take();
}

/**
 * The error of one attempt as that of the whole call: if another attempt may have been started, so may the call.
 *
 * @param errors Why attempts failed
 * @param started How many attempts there were, if some of them have not failed yet
 */
export function withAllErrors(
  error: RpcError,
  errors: readonly RpcError[],
  started = errors.length,
): RpcError {
  const surely = errors.length === started && errors.every(({ notStarted }) => notStarted);
  return error.notStarted && !surely ? endedWith(error, false) : error;
}

/**
 * Looks whether a call that is about to be sent is over already.
 *
 * @param attempt What was picked for it, and is not needed then
 * @throws {RpcError} If it is over
 */
export function checkLive(
  { method, deadline }: OutgoingCall,
  signal: AbortSignal | undefined,
  attempt: Attempt | undefined,
): void {
  if (!signal?.aborted && deadline > performance.now()) return;
  attempt?.release();
  throw signal?.aborted ? canceled(method, signal.reason, true) : deadlineExceeded(method, true);
}

/**
 * Makes a further attempt at a call, over a session.
 *
 * @param address Where it is made
 * @param signal Ends this attempt; the call's own unless there is more to it
 * @param leaves Picks another server, if the call can go there instead, as {@linkcode SessionCall.leaves}; absent = it
 * stays
 * @returns What it was answered; undefined if it has left
 */
export function sendAttempt(
  session: Session,
  address: string,
  call: OutgoingCall,
  signal: AbortSignal | undefined,
  leaves?: (reason: RpcError | undefined) => boolean,
): Promise<Answer | undefined> {
  const { method, args, body, deadline, metadata, ownMetadata, recvStream } = call;
  return new Promise((resolve, fail) => {
    const attempt: SessionCall = {
      seq: 0,
      method,
      args,
      body,
      repeatable: false,
      deadline,
      signal,
      metadata,
      ownMetadata,
      recvStream,
      sendStream: undefined,
      resolve: (value, metadata) => {
        call.observer?.answeredAt(session.address);
        resolve({ value, metadata });
      },
      reject: (error) => {
        ofCall(error, method, address);
        call.sendStream ??= attempt.sendStream;
        call.observer?.failedAt(session.address, error);
        fail(error);
      },
      leaves: (reason) => {
        const left = leaves?.(reason) ?? false;
        if (left) resolve(undefined);
        return left;
      },
    };
    session.call(attempt);
  });
}
