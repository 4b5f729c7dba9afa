// Answers calls: admits them, starts their handlers, follows what these return, and hands each call's one answer to
// its requester. Knows no frames and no connection, so that any entrance to a server can use it. Sessions do, by
// their Callee.

import { ambient } from "../call/ambient.ts";
import type { ServerCallObserver } from "../call/call_observer.ts";
import { isRpcError, RpcError } from "../call/error.ts";
import type { Method } from "../call/handler.ts";
import { shownName } from "../call/identity.ts";
import { type Metadata, toMetadata } from "../call/metadata.ts";
import { shownMethod } from "../call/method_name.ts";
import { deadlineExceeded } from "../call/outcome.ts";
import { isStreamable, type Streamable } from "../call/streamable.ts";
import { isThenable } from "../call/thenable.ts";
import { type AdmissionOptions, CallAdmission } from "./call_admission.ts";
import type { IncomingCall } from "./incoming_call.ts";
import { InFlightCalls } from "./in_flight_calls.ts";

/** What a runner is made of. */
export interface RunnerOptions extends AdmissionOptions {
  /** Converts what a handler threw to the error that its caller receives; undefined = the default, `internal`. */
  readonly mapError?: (error: unknown) => RpcError | undefined;
  /** Receives failures of handlers, and of answers that cannot be sent. */
  readonly log?: ((message: string, error?: unknown) => void) | undefined;
}

/** The owner of a runner. */
export interface RunnerOwner {
  /**
   * Whether the owner calls {@linkcode CallRunner.countAnswers} at the end of each turn of the event loop. If not,
   * answers are counted one by one, and the clock is read for each.
   */
  readonly countsByTurn: boolean;
  /** A call was not answered at once: {@linkcode CallRunner.expire} is to be called at its deadline. */
  onUnanswered(call: IncomingCall): void;
  /** A call was answered or abandoned, or its handler has returned. */
  onSettled(): void;
}

/**
 * Answers the calls of one peer. An entrance admits each call, looks up its method, creates its {@linkcode IncomingCall}, and
 * runs it. From then on the runner owns the call; the entrance only reports what happens to the caller, by `giveUp`,
 * `abandon`, `expire` and `endAll`.
 */
export class CallRunner {
  /** The calls whose handlers are running. */
  readonly inFlight: InFlightCalls;
  readonly #options: RunnerOptions;
  readonly #owner: RunnerOwner;
  readonly #admission: CallAdmission;
  /** Why no call is answered any more, once {@linkcode endAll} was called. */
  #ended: RpcError | undefined;
  /** Why the server drains, once {@linkcode drain} was called. */
  #draining: RpcError | undefined;
  /** Calls answered in this turn, of one method and with one arrival: counted together when the turn ends. */
  #counted: Method | undefined;
  #countedArrival = 0;
  #count = 0;

  constructor(options: RunnerOptions, owner: RunnerOwner) {
    this.#options = options;
    this.#owner = owner;
    this.inFlight = new InFlightCalls(options.slots);
    this.#admission = new CallAdmission(options, this.inFlight);
  }

  /**
   * Admits a call that is then to be run. Times are on the clock of `performance.now()`.
   *
   * @param now The time; that of the current turn of the event loop is precise enough
   * @throws {RpcError} Why it is refused: its deadline has passed, or there is no room for it
   */
  admit(method: string, arrived: number, deadline: number, now: number): void {
    this.#admission.admit(method, arrived, deadline, now);
  }

  /**
   * Starts the handler of a call. Its requester receives the answer, maybe before this returns.
   *
   * @param args One value, or an async iterable; where that is the call's `recvStream`, the runner ends it with the call
   */
  run(call: IncomingCall, args: unknown): void {
    const { observer } = call.target;
    if (observer !== undefined) call.observer = observer.begin(call);
    // Before the handler is started: one that shuts its own server down is still answered.
    this.inFlight.unanswered++;
    let result: unknown;
    try {
      result = ambient.enabled || call.observer !== undefined
        ? startWithin(call, args)
        : call.target.start(args, call);
      if (isThenable(result)) {
        this.#keep(call);
        return this.#follow(call, result);
      }
      if (isStreamable(result)) {
        this.#keep(call);
        return void this.#stream(call, result);
      }
    } catch (error) {
      this.#fail(call, error);
      return this.#returned(call);
    }
    // Answered without a promise: most of the cost of a call is then its bytes.
    this.#answer(call, result);
    this.#returned(call);
  }

