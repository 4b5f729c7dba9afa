// Interceptors around the calls of a client: the call that they see, and the call that they pass on. Used only by
// clients that have interceptors.

import { type CallOptions, checkTimeout } from "../call/call_options.ts";
import {
  type Call,
  compose,
  type Interceptor,
  type Origin,
  type Reply,
  type Step,
} from "../call/interceptor.ts";
import { isRpcError, ofCall, rejection, RpcError } from "../call/error.ts";
import { NO_METADATA } from "../call/metadata.ts";
import { RecentMetadata } from "../call/recent_metadata.ts";
import { Items } from "../call/source.ts";
import { isAsyncIterable } from "../call/streamable.ts";
import { withStop } from "../session/call_stream.ts";
import type { CallBody } from "../session/call_body.ts";
import { TurnClock } from "./turn_clock.ts";
import { InterceptedStream } from "./intercepted_stream.ts";

/**
 * Makes a call, or a stream, without interceptors.
 *
 * @param kept Returns the encoded arguments, if they are kept
 */
export type Make = (
  method: string,
  args: unknown,
  options: CallOptions,
  kept: () => CallBody | undefined,
) => Reply | Promise<Reply>;

/** Encodes the arguments of a call that waits; undefined if they cannot change. */
export type Keep = (args: unknown) => CallBody | undefined;

/** What the interceptors of one call share. */
interface Outgoing extends Origin {
  readonly options: CallOptions | undefined;
  readonly make: Make;
  /** Cancels a stream, whatever signal interceptors pass on. */
  readonly stop: AbortSignal | undefined;
  /** The call as the first interceptor sees it. */
  readonly call: Call;
  readonly given: Arguments;
  /** Whether the call has been made. */
  made: boolean;
}

/** The interceptors of a client. */
export class Chain {
  readonly #run: Step<Outgoing>;
  readonly #timeout: number;
  readonly #keep: Keep;
  readonly #clock = new TurnClock();
  readonly #recentMetadata = new RecentMetadata();
  /** Whether the client has no interceptors. */
  readonly empty: boolean;

  /**
   * @param timeout The timeout of calls that set none, in ms
   * @param keep Keeps the arguments of calls that interceptors delay
   * @throws {TypeError} If one of the interceptors is no function
   */
  constructor(interceptors: Iterable<Interceptor>, timeout: number, keep: Keep) {
    const list = [...interceptors];
    for (const interceptor of list) {
      if (typeof interceptor !== "function") {
        throw new TypeError("Cannot use interceptor: expected a function");
      }
    }
    this.empty = list.length === 0;
    this.#timeout = timeout;
    this.#keep = keep;
    this.#run = compose(list, (call, outgoing) => this.#send(call, outgoing));
  }

  /** Makes a call through the interceptors. Returns its result. */
  run(method: string, args: unknown, options: CallOptions | undefined, make: Make): Promise<unknown> {
    const given = new Arguments(args);
    return this.#pass(method, given, options, make).then(({ value }) => {
      given.leave();
      return value;
    }, (error) => {
      given.leave();
      throw ofMethod(error, method);
    });
  }

  /** Makes a call with a stream as its answer through the interceptors. */
  stream(
    method: string,
    args: unknown,
    options: CallOptions | undefined,
    make: Make,
  ): AsyncIterableIterator<unknown> {
    const given = new Arguments(args);
    const begin = (stop: AbortSignal) =>
      this.#pass(method, given, options, make, stop).catch((error) => {
        throw ofMethod(error, method);
      });
    return new InterceptedStream(method, begin, () => given.leave());
  }

  #pass(
    method: string,
    given: Arguments,
    options: CallOptions | undefined,
    make: Make,
    stop?: AbortSignal,
  ): Promise<Reply> {
    try {
      const timeout = options?.timeout === undefined ? this.#timeout : checkTimeout(options.timeout);
      const own = options?.signal;
      const call: Call = {
        method,
        args: given.value,
        metadata: this.#recentMetadata.of(options?.metadata) ?? NO_METADATA,
        signal: stop !== undefined ? withStop(own, stop) : own ?? new AbortController().signal,
        deadline: this.#clock.now() + timeout,
        peer: undefined,
      };
      const outgoing: Outgoing = { plain: stop === undefined, options, make, stop, call, given, made: false };
      const reply = this.#run(call, outgoing);
      // Interceptors delay the call, or it is a stream, which starts when its first item is requested.
      if (!outgoing.made || stop !== undefined) given.body = this.#keep(call.args);
      return reply;
    } catch (error) {
      return rejection(error);
    }
  }

  /** Makes the call that the interceptors have passed on. */
  #send(passed: Call, outgoing: Outgoing): Promise<Reply> {
    const { options, make, given } = outgoing;
    const { method, args, metadata, deadline } = passed;
    outgoing.made = true;
    try {
      const timeout = Math.max(0, deadline - this.#clock.now());
      const signal = signalOf(passed, outgoing);
      const reply = make(method, args, { ...options, timeout, signal, metadata }, () => given.take(args));
      return reply instanceof Promise ? reply : Promise.resolve(reply);
    } catch (error) {
      return rejection(error);
    }
  }
}

/** The signal to make a call with; undefined if it is one that never aborts. */
function signalOf(passed: Call, { options, stop, call }: Outgoing): AbortSignal | undefined {
  if (passed.signal !== call.signal) {
    return stop === undefined ? passed.signal : withStop(passed.signal, stop);
  }
  return stop === undefined ? options?.signal : call.signal;
}

/** An error of a call. An interceptor may have refused it, so that no call was made. */
function ofMethod(error: unknown, method: string): unknown {
  if (isRpcError(error)) ofCall(error, method, undefined);
  return error;
}

/**
 * The arguments of a call as interceptors get them. A stream of arguments is left when the call ends; other arguments
 * are kept as they were when the call was made.
 */
class Arguments {
  /** The one argument, or an iterable of them. */
  readonly value: unknown;
  /** The arguments as they were when the call was made, encoded, if the call waits. */
  body: CallBody | undefined;
  #items: Items | undefined;

  constructor(args: unknown) {
    this.value = isAsyncIterable(args)
      ? { [Symbol.asyncIterator]: () => this.#items = new Items(args) }
      : args;
  }

  /** Returns the encoded arguments, once, unless interceptors have passed on other ones. */
  take(args: unknown): CallBody | undefined {
    const { body } = this;
    this.body = undefined;
    if (args === this.value) return body;
    body?.release();
    return undefined;
  }

  /** Leaves a stream that was opened: a generator of an interceptor cannot do that while it waits for an item. */
  leave(): void {
    this.body?.release();
    this.body = undefined;
    this.#items?.stop(new RpcError("canceled", "The call has ended"));
  }
}
