// What stands between a call and its answer, the same on both sides: an interceptor sees a call, may change it, refuse
// it, or answer it, and sees the reply on its way back. Composed by servers around handlers and by clients around calls.

import type { Identity } from "./handler.ts";
import type { Metadata } from "./metadata.ts";
import { leave, open } from "./source.ts";
import { isStreamable } from "./streamable.ts";

/** A call on its way, as interceptors see it. To change it, pass a changed copy on. */
export interface Call {
  /** Who is called, such as `Arith.sum`. At a server it may be a name that there is not, as long as a peer likes. */
  readonly method: string;
  /** The argument, or an AsyncIterable of them, which stops when the call has ended. */
  readonly args: unknown;
  /** What travels beside the arguments. */
  readonly metadata: Metadata;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** When the caller stops waiting, on the clock of `performance.now()`; Infinity = never. */
  readonly deadline: number;
  /** Who calls, such as `tcp@127.0.0.1:50312`; on the calling side undefined. */
  readonly peer: string | undefined;
  /**
   * Who calls, as `authenticate` or an interceptor before this one found out; on the calling side undefined. What is passed
   * on is what the handler sees as `context.peer.identity`.
   */
  readonly identity?: Identity;
}

/**
 * An answer on its way back. To change it, return a changed copy.
 *
 * @example What comes with the end of a stream
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
  /** The result, or an AsyncIterable of items, which stops when the caller has left. */
  readonly value: unknown;
  /**
   * What travels beside the result. Beside a stream it travels with the end: on the calling side this map is empty until
   * whoever iterates has come to the end, or to the error that the stream ended with, and then holds what came with it;
   * on the answering side it holds what the handler has set so far. A copy does not follow: pass the map itself on.
   * What an interceptor of a server returns in its place is sent together with what the handler sets later.
   */
  readonly metadata: Metadata;
}

/**
 * What is behind an interceptor: the next one, or in the end the handler or the wire. It can be called once; a second
 * call throws a `TypeError`, which fails the call unless the interceptor catches it.
 */
export type Next = (call: Call) => Promise<Reply>;

/**
 * Takes part in every call of a server or a client.
 *
 * Throwing an `RpcError` refuses the call, or fails it on its way back. One that returns no reply fails the call: with a
 * `TypeError` at a client, with `internal` and a line in the log at a server.
 *
 * @example An interceptor that says how long calls take, those that stream until they begin to
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

/** Passes a call on; `origin` is the same for all steps of one call. */
export type Step<O extends Origin> = (call: Call, origin: O) => Promise<Reply>;

/** What the steps of one call share. */
export interface Origin {
  /** Whether the last step has answered, with one value rather than a stream. */
  plain: boolean;
}

/** Puts interceptors in front of `last`, the first outermost. Done once; what comes out takes all calls. */
export function compose<O extends Origin>(interceptors: readonly Interceptor[], last: Step<O>): Step<O> {
  return interceptors.reduceRight<Step<O>>((inner, interceptor) => (call, origin) => {
    let passed: Promise<Reply> | undefined;
    const next: Next = (changed) => {
      if (passed !== undefined) throw calledTwice(interceptor, call);
      return passed = inner(changed, origin);
    };
    let answer: Reply | Promise<Reply>;
    try {
      answer = interceptor(call, next);
    } catch (error) {
      drop(passed);
      return Promise.reject(error);
    }
    // One that only passes calls on costs no promise of its own.
    if (passed !== undefined && answer === passed) return passed;
    return settled(answer, () => passed, interceptor, call, origin);
  }, last);
}

async function settled(
  answer: Reply | Promise<Reply>,
  passed: () => Promise<Reply> | undefined,
  interceptor: Interceptor,
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

/** Leaves the stream of a reply that an interceptor was given and has not passed on: nothing else would end it. */
function drop(passed: Promise<Reply> | undefined): void {
  passed?.then(({ value }) => isStreamable(value) ? leave(open(value)) : undefined).catch(() => {});
}

function calledTwice({ name }: Interceptor, { method }: Call): TypeError {
  return new TypeError(
    `Cannot call next twice for ${method}: interceptor ${name || "without a name"} has already passed it on`,
  );
}

/** Catches interceptors that forget to return, which would be a puzzle further on. */
function checked(reply: Reply | undefined, { name }: Interceptor, { method }: Call): Reply {
  if (typeof reply === "object" && reply !== null && "value" in reply && isIterable(reply.metadata)) {
    return reply;
  }
  throw new TypeError(
    `Interceptor ${name || "without a name"} returned no reply to ${method}: ` +
      "return what next(call) resolves with, or { value, metadata }",
  );
}

function isIterable(metadata: Metadata | undefined): boolean {
  return typeof metadata?.[Symbol.iterator] === "function";
}