  /** Answers with an error while the handler is running, and aborts the handler. */
  giveUp(call: IncomingCall, error: RpcError): void {
    this.#fail(call, error);
    abortWithin(call, error);
  }

  /** Ends a call whose caller does not wait any more, without an answer, and aborts its handler. */
  abandon(call: IncomingCall, reason: RpcError): void {
    if (!call.answered) {
      this.#settle(call);
      call.target.answered(reason.code, performance.now() - call.arrived, 1);
      call.observer?.end(reason);
    }
    abortWithin(call, reason);
    this.#owner.onSettled();
  }

  /**
   * Answers with an error in place of a result that cannot be sent, or of further items if one cannot be. The handler does
   * not learn of that, so the log does.
   *
   * @param what What cannot be sent, for the log
   */
  failUnsent(call: IncomingCall, error: RpcError, what: "the result" | "an item"): void {
    this.#options.log?.(`Cannot send ${what} of ${call.method}`, error);
    this.#fail(call, unsendable(error));
  }

  /** Answers the calls whose deadline has passed, and returns when to look again. */
  expire(now: number): number {
    for (const call of this.inFlight.takeDue(now)) {
      if (!call.answered) this.giveUp(call, deadlineExceeded(call));
    }
    return this.inFlight.due;
  }

  /**
   * Ends calls whose handlers wait for nothing but their caller: for its credit, or its arguments.
   *
   * @param limit How long they may wait, in ms. A wait is measured from the first call of this method that finds it
   */
  endStalled(now: number, limit: number): void {
    for (const call of this.inFlight.values()) {
      if (call.answered || !call.stalled(now, limit)) continue;
      this.#options.counters.stallTimeout++;
      const message =
        `${call.method} has waited ${limit} ms for its caller, and few slots are left (stallTimeout)`;
      this.giveUp(call, new RpcError("resource_exhausted", message));
    }
  }

  /** Lets the handlers know that the server drains: their calls are still answered. */
  drain(reason: RpcError): void {
    if (this.#draining !== undefined) return;
    this.#draining = reason;
    for (const call of this.inFlight.values()) within(call, () => call.drain(reason));
  }

  /** Abandons every call, and each that is run from now on. */
  endAll(reason: RpcError): void {
    this.#ended ??= reason;
    for (const call of this.inFlight.values()) this.abandon(call, reason);
  }

  /** Tells the methods of the calls answered in this turn, which is over, how long these took. */
  countAnswers(): void {
    const method = this.#counted;
    if (method === undefined) return;
    this.#counted = undefined;
    method.answered(undefined, performance.now() - this.#countedArrival, this.#count);
  }

  /** Keeps a call that is not answered at once. */
  #keep(call: IncomingCall): void {
    this.inFlight.add(call);
    this.#owner.onUnanswered(call);
    if (this.#draining !== undefined) call.drain(this.#draining);
    // The handler itself may have closed the connection before it returned a promise.
    if (this.#ended !== undefined) this.abandon(call, this.#ended);
  }

  #follow(call: IncomingCall, result: PromiseLike<unknown>): void {
    // A thenable of user code may call back twice, or before it has returned.
    Promise.resolve(result).then((value) => {
      if (isStreamable(value)) return void this.#stream(call, value);
      this.#answer(call, value);
      this.#returned(call);
      return undefined;
    }, (error) => {
      this.#fail(call, error);
      this.#returned(call);
    });
  }

  /** Answers with the items of an iterable. */
  async #stream(call: IncomingCall, source: Streamable): Promise<void> {
    const stream = call.sendStream ??= call.requester.openStream(call);
    // The call may have ended before its handler returned the iterable.
    if (call.answered) stream.stop();
    try {
      if (await within(call, () => stream.send(source))) this.#answer(call, undefined, true);
    } catch (error) {
      this.#fail(call, error);
    }
    this.#returned(call);
  }

  /** Answers with a value, or with the end of the items that were sent. */
  #answer(call: IncomingCall, value: unknown, streamed = false): void {
    // A stream, too, may have been canceled between its last item and here.
    if (call.answered) return;
    let metadata: Metadata | undefined;
    try {
      metadata = call.takeReplyMetadata();
    } catch (error) {
      return this.#fail(call, error);
    }
    const { requester } = call;
    const error = streamed ? requester.end(call, metadata) : requester.answer(call, value, metadata);
    if (error !== undefined) return this.failUnsent(call, error, "the result");
    // A getter in the value may have closed the connection.
    if (call.answered) return;
    this.#settle(call);
    call.observer?.end();
    this.#countAnswer(call);
  }

