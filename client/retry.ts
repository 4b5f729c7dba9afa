// The long way of a call: waiting for a connection, and going to another server where that is allowed. A call is sent
// again only where it is certain that no handler was started for it, or where its user says that it may run twice.

import { RpcError } from "../call/error.ts";
import type { PickContext } from "../discovery/balancer.ts";
import type { Session } from "../transport/session.ts";
import type { AttemptListener, OutgoingCall } from "../transport/outgoing_call.ts";
import { type Answer, asWhole, attempt, checkLive, MAX_ATTEMPTS, mayRetry, sendsAgain } from "./call.ts";
import type { Channel } from "./channel.ts";
import type { Leg } from "./leg.ts";
import type { RetryBudget } from "./retry_budget.ts";
import { withStop } from "./within.ts";

/** What a call needs of its client to be made more than once. */
export interface Ways {
  /** How often it may be sent again. */
  readonly budget: RetryBudget;
  /** Picks a server. */
  pickLeg(context: PickContext): Leg | undefined;
}

/** An attempt at a call that failed before it came here. */
export interface Failed {
  /** Where it was made. */
  readonly address: string;
  /** Why it failed. */
  readonly error: RpcError;
}

/**
 * Makes a call, on as many servers as it takes.
 *
 * @param first The server that was picked already
 * @param signal Ends it
 * @param failed The first attempt, if it was made already
 * @throws {RpcError} The error of the last server, or of all of them
 */
export async function retry(
  call: OutgoingCall,
  ways: Ways,
  first: Leg | undefined,
  signal: AbortSignal | undefined = call.signal,
  failed?: Failed,
): Promise<Answer> {
  const way = new Way(call, ways, signal, failed);
  try {
    return await way.go(first);
  } catch (error) {
    throw error instanceof RpcError ? asWhole(error, way.errors) : error;
  }
}

/** One call on its way from server to server. */
class Way {
  /** Why attempts have failed so far. */
  readonly errors: RpcError[] = [];
  readonly #call: OutgoingCall;
  readonly #ways: Ways;
  readonly #signal: AbortSignal | undefined;
  /** Servers that could not be reached or had no room: not asked again. */
  readonly #exclude = new Set<string>();
  /** Servers that have failed the call: asked again if there is no other. */
  readonly #failed = new Set<string>();
  /** Those of them whose connection takes its time: waited for when there is no other. */
  #slow: Channel[] = [];

  constructor(call: OutgoingCall, ways: Ways, signal: AbortSignal | undefined, failed: Failed | undefined) {
    this.#call = call;
    this.#ways = ways;
    this.#signal = signal;
    if (failed === undefined) return;
    this.errors.push(failed.error);
    call.watch?.failedAt(failed.address, failed.error);
    this.#failed.add(failed.address);
  }

  async go(first: Leg | undefined): Promise<Answer> {
    const { errors } = this;
    for (let attempts = errors.length, next = first; attempts < MAX_ATTEMPTS; next = undefined) {
      const leg = next ?? this.#pick();
      checkLive(this.#call, this.#signal, leg);
      if (leg === undefined && this.#slow.length === 0) break;
      const reached = await this.#reach(leg);
      if (reached === undefined) continue;
      const { channel, session, listener } = reached;
      try {
        attempts++;
        const answer = await attempt(session, this.#call, this.#signal);
        listener.done();
        return answer;
      } catch (error) {
        listener.done(error as RpcError);
        if (attempts < MAX_ATTEMPTS && !sendsAgain(error, this.#call, this.#ways.budget)) throw error;
        if (!(error instanceof RpcError) || !mayRetry(error, this.#call)) throw error;
        // A server that goes away in good order may be back at once; one that is full is not.
        if (error.code === "resource_exhausted") this.#exclude.add(channel.address);
        this.#failed.add(channel.address);
        errors.push(error);
      }
    }
    throw summary(errors, this.#exclude.size);
  }

  #pick(): Leg | undefined {
    const { method, key } = this.#call;
    const failed = new Set([...this.#failed, ...this.#exclude]);
    const other = this.#ways.pickLeg({ method, key, exclude: failed });
    if (other !== undefined || failed.size === this.#exclude.size) return other;
    return this.#ways.pickLeg({ method, key, exclude: this.#exclude });
  }

  /** Gets a connection: to the server that was picked, or if there is none, to one that is slow. */
  async #reach(
    leg: Leg | undefined,
  ): Promise<{ channel: Channel; session: Session; listener: AttemptListener } | undefined> {
    const call = this.#call;
    try {
      if (leg === undefined) {
        const [channel, session] = await firstOf(this.#slow.splice(0), call, this.#signal);
        return { channel, session, listener: channel };
      }
      const { channel } = leg;
      if (await channel.soon(call, this.#signal)) {
        return { channel, session: await channel.connectedFor(call, this.#signal), listener: leg };
      }
      leg.missed();
      this.#exclude.add(channel.address);
      this.#slow.push(channel);
    } catch (error) {
      const over = !(error instanceof RpcError) || this.#signal?.aborted;
      if (over) leg?.leave();
      else leg?.missed();
      if (over || call.deadline <= performance.now()) throw error;
      if (leg !== undefined) {
        this.#exclude.add(leg.channel.address);
        call.watch?.failedAt(leg.channel.address, error);
      }
      this.errors.push(error);
    }
    return undefined;
  }
}

/** The channel that has a session first, and the session; the last error if none gets one. */
async function firstOf(
  channels: readonly Channel[],
  call: OutgoingCall,
  signal: AbortSignal | undefined,
): Promise<[Channel, Session]> {
  try {
    // Those that are not needed any more stop waiting.
    return await withStop(signal, (stop) => {
      return Promise.any(channels.map(async (channel): Promise<[Channel, Session]> => {
        return [channel, await channel.connectedFor(call, stop)];
      }));
    });
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
