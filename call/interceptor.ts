// Interceptors, the same on both sides: an interceptor sees a call, may change, reject or answer it, and sees the reply on
// its way back. Servers compose them around handlers, clients around calls.

import type { Identity } from "./handler.ts";
import type { Metadata } from "./metadata.ts";
import { leave, open } from "./source.ts";
import { isStreamable } from "./streamable.ts";

/** A call as interceptors see it. To change it, pass a modified copy to `next`. */
export interface Call {
  /** The full name of the method, such as `Arith.sum`. At a server it may be unknown and of any length. */
  readonly method: string;
  /** The argument, or an AsyncIterable of arguments, which ends when the call has ended. */
  readonly args: unknown;
  /** Metadata sent with the arguments. */
  readonly metadata: Metadata;
  /** Aborts when the caller no longer waits for the answer. */
  readonly signal: AbortSignal;
  /** The caller's deadline in ms, on the clock of `performance.now()`; Infinity = none. */
  readonly deadline: number;
  /** The caller's address, such as `tcp@127.0.0.1:50312`; undefined on the calling side. */
  readonly peer: string | undefined;
  /**
   * The caller's identity, as set by `authenticate` or an earlier interceptor; undefined on the calling side. The handler
   * sees the value that was passed on as `context.peer.identity`.
   */
  readonly identity?: Identity;
}

/**
 * The reply to a call. To change it, return a modified copy.
 *
 * @example Metadata at the end of a stream
 * ```ts
 * import { type CallContext, connect, type Interceptor, type Reply, Server } from "@troodon/rpc";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = new Server().register("Table", {
 *   *rows(_: undefined, { replyMetadata }: CallContext) {
 *     yield* ["one", "two"];
 *     replyMetadata.set("version", "7");
 *   },
 * });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 *
 * async function* logged({ value, metadata }: Reply) {
 *   yield* value as AsyncIterable<unknown>;
 *   console.log("All rows of version", metadata.get("version")); // 7
 * }
 * const log: Interceptor = async (call, next) => {
 *   const reply = await next(call);
 *   return { ...reply, value: logged(reply) };
 * };
 * await using client = await connect(address, { interceptors: [log] });
 * assertEquals(await Array.fromAsync(client.stream("Table.rows")), ["one", "two"]);
 * ```
 */
export interface Reply {
  /** The result, or an AsyncIterable of items, which ends when the caller stops reading. */
  readonly value: unknown;
  /**
   * Metadata sent with the result. For a stream it is sent at the end: on the calling side this map is empty until the
   * consumer reaches the end of the stream or its error, and then holds the received entries; on the answering side it holds
   * the entries that the handler has set so far. A copy of the map is not updated: pass the map itself on.
   * If a server's interceptor returns another map, its entries are sent together with those that the handler sets later.
   */
  readonly metadata: Metadata;
}

/**
 * Runs the rest of the chain: the next interceptor, and finally the handler or the request on the wire. It can be called
 * once; a second call throws a `TypeError`, which fails the call unless the interceptor catches it.
 */
export type Next = (call: Call) => Promise<Reply>;

/**
 * Takes part in every call of a server or a client.
 *
 * Throwing an `RpcError` before `next` rejects the call; throwing afterwards fails it. An interceptor that returns no reply
 * fails the call: with a `TypeError` at a client, with `internal` and a log line at a server.
 *
 * @example An interceptor that logs how long calls take; for streams, until the stream starts
 * ```ts
 * import { type Interceptor, Server } from "@troodon/rpc";
 *
 * const timing: Interceptor = async (call, next) => {
 *   const began = performance.now();
 *   try {
 *     return await next(call);
 *   } finally {
 *     console.log(`${call.method} took ${performance.now() - began} ms`);
 *   }
 * };
 * new Server().use(timing);
 * ```
 */
export type Interceptor = (call: Call, next: Next) => Reply | Promise<Reply>;

/** Runs the rest of a chain; `origin` is the same for all steps of one call. */
export type Step<O extends Origin> = (call: Call, origin: O) => Promise<Reply>;

/** State that the steps of one call share. */
export interface Origin {
  /** Whether the last step has answered with a single value rather than a stream. */
  plain: boolean;
}

/** Chains interceptors in front of `last`, the first one outermost. Called once; the result handles all calls. */
export function compose<O extends Origin>(interceptors: readonly Interceptor[], last: Step<O>): Step<O> {
  return interceptors.reduceRight<Step<O>>((inner, interceptor, at) => {
    const name = named(interceptor, at);
    return (call, origin) => {
      let passed: Promise<Reply> | undefined;
      const next: Next = (changed) => {
        if (passed !== undefined) throw calledTwice(name, call);
        return passed = inner(changed, origin);
      };
      let answer: Reply | Promise<Reply>;
      try {
        answer = interceptor(call, next);
      } catch (error) {
        drop(passed);
        return Promise.reject(error);
      }
      // An interceptor that only calls next() costs no additional promise.
      if (passed !== undefined && answer === passed) return passed;
      return settled(answer, () => passed, name, call, origin);
    };
  }, last);
}

async function settled(
  answer: Reply | Promise<Reply>,
  passed: () => Promise<Reply> | undefined,
  interceptor: string,
  call: Call,
  origin: Origin,
): Promise<Reply> {
  try {
    const reply = checked(await answer, interceptor, call);
    if (!origin.plain && !isStreamable(reply.value)) drop(passed());
    return reply;
  } catch (error) {
    drop(passed());
    throw error;
  }
}

/** Ends the stream of a reply that an interceptor received and discarded: nothing else would end it. */
function drop(passed: Promise<Reply> | undefined): void {
  passed?.then(({ value }) => isStreamable(value) ? leave(open(value)) : undefined).catch(() => {});
}

/** An interceptor in messages: its position, and its name if it has one. */
function named({ name }: Interceptor, at: number): string {
  return `interceptor ${at + 1}${name && ` (${name})`}`;
}

function calledTwice(interceptor: string, { method }: Call): TypeError {
  return new TypeError(`Cannot call next twice for ${method}: ${interceptor} has already passed it on`);
}

/** Detects interceptors that forget to return a reply, which would fail later with a confusing error. */
function checked(reply: Reply | undefined, interceptor: string, { method }: Call): Reply {
  if (typeof reply === "object" && reply !== null && "value" in reply && isIterable(reply.metadata)) {
    return reply;
  }
  throw new TypeError(
    `Cannot answer ${method}: ${interceptor} returned no reply; return the result of next(call), or { value, metadata }`,
  );
}

function isIterable(metadata: Metadata | undefined): boolean {
  return typeof metadata?.[Symbol.iterator] === "function";
}
