// One call as its user made it, on whichever side: checked, on the clock, and settled once. What every attempt at it has
// in common.

import { ambient } from "../call/ambient.ts";
import { type CallOptions, checkCallOptions, checkTimeout, type FailMode } from "../call/call_options.ts";
import type { CallContext } from "../call/handler.ts";
import { isRpcError, ofCall, rejection, type RpcError } from "../call/error.ts";
import { eitherSignal, isAbortSignal } from "../call/signals.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import type { ClientCallObserver, ClientObserver } from "../call/call_observer.ts";
import { type Metadata, toMetadata, withEntries } from "../call/metadata.ts";
import type { PickContext } from "../discovery/balancer.ts";
import type { CallBody } from "./call_body.ts";
import type { SessionCall } from "./session_call.ts";
import type { RecvStream } from "./recv_stream.ts";
import type { SendStream } from "./send_stream.ts";

/** Who hears how an attempt at a call went. */
export interface AttemptListener {
  /** Where the attempt is made. */
  readonly address: string;
  /** The attempt is over: with an answer, or with an error. */
  done(error?: RpcError): void;
  /** There is no attempt after all, or it goes on elsewhere: nothing is known about the server. */
  release(): void;
}

/** What the calls of one client have in common. */
export interface CallDefaults {
  /** ms for calls that name no timeout; Infinity = none. */
  readonly timeout: number;
  /** Who watches them; absent = nobody. */
  readonly observer?: ClientObserver;
  /** Takes a call that failed if it may be sent again, and returns whether it does. */
  readonly again?: (call: OutgoingCall, error: RpcError) => boolean;
  /** Takes a call to another connection, as {@linkcode SessionCall.leaves}. */
  readonly leaves?: (call: OutgoingCall, reason: RpcError | undefined) => boolean;
}

/** What a call's options come to, but for its time and its signal. */
interface Terms {
  readonly key: string | undefined;
  readonly idempotent: boolean;
  readonly waitForReady: boolean;
  readonly failMode: FailMode | undefined;
  readonly metadata: Metadata | undefined;
}

/** Those of a call without options, which is most calls: it has nothing of its own to remember. */
const NO_TERMS: Terms = {
  key: undefined,
  idempotent: false,
  waitForReady: false,
  failMode: undefined,
  metadata: undefined,
};

function termsOf(options: CallOptions): Terms {
  checkCallOptions(options);
  const { key, idempotent = false, waitForReady = false, failMode, metadata } = options;
  return { key, idempotent, waitForReady, failMode, metadata: toMetadata(metadata) };
}

/** A call, and its first attempt: most calls need no other. */
export class OutgoingCall implements SessionCall, PickContext {
  // `declare`: what the constructor sets is not to be set twice, in an object that every call makes.
  seq = 0;
  declare deadline: number;
  sendStream: SendStream | undefined = undefined;
  /** Takes the items, where a stream is what is wanted. */
  declare readonly recvStream: RecvStream | undefined;
  declare readonly method: string;
  declare readonly args: unknown;
  body: CallBody | undefined = undefined;
  declare readonly timeout: number;
  declare readonly signal: AbortSignal | undefined;
  declare metadata: Metadata | undefined;
  readonly #terms: Terms;
  /** Who hears how the first attempt went. */
  listener: AttemptListener | undefined = undefined;
  declare readonly onResult: (result: unknown, metadata?: Metadata) => void;
  declare readonly onError: ((error: unknown) => void) | undefined;
  /** Who watches it; set when it is made, or never. */
  declare observer?: ClientCallObserver | undefined;
  readonly #defaults: CallDefaults;

