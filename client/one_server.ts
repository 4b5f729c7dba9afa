// A call that stays on one server: for those who fail fast, those who try the same server again, and each server of a
// broadcast.

import { RpcError } from "../call/error.ts";
import { Backoff } from "../discovery/backoff.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import { type Answer, asWhole, attempt, checkLive, MAX_ATTEMPTS, sendsAgain } from "./call.ts";
import type { Leg } from "./leg.ts";
import type { Ways } from "./retry.ts";
import { pause } from "./within.ts";

/** The longest wait between two attempts, in ms. */
const LONGEST_WAIT = 1_000;

/** How a call stays on one server. */
export interface OneServerOptions {
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
 * @param leg The server; until the call has been sent once, it may go to another that has more room, unless it is part of
 * a broadcast
 * @throws {RpcError} Why it failed
 */
export async function callServer(
  call: OutgoingCall,
  leg: Leg,
  ways: Ways,
  options: OneServerOptions,
): Promise<Answer> {
  const errors: RpcError[] = [];
  try {
    return await tryServer(call, leg, ways, options, errors);
  } catch (error) {
    throw error instanceof RpcError ? asWhole(error, errors) : error;
  }
}

/** @param errors Why attempts have failed; added to */
async function tryServer(
  call: OutgoingCall,
  first: Leg,
  ways: Ways,
  { signal, again }: OneServerOptions,
  errors: RpcError[],
): Promise<Answer> {
  const backoff = new Backoff(Math.random);
  const { budget, changes } = ways;
  for (let leg = first;;) {
    checkLive(call, signal, leg);
    const before = changes?.version;
    let sent = false;
    let instead: Leg | undefined;
    try {
      const session = await leg.channel.connectedFor(call, signal);
      sent = true;
      const answer = await attempt(session, leg.address, call, signal, (reason) => {
        if (reason !== undefined || errors.length > 0 || again === "if left") return false;
        const { method, key, streams } = call;
        instead = ways.pickLeg({ method, key, streams, exclude: new Set([leg.address]) }, true);
        return instead !== undefined;
      });
      if (answer !== undefined) {
        leg.done();
        return answer;
      }
    } catch (error) {
      report(leg, sent ? call.faultOf(error as RpcError) : error, sent, signal);
      if (!sent) call.watch?.failedAt(leg.address, error);
      if (!(error instanceof RpcError)) throw error;
      const unsent = !sent || error.code === "unavailable" && error.notStarted && !error.remote;
      if (unsent && call.waitForReady && before !== undefined && leg.channel.state !== "closed") {
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
      leg.leave();
      leg = instead;
    } else if (again === "always") await pause(backoff.next(LONGEST_WAIT), call.deadline, signal);
  }
}

function report(leg: Leg, error: unknown, sent: boolean, signal: AbortSignal | undefined): void {
  if (sent) leg.done(error as RpcError | undefined);
  else if (error instanceof RpcError && !signal?.aborted) leg.missed();
  else leg.leave();
}
