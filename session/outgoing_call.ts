// One call as the application made it, on either side: validates its options, sets its deadline, and settles it once. Holds
// what all attempts at the call have in common.

import { ambient } from "../call/ambient.ts";
import { type CallOptions, checkCallOptions, checkTimeout, type FailMode } from "../call/call_options.ts";
import type { CallContext } from "../call/handler.ts";
import { isRpcError, ofCall, rejection, type RpcError } from "../call/error.ts";
import { shownOption } from "../call/check_options.ts";
import { eitherSignal, isAbortSignal } from "../call/signals.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import type { ClientCallObserver, ClientObserver } from "../call/call_observer.ts";
import { type Metadata, toMetadata, withEntries } from "../call/metadata.ts";
import type { RecentMetadata } from "../call/recent_metadata.ts";
import type { PickContext } from "../discovery/balancer.ts";
import type { CallBody } from "./call_body.ts";
import type { SessionCall } from "./session_call.ts";
import type { RecvStream } from "./recv_stream.ts";
import type { SendStream } from "./send_stream.ts";

/** Receives the outcome of an attempt at a call. */
export interface AttemptListener {
  /** Where the attempt is made. */
  readonly address: string;
  /** The attempt has ended, with an answer or an error. */
  done(error?: RpcError): void;
  /** The attempt was not made, or moved to another server: it says nothing about this one. */
  release(): void;
}

/** What the calls of one client have in common. */
export interface CallDefaults {
  /** The timeout in ms of calls that set none; Infinity = no timeout. */
  readonly timeout: number;
  /** Converts their metadata; absent = each is converted on its own. */
  readonly recentMetadata?: RecentMetadata;
  /** Observes the calls. */
  readonly observer?: ClientObserver;
  /** Sends a failed call again if that is allowed. Returns whether it does. */
  readonly again?: (call: OutgoingCall, error: RpcError) => boolean;
  /** Moves a call to another connection, as {@linkcode SessionCall.leaves}. */
  readonly leaves?: (call: OutgoingCall, reason: RpcError | undefined) => boolean;
}

/** The options of a call, without its timeout and its signal. */
interface Terms {
  readonly key: string | undefined;
  readonly idempotent: boolean;
  readonly waitForReady: boolean;
  readonly failMode: FailMode | undefined;
  readonly metadata: Metadata | undefined;
}

/** Those of a call without options, as most are: shared, so that such a call allocates nothing for them. */
const NO_TERMS: Terms = {
  key: undefined,
  idempotent: false,
  waitForReady: false,
  failMode: undefined,
  metadata: undefined,
};

function termsOf(options: CallOptions, recent: RecentMetadata | undefined): Terms {
  checkCallOptions(options);
  const { key, idempotent = false, waitForReady = false, failMode, metadata } = options;
  if (key !== undefined && typeof key !== "string") {
    throw new TypeError(`Cannot use key ${shownOption(key)}: expected text`);
  }
  const own = recent === undefined ? toMetadata(metadata) : recent.of(metadata);
  return { key, idempotent, waitForReady, failMode, metadata: own };
}

/** A call, and its first attempt: most calls need no other. */
export class OutgoingCall implements SessionCall, PickContext {
  // `declare`: every call creates this object, and initializers would set fields that the constructor sets again.
  seq = 0;
  declare deadline: number;
  sendStream: SendStream | undefined = undefined;
  /** Receives the items, where the caller wants a stream. */
  declare readonly recvStream: RecvStream | undefined;
  declare readonly method: string;
  declare readonly args: unknown;
  body: CallBody | undefined = undefined;
  /** In ms. Infinity if the deadline of the call being answered is earlier. */
  declare timeout: number;
  declare readonly signal: AbortSignal | undefined;
  declare metadata: Metadata | undefined;
  readonly #terms: Terms;
  /** Receives the outcome of the first attempt. */
  listener: AttemptListener | undefined = undefined;
  declare readonly onResult: (result: unknown, metadata?: Metadata) => void;
  declare readonly onError: ((error: unknown) => void) | undefined;
  /** Observes the call; set by the constructor, or never. */
  declare observer?: ClientCallObserver | undefined;
  readonly #defaults: CallDefaults;

  /**
   * @param onResult Called once with the result, unless the call fails
   * @param onError Called once with the reason if the call fails; absent = `onResult` receives a promise that rejects
   * @param recvStream Receives the items, where the caller wants a stream
   * @param outer The call being answered that this one is part of
   * @throws {TypeError} If the method is not a string, or an option is unknown or invalid
   * @throws {RangeError} If the timeout is negative or NaN
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
    const terms = this.#terms = options === undefined ? NO_TERMS : termsOf(options, defaults.recentMetadata);
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
   * Sets the deadline, which is the same for every attempt.
   *
   * @param address Where the first attempt is made, if that is known
   */
  begin(now: number, address?: string): void {
    const deadline = now + this.timeout;
    if (deadline < this.deadline) this.deadline = deadline;
    else this.timeout = Infinity;
    this.observer?.begin(now, address);
  }

  /** Whether its arguments or its answer are a stream. */
  get streams(): boolean {
    return this.recvStream !== undefined || isAsyncIterable(this.args);
  }

  /**
   * The error of an attempt as far as it counts against the server: not if the server has sent items until the deadline,
   * which is how long the caller wanted to follow them.
   */
  faultOf(error: RpcError): RpcError | undefined {
    return error.code === "deadline_exceeded" && this.recvStream?.started ? undefined : error;
  }

  /** Settles the call with a result. */
  settle(result: unknown, metadata?: Metadata): void {
    this.body?.release();
    this.observer?.end();
    this.onResult(result, metadata);
  }

  /** Settles the call as failed. */
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

  /** The first attempt finds no room, or its server is silent. */
  leaves(reason: RpcError | undefined): boolean {
    return this.#defaults.leaves?.(this, reason) ?? false;
  }
}

/** The metadata that propagates a trace from call to call (W3C Trace Context and Baggage). */
const TRACE = ["traceparent", "tracestate", "baggage"];

function joined(own: AbortSignal | undefined, outer: AbortSignal): AbortSignal {
  return own === undefined ? outer : eitherSignal(own, outer);
}

function traced(own: Metadata | undefined, outer: Metadata): Metadata | undefined {
  const trace = TRACE.filter((name) => outer.has(name) && !own?.has(name));
  return trace.length === 0 ? own : withEntries(own, trace.map((name) => [name, outer.get(name)!]));
}
