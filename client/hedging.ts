// Hedged and parallel calls: a call is sent to a second server if the first is slow, or to several at once. Only for
// idempotent calls.

import { deferred } from "../call/deferred.ts";
import { RpcError } from "../call/error.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import { type Answer, mayRetry, withAllErrors } from "./send_attempt.ts";
import type { Attempt, PickRequest } from "./attempt.ts";
import { retry, type RetryContext } from "./retry_loop.ts";
import { withStop } from "./waiting.ts";

/**
 * Sends a call to a second server if the first has not answered after a while. The first answer wins, even if it is an
 * error of the service; the other call is canceled. Hedged requests: Dean, Barroso, "The Tail at Scale" (CACM 56,
 * 2013).
 *
 * @param first The server that has been picked
 * @param delay How long to wait for it, in ms
 * @throws {RpcError} The first answer, if it is an error, or why no server answered
 */
export function hedge(
  call: OutgoingCall,
  context: RetryContext,
  first: Attempt | undefined,
  delay: number,
): Promise<Answer> {
  return withStop(call.signal, async (signal) => {
    const race = new Race(call, context, signal, (error) => !mayRetry(error, call));
    const timer = setTimeout(() => {
      const second = context.budget.left ? race.pick() : undefined;
      if (second === undefined) return;
      context.budget.take();
      race.start(second);
    }, delay);
    try {
      race.start(first);
      return await race.answer;
    } finally {
      clearTimeout(timer);
    }
  });
}

/**
 * Sends a call to several servers at once. The first success wins, the others are canceled. While the retry budget is
 * used up, the call is sent to one server only.
 *
 * @param first The server that has been picked
 * @param count How many servers; fewer if there are no more
 * @throws {RpcError} The error of one server if none succeeded, or why no server answered
 */
export function fanOut(
  call: OutgoingCall,
  context: RetryContext,
  first: Attempt | undefined,
  count: number,
): Promise<Answer> {
  return withStop(call.signal, async (signal) => {
    const race = new Race(call, context, signal, () => false);
    race.start(first);
    for (let more = context.budget.left ? count - 1 : 0; more > 0; more--) {
      const attempt = race.pick();
      if (attempt === undefined) break;
      race.start(attempt);
    }
    return await race.answer;
  });
}

/** One call to several servers. Each branch fails over by itself, to servers that the other branches do not use. */
class Race {
  /** The first answer. */
  readonly answer: Promise<Answer>;
  readonly #call: OutgoingCall;
  /** The context of the client. */
  readonly #given: RetryContext;
  readonly #context: RetryContext;
  readonly #signal: AbortSignal;
  readonly #isFinal: (error: RpcError) => boolean;
  readonly #taken = new Set<string>();
  /** Whether one of the servers is a regular one, not a standby. */
  #regular = false;
  readonly #errors: RpcError[] = [];
  #running = 0;
  #started = 0;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: unknown) => void;

  /** @param isFinal Whether an error is the result, although other servers may still answer */
  constructor(
    call: OutgoingCall,
    context: RetryContext,
    signal: AbortSignal,
    isFinal: (error: RpcError) => boolean,
  ) {
    this.#call = call;
    this.#signal = signal;
    this.#isFinal = isFinal;
    const pick = (request: PickRequest, soon?: boolean) => this.#pickOther(request, this.#running - 1, soon);
    this.#context = { budget: context.budget, pick, noServer: context.noServer };
    this.#given = context;
    const { promise, resolve, reject } = deferred<Answer>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Picks a server that has not got the call yet. */
  pick(): Attempt | undefined {
    const { method, key, streams } = this.#call;
    return this.#pickOther({ method, key, streams }, this.#running);
  }

  /** Sends the call to one more server. */
  start(attempt: Attempt | undefined): void {
    if (attempt !== undefined) this.#take(attempt);
    this.#running++;
    this.#started++;
    retry(this.#call, this.#context, attempt, this.#signal).then(
      this.#resolve,
      (error) => this.#failed(error),
    );
  }

  #failed(error: unknown): void {
    this.#running--;
    if (!(error instanceof RpcError)) return this.#reject(error);
    this.#errors.push(error);
    if (this.#running > 0 && !this.#isFinal(error)) return;
    // An error of a service is more useful than why another server could not be reached.
    const best = this.#errors.find((each) => each.remote && !mayRetry(each, this.#call)) ?? error;
    this.#reject(withAllErrors(best, this.#errors, this.#started));
  }

  /** @param others How many servers are working on the call: a standby server gets it only if there are none */
  #pickOther(context: PickRequest, others: number, soon?: boolean): Attempt | undefined {
    const exclude = new Set([...context.exclude ?? [], ...this.#taken]);
    for (;;) {
      const attempt = this.#given.pick({ ...context, exclude }, soon);
      if (attempt === undefined) return undefined;
      if (!(attempt.isStandby && this.#regular && others > 0)) return this.#take(attempt);
      attempt.release();
      exclude.add(attempt.address);
    }
  }

  #take(attempt: Attempt): Attempt {
    this.#taken.add(attempt.address);
    this.#regular ||= !attempt.isStandby;
    return attempt;
  }
}
