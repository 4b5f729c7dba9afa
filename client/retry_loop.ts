// The retries of a call: waits for a connection, and fails over to another server where that is safe. A call is sent
// again only if no handler was started for it, or if it is marked idempotent.

import { type Code, RpcError } from "../call/error.ts";
import type { CallTarget } from "../session/session_call.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import {
  type Answer,
  checkLive,
  MAX_ATTEMPTS,
  mayRetry,
  sendAttempt,
  sendsAgain,
  withAllErrors,
} from "./send_attempt.ts";
import type { Channel } from "./channel.ts";
import { Attempt, type PickRequest } from "./attempt.ts";
import type { RetryBudget } from "./retry_budget.ts";
import { withStop } from "./waiting.ts";

/** What the retries of a call use of their client. */
export interface RetryContext {
  /** How many calls may be sent again. */
  readonly budget: RetryBudget;
  /**
   * Picks a server.
   *
   * @param soon Whether the call must be able to go there soon
   */
  pick(context: PickRequest, soon?: boolean): Attempt | undefined;
  /** The error of a call for which there is no server. */
  noServer(method: string): RpcError;
  /** For calls that wait for a server; without it, they do not wait. */
  readonly changes?: ServerChanges;
}

/** New lists and new connections, after which a call may find a server. */
export interface ServerChanges {
  /** Counts them. */
  readonly version: number;
  /**
   * Waits for the next change.
   *
   * @param since What `version` was before the call looked for a server
   * @param why Why it found none
   * @param code Of the error if the call's deadline comes first; `deadline_exceeded` by default
   * @throws {RpcError} If the call's deadline comes first, or `signal` aborts
   */
  changed(
    since: number,
    call: OutgoingCall,
    signal: AbortSignal | undefined,
    why: string,
    code?: Code,
  ): Promise<void>;
}

/** An attempt that failed before the retries began. */
export interface Failed {
  /** Where it was made. */
  readonly address: string;
  /** Why it failed. */
  readonly error: RpcError;
}

/**
 * Makes a call, with retries on other servers.
 *
 * @param first The server that has been picked
 * @param signal Cancels the call
 * @param failed The first attempt, if it was made already
 * @throws {RpcError} The error of the last server, or of all of them
 */
export async function retry(
  call: OutgoingCall,
  context: RetryContext,
  first: Attempt | undefined,
  signal: AbortSignal | undefined = call.signal,
  failed?: Failed,
): Promise<Answer> {
  const loop = new RetryLoop(call, context, signal, failed);
  try {
    return await loop.run(first);
  } catch (error) {
    throw error instanceof RpcError ? withAllErrors(error, loop.errors) : error;
  }
}

/**
 * Waits for a connection to any server, for a call that then stays on that server.
 *
 * @param first The server that has been picked
 * @throws {RpcError} Why no server can be reached, as `retry`
 */
export async function reach(
  call: OutgoingCall,
  context: RetryContext,
  first: Attempt | undefined,
): Promise<Attempt> {
  const { attempt } = await new RetryLoop(call, context, call.signal, undefined).reach(first);
  return attempt;
}

/** The retries of one call. */
class RetryLoop {
  /** Why attempts have failed so far. */
  readonly errors: RpcError[] = [];
  readonly #call: OutgoingCall;
  readonly #context: RetryContext;
  readonly #signal: AbortSignal | undefined;
  /** Servers that could not be reached: excluded, unless the call waits for a change. */
  readonly #unreached = new Set<string>();
  /** Servers that had no room: excluded. */
  readonly #refused = new Set<string>();
  /** Servers on which the call failed: used again if there is no other. */
  readonly #failed = new Set<string>();
  /** Channels that are slow to connect: waited for if there is no other. */
  #slow: Channel[] = [];
  /** The version of the changes before the loop looked for a server. */
  #version: number | undefined;

