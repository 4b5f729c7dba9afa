// When a call may be sent again, and how a further attempt is made.

import { ofCall, RpcError } from "../call/error.ts";
import type { Metadata } from "../call/metadata.ts";
import { canceled, deadlineExceeded, endedWith } from "../call/outcome.ts";
import type { CallTarget, SessionCall } from "../session/session_call.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import type { Attempt } from "./attempt.ts";
import type { RetryBudget } from "./retry_budget.ts";

/** The most attempts of one call, on different servers or on the same one. */
export const MAX_ATTEMPTS = 4;

/** The answer to a call. */
export interface Answer {
  readonly value: unknown;
  readonly metadata: Metadata | undefined;
}

/** Whether a call that failed with `error` may be sent again. */
export function mayRetry(error: RpcError, call: OutgoingCall): boolean {
  // Items that were taken from a stream of arguments, or delivered from a stream of results, cannot be taken back.
  if (call.sendStream !== undefined || call.recvStream?.started) return false;
  if (error.code === "unavailable") return error.notStarted || call.idempotent;
  return error.code === "resource_exhausted" && error.notStarted && error.remote;
}

/** Whether a call that failed with `error` is sent again: it must be safe, and within the budget. */
export function sendsAgain(error: unknown, call: OutgoingCall, budget: RetryBudget): error is RpcError {
  if (!(error instanceof RpcError) || !mayRetry(error, call)) return false;
  // A call that no server has seen caused no work, such as one to a server that shuts down or cannot be reached.
  const costless = error.notStarted && error.code !== "resource_exhausted";
  return costless || budget.take();
}

/**
 * Turns the error of one attempt into that of the call: if any attempt may have been started, so may the call.
 *
 * @param errors The errors of all attempts
 * @param started How many attempts there were, if some are still pending
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
 * Checks that a call has not been canceled and that its deadline has not passed.
 *
 * @param attempt Released if the call has ended
 * @throws {RpcError} If the call has ended
 */
export function checkLive(
  call: OutgoingCall,
  signal: AbortSignal | undefined,
  attempt: Attempt | undefined,
): void {
  if (!signal?.aborted && call.deadline > performance.now()) return;
  attempt?.release();
  throw signal?.aborted ? canceled(call.method, signal.reason, true) : deadlineExceeded(call, true);
}

/**
 * Makes a further attempt at a call, over a session or a connection that is in its handshake.
 *
 * @param address The server's address
 * @param signal Cancels this attempt
 * @param leaves Moves the call to another server if it can, as {@linkcode SessionCall.leaves}; without it, the call
 * stays
 * @returns The answer; undefined if the call has moved
 */
export function sendAttempt(
  session: CallTarget,
  address: string,
  call: OutgoingCall,
  signal: AbortSignal | undefined,
  leaves?: (reason: RpcError | undefined) => boolean,
): Promise<Answer | undefined> {
  const { method, args, body, deadline, timeout, metadata, ownMetadata, recvStream } = call;
  return new Promise((resolve, fail) => {
    const attempt: SessionCall = {
      seq: 0,
      method,
      args,
      body,
      repeatable: false,
      deadline,
      timeout,
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