  /**
   * @param onResult Told the result, once, unless it fails
   * @param onError Told why it failed, once; left out, `onResult` is given a promise that rejects with it
   * @param recvStream Takes the items, where a stream is what is wanted
   * @param outer The call whose answering this one is part of
   * @throws {TypeError} If the method is not text, an option is unknown, or the signal or the metadata are invalid
   * @throws {RangeError} If the timeout is negative or not a number
   */
  constructor(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    defaults: CallDefaults,
    onResult: (result: unknown, metadata?: Metadata) => void,
    onError?: (error: unknown) => void,
    recvStream?: RecvStream,
    outer: CallContext | undefined = ambient.current(),
  ) {
    if (typeof method !== "string") {
      throw new TypeError("Cannot call method: expected a name such as Arith.sum");
    }
    this.method = method;
    this.args = args;
    this.#defaults = defaults;
    this.onResult = onResult;
    this.onError = onError;
    this.recvStream = recvStream;
    const terms = this.#terms = options === undefined ? NO_TERMS : termsOf(options);
    this.timeout = options?.timeout === undefined ? defaults.timeout : checkTimeout(options.timeout);
    const signal = options?.signal;
    if (signal !== undefined && !isAbortSignal(signal)) {
      throw new TypeError("Cannot use signal: expected an AbortSignal");
    }
    const { metadata } = terms;
    // A call made inside a handler ends with the call that is being answered there, and belongs to its trace.
    this.signal = outer === undefined ? signal : joined(signal, outer.signal);
    this.metadata = outer === undefined ? metadata : traced(metadata, outer.metadata);
    this.deadline = outer === undefined ? Infinity : outer.deadline;
    if (defaults.observer !== undefined) this.observer = defaults.observer.observe(this, outer);
  }

  /** Whether a failed attempt may be followed by another. */
  get repeatable(): boolean {
    return this.#defaults.again !== undefined;
  }

  get key(): string | undefined {
    return this.#terms.key;
  }

  get idempotent(): boolean {
    return this.#terms.idempotent;
  }

  get waitForReady(): boolean {
    return this.#terms.waitForReady;
  }

  get failMode(): FailMode | undefined {
    return this.#terms.failMode;
  }

  get ownMetadata(): Metadata | undefined {
    return this.#terms.metadata;
  }

  /**
   * Starts the clock: every attempt has the same deadline.
   *
   * @param address Where the first attempt is made, as far as that is known
   */
  begin(now: number, address?: string): void {
    this.deadline = Math.min(now + this.timeout, this.deadline);
    this.observer?.begin(now, address);
  }

  /** Whether its arguments or its answer are a stream. */
  get streams(): boolean {
    return this.recvStream !== undefined || isAsyncIterable(this.args);
  }

  /**
   * What an attempt that ended with `error` says about its server: nothing bad if the server has sent items until the
   * deadline, which is how long the caller wanted to follow them.
   */
  faultOf(error: RpcError): RpcError | undefined {
    return error.code === "deadline_exceeded" && this.recvStream?.started ? undefined : error;
  }

  /** Settles it with a result, for good. */
  settle(result: unknown, metadata?: Metadata): void {
    this.body?.release();
    this.observer?.end();
    this.onResult(result, metadata);
  }

  /** Settles it as failed, for good. */
  fail(error: unknown): void {
    this.body?.release();
    if (isRpcError(error)) ofCall(error, this.method, this.listener?.address);
    this.observer?.failed(error);
    if (this.onError === undefined) this.onResult(rejection(error));
    else this.onError(error);
  }

  /** The first attempt was answered. */
  resolve(result: unknown, metadata?: Metadata): void {
    this.listener?.done();
    this.settle(result, metadata);
  }

  /** The first attempt has failed. */
  reject(error: RpcError): void {
    ofCall(error, this.method, this.listener?.address);
    this.listener?.done(this.faultOf(error));
    if (this.#defaults.again?.(this, error) !== true) this.fail(error);
  }

  /** The first attempt has no room, or the server is silent. */
  leaves(reason: RpcError | undefined): boolean {
    return this.#defaults.leaves?.(this, reason) ?? false;
  }
}

/** Metadata by which a trace goes on over several calls (W3C Trace Context and Baggage). */
const TRACE = ["traceparent", "tracestate", "baggage"];

function joined(own: AbortSignal | undefined, outer: AbortSignal): AbortSignal {
  return own === undefined ? outer : eitherSignal(own, outer);
}

function traced(own: Metadata | undefined, outer: Metadata): Metadata | undefined {
  const trace = TRACE.filter((name) => outer.has(name) && !own?.has(name));
  return trace.length === 0 ? own : withEntries(own, trace.map((name) => [name, outer.get(name)!]));
}