  constructor(
    call: OutgoingCall,
    context: RetryContext,
    signal: AbortSignal | undefined,
    failed: Failed | undefined,
  ) {
    this.#call = call;
    this.#context = context;
    this.#signal = signal;
    this.#version = context.changes?.version;
    if (failed !== undefined) this.#recordFailure(failed);
  }

  async run(first: Attempt | undefined): Promise<Answer> {
    const { errors } = this;
    let next = first;
    for (let attempts = errors.length; attempts < MAX_ATTEMPTS;) {
      const { attempt, session } = await this.reach(next);
      next = undefined;
      const last = ++attempts === MAX_ATTEMPTS;
      try {
        const answer = await sendAttempt(session, attempt.address, this.#call, this.#signal, (reason) => {
          if (last && reason !== undefined) return false;
          next = this.#pickInstead(attempt, reason);
          if (next !== undefined && reason === undefined) attempts--;
          return next !== undefined;
        });
        if (answer !== undefined) {
          attempt.done();
          return answer;
        }
        attempt.release();
      } catch (error) {
        if (session.failed === true) {
          this.#recordUnreached(attempt, error);
          if (!this.#mayMove(error as RpcError)) throw error;
          if ((error as RpcError).notStarted) attempts--;
          continue;
        }
        attempt.done(this.#call.faultOf(error as RpcError));
        if (!last && !sendsAgain(error, this.#call, this.#context.budget)) throw error;
        if (!(error instanceof RpcError) || !mayRetry(error, this.#call)) throw error;
        // A server that shuts down gracefully may be back soon; one that is full is not.
        if (error.code === "resource_exhausted") this.#refused.add(attempt.address);
        this.#failed.add(attempt.address);
        errors.push(error);
      }
    }
    throw this.#summary();
  }

  /** Gets a connection to the server that was picked, or to another one. */
  async reach(first: Attempt | undefined): Promise<Reached> {
    for (let next = first;; next = undefined) {
      const attempt = next ?? this.#pick();
      checkLive(this.#call, this.#signal, attempt);
      if (attempt === undefined && this.#waits) {
        await this.#changed();
        continue;
      }
      if (attempt === undefined && (this.#slow.length === 0 || this.#call.waitForReady)) {
        throw this.#summary();
      }
      const reached = await this.#connect(attempt);
      if (reached !== undefined) return reached;
    }
  }

  #pick(): Attempt | undefined {
    const { method, key, streams } = this.#call;
    const exclude = new Set([...this.#unreached, ...this.#refused]);
    const failed = new Set([...this.#failed, ...exclude]);
    const other = this.#context.pick({ method, key, streams, exclude: failed });
    if (other !== undefined || failed.size === exclude.size) return other;
    return this.#context.pick({ method, key, streams, exclude });
  }

  /**
   * Picks a server instead of that of `attempt`, which has no room or is silent, if the call can go there at once; or the same,
   * if it has another connection.
   */
  #pickInstead({ address, channel }: Attempt, error: RpcError | undefined): Attempt | undefined {
    const { method, key, streams } = this.#call;
    const { budget } = this.#context;
    if (error !== undefined && !(mayRetry(error, this.#call) && budget.left)) return undefined;
    const tried = [...this.#failed, ...this.#unreached, ...this.#refused];
    const pick = (exclude: ReadonlySet<string>) =>
      this.#context.pick({ method, key, streams, exclude }, true);
    let other = pick(new Set([...tried, address]));
    if (other === undefined && channel.connections > 1) other = pick(new Set(tried));
    if (other === undefined || error === undefined) return other;
    budget.take();
    this.#recordFailure({ address, error });
    return other;
  }

  #recordFailure({ address, error }: Failed): void {
    this.errors.push(error);
    this.#failed.add(address);
    this.#call.observer?.failedAt(address, error);
  }

  /** Whether the call waits when no server is left: it does if some could not be reached, not if all refused it. */
  get #waits(): boolean {
    const unreached = this.#unreached.size > 0 || this.#refused.size === 0;
    return this.#call.waitForReady && this.#version !== undefined && unreached;
  }

  #summary(): RpcError {
    return summary(this.errors, this.#unreached.size + this.#refused.size) ??
      this.#context.noServer(this.#call.method);
  }

  /** Waits for a new list or a new connection. */
  async #changed(): Promise<void> {
    const { changes } = this.#context;
    const connecting = this.#slow.map(({ address }) => `still connecting to ${address}`);
    const why = [...this.errors.map(({ message }) => message), ...connecting].join("; ");
    // If all servers refuse the token, the caller should learn that, not that the deadline passed.
    const refused = this.errors.length > 0 && this.errors.every(({ code }) => code === "unauthenticated");
    const code = refused ? "unauthenticated" : undefined;
    await changes!.changed(
      this.#version!,
      this.#call,
      this.#signal,
      why || this.#context.noServer(this.#call.method).message,
      code,
    );
    this.#version = changes!.version;
    this.#unreached.clear();
    this.#slow = [];
    // Only errors of attempts that may have been started matter for the outcome of the call.
    this.errors.splice(0, Infinity, ...this.errors.filter(({ notStarted }) => !notStarted));
  }

  /** Gets a connection to the server that was picked or, without one, to a slow server. */
  async #connect(attempt: Attempt | undefined): Promise<Reached | undefined> {
    const call = this.#call;
    try {
      if (attempt === undefined) return await firstOf(this.#slow.splice(0), call, this.#signal);
      const { channel } = attempt;
      if (await channel.soon(call, this.#signal)) {
        return { attempt, session: await channel.connectedFor(call, this.#signal) };
      }
      attempt.unreachable();
      this.#unreached.add(channel.address);
      this.#slow.push(channel);
    } catch (error) {
      this.#recordUnreached(attempt, error);
      if (attempt !== undefined) call.observer?.failedAt(attempt.address, error);
    }
    return undefined;
  }

  /**
   * Records that there is no connection to a server.
   *
   * @param attempt The server that was picked; undefined if it is one that was recorded before
   * @throws {RpcError} The reason, if the call has ended
   */
  #recordUnreached(attempt: Attempt | undefined, error: unknown): void {
    const over = !(error instanceof RpcError) || this.#signal?.aborted;
    if (over) attempt?.release();
    else attempt?.unreachable();
    if (over || this.#call.deadline <= performance.now()) throw error;
    if (attempt !== undefined) this.#unreached.add(attempt.address);
    this.errors.push(error);
  }

  /** Whether a call that has left with a handshake which then failed may go to another server. */
  #mayMove({ notStarted }: RpcError): boolean {
    return notStarted || this.#call.idempotent && this.#context.budget.take();
  }
}

/** A server, and a connection to it. */
interface Reached {
  readonly attempt: Attempt;
  readonly session: CallTarget;
}

/** The channel that is connected first; throws the last error if none is. Their failures have been reported. */
async function firstOf(
  channels: readonly Channel[],
  call: OutgoingCall,
  signal: AbortSignal | undefined,
): Promise<Reached> {
  try {
    // The others stop waiting.
    return await withStop(signal, (stop) => {
      return Promise.any(channels.map(async (channel) => {
        return {
          attempt: new Attempt(channel, undefined, 0),
          session: await channel.connectedFor(call, stop),
        };
      }));
    });
  } catch (error) {
    throw (error as AggregateError).errors.at(-1);
  }
}

function summary(errors: RpcError[], servers: number): RpcError | undefined {
  const last = errors.at(-1);
  if (last === undefined || servers < 2) return last;
  const notStarted = errors.every((error) => error.notStarted);
  const reasons = errors.map((error) => error.message).join("; ");
  const message = `None of ${servers} servers took the call: ${reasons}`;
  return new RpcError("unavailable", message, { cause: last, notStarted });
}
