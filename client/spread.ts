// A call that is sent to several servers: after a while, in case the first is slow, or at once. Only for calls that may be
// executed more than once.

import { deferred } from "../call/deferred.ts";
import { RpcError } from "../call/error.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import { type Answer, asWhole, mayRetry } from "./call.ts";
import type { Leg, Unplaced } from "./leg.ts";
import { retry, type Ways } from "./retry.ts";
import { withStop } from "./within.ts";

/**
 * Sends a call to a second server if the first has not answered after a while. The first answer wins, be it an error of
 * the service; the other call is cancelled. Hedged requests: Dean, Barroso, "The Tail at Scale" (CACM 56, 2013).
 *
 * @param first The server that was picked already
 * @param delay How long to wait for it, in ms
 * @throws {RpcError} What the first answer was, or why there is none
 */
export function backup(
  call: OutgoingCall,
  ways: Ways,
  first: Leg | undefined,
  delay: number,
): Promise<Answer> {
  return withStop(call.signal, async (signal) => {
    const race = new Race(call, ways, signal, (error) => !mayRetry(error, call));
    const timer = setTimeout(() => {
      const second = ways.budget.left ? race.pick() : undefined;
      if (second === undefined) return;
      ways.budget.take();
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
 * Sends a call to several servers at once. The first success wins, the others are cancelled. While the retry budget is
 * used up, which is when servers are in trouble, it is sent to one only.
 *
 * @param first The server that was picked already
 * @param count How many servers; fewer if there are no more
 * @throws {RpcError} What one of them answered if none succeeded, or why there is no answer
 */
export function fork(call: OutgoingCall, ways: Ways, first: Leg | undefined, count: number): Promise<Answer> {
  return withStop(call.signal, async (signal) => {
    const race = new Race(call, ways, signal, () => false);
    race.start(first);
    for (let more = ways.budget.left ? count - 1 : 0; more > 0; more--) {
      const leg = race.pick();
      if (leg === undefined) break;
      race.start(leg);
    }
    return await race.answer;
  });
}

/** One call on its way to several servers, each of which fails over by itself, to servers that the others do not have. */
class Race {
  /** The first answer. */
  readonly answer: Promise<Answer>;
  readonly #call: OutgoingCall;
  /** The client's. */
  readonly #given: Ways;
  readonly #ways: Ways;
  readonly #signal: AbortSignal;
  readonly #isFinal: (error: RpcError) => boolean;
  readonly #taken = new Set<string>();
  /** Whether one of them gets calls although there are others. */
  #regular = false;
  readonly #errors: RpcError[] = [];
  #running = 0;
  #started = 0;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: unknown) => void;

  /** @param isFinal Whether an error ends it all, though others may still answer */
  constructor(call: OutgoingCall, ways: Ways, signal: AbortSignal, isFinal: (error: RpcError) => boolean) {
    this.#call = call;
    this.#signal = signal;
    this.#isFinal = isFinal;
    const pickLeg = (context: Unplaced, soon?: boolean) => this.#pickOther(context, this.#running - 1, soon);
    this.#ways = { budget: ways.budget, pickLeg };
    this.#given = ways;
    const { promise, resolve, reject } = deferred<Answer>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Picks a server that has not got the call yet. */
  pick(): Leg | undefined {
    const { method, key, streams } = this.#call;
    return this.#pickOther({ method, key, streams }, this.#running);
  }

  /** Sends the call to one more server. */
  start(leg: Leg | undefined): void {
    if (leg !== undefined) this.#take(leg);
    this.#running++;
    this.#started++;
    retry(this.#call, this.#ways, leg, this.#signal).then(this.#resolve, (error) => this.#failed(error));
  }

  #failed(error: unknown): void {
    this.#running--;
    if (!(error instanceof RpcError)) return this.#reject(error);
    this.#errors.push(error);
    if (this.#running > 0 && !this.#isFinal(error)) return;
    // What a service said is worth more than why another could not be asked.
    const best = this.#errors.find((each) => each.remote && !mayRetry(each, this.#call)) ?? error;
    this.#reject(asWhole(best, this.#errors, this.#started));
  }

  /** @param others How many servers are at work on the call: none that stands by gets it besides these */
  #pickOther(context: Unplaced, others: number, soon?: boolean): Leg | undefined {
    const exclude = new Set([...context.exclude ?? [], ...this.#taken]);
    for (;;) {
      const leg = this.#given.pickLeg({ ...context, exclude }, soon);
      if (leg === undefined) return undefined;
      if (!(leg.standsBy && this.#regular && others > 0)) return this.#take(leg);
      leg.leave();
      exclude.add(leg.address);
    }
  }

  #take(leg: Leg): Leg {
    this.#taken.add(leg.address);
    this.#regular ||= !leg.standsBy;
    return leg;
  }
}