  #countAnswer({ target, arrived }: IncomingCall): void {
    if (this.#counted === target && this.#countedArrival === arrived) {
      this.#count++;
      return;
    }
    this.countAnswers();
    this.#counted = target;
    this.#countedArrival = arrived;
    this.#count = 1;
    if (!this.#owner.countsByTurn) this.countAnswers();
  }

  #fail(call: IncomingCall, reason: unknown): void {
    if (call.answered) return;
    this.#settle(call);
    const { target } = call;
    const error = this.#explain(reason);
    // What a handler throws may be private: only the server's operator may read it.
    if (error.code === "internal" && error !== reason) {
      const name = shownName(call.identity);
      const caller = name === undefined ? "" : `, called by ${name}`;
      this.#options.log?.(`Handler of ${call.method} failed${caller}`, reason);
    }
    target.answered(error.code, performance.now() - call.arrived, 1);
    call.observer?.end(error);
    // A known method that throws an error marked so may have received it from another server.
    const notStarted = target.unknown === true && error.code === "unimplemented" && error.notStarted;
    const metadata = notStarted ? undefined : this.#metadataOf(call, error);
    const leftOut = call.requester.fail(call, error, metadata, notStarted);
    if (leftOut === undefined) return;
    const message = `An error of ${shownMethod(call.method)} cannot be sent with all that it carries`;
    this.#options.log?.(message, leftOut);
  }

  /** The metadata sent with an error: its own, and what the handler has set. */
  #metadataOf(call: IncomingCall, { metadata }: RpcError): Metadata | undefined {
    try {
      const own = toMetadata(metadata);
      const reply = call.takeReplyMetadata();
      if (own === undefined || reply === undefined) return own ?? reply;
      return toMetadata(new Map([...own, ...reply]));
    } catch (error) {
      this.#options.log?.(`${call.method} set metadata that cannot be sent`, error);
      return undefined;
    }
  }

  /** The error that a caller receives for what a handler threw. */
  #explain(reason: unknown): RpcError {
    if (isRpcError(reason)) return reason;
    try {
      const mapped = this.#options.mapError?.(reason);
      if (isRpcError(mapped)) return mapped;
    } catch (error) {
      this.#options.log?.("mapError failed", error);
    }
    return toRpcError(reason);
  }

  #settle(call: IncomingCall): void {
    call.answered = true;
    this.inFlight.unanswered--;
  }

  #returned(call: IncomingCall): void {
    this.inFlight.delete(call);
    if (call.recvStream?.closed === false) {
      call.recvStream.fail(new RpcError("canceled", `${call.method} has already ended`), true);
    }
    call.recvStream?.release();
    call.target.returned();
    this.#owner.onSettled();
  }
}

/** The error that a caller receives for what was thrown, without `mapError`. */
export function toRpcError(error: unknown): RpcError {
  return isRpcError(error) ? error : new RpcError("internal", "The handler failed");
}

/** Runs a part of answering a call in the call's asynchronous context, and in its observer's. */
function within<R>(call: IncomingCall, run: () => R): R {
  // The closure is in a function of its own: making one allocates a context for its variables as soon as it is entered.
  return call.observer === undefined ? ambient.run(call, run) : observed(call, call.observer, run);
}

function observed<R>(call: IncomingCall, observer: ServerCallObserver, run: () => R): R {
  return observer.run(() => ambient.run(call, run));
}

/**
 * Starts a handler within its call's context. Only the handler: what follows, such as writing the answer, is not part of
 * the call, and in its context would keep it in memory.
 */
function startWithin(call: IncomingCall, args: unknown): unknown {
  return within(call, () => call.target.start(args, call));
}

/** Aborts a handler. Listeners of its signal run in the call's context, whatever caused the abort. */
function abortWithin(call: IncomingCall, reason: RpcError): void {
  within(call, () => call.abort(reason));
}

/** The error that a caller receives for a result that cannot be sent. */
function unsendable(error: RpcError): RpcError {
  const code = error.code === "resource_exhausted" ? error.code : "internal";
  return new RpcError(code, `Cannot send the result: ${error.message}`);
}
