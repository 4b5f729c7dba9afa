// What stands between a call and its answer, the same on both sides: an interceptor sees a call, may change it, refuse
// it, or answer it, and sees the reply on its way back. Composed by servers around handlers and by clients around calls.

import type { Metadata } from "./metadata.ts";

/** A call on its way, as interceptors see it. To change it, pass a changed copy on. */
export interface Call {
  /** Who is called, such as `Arith.sum`. */
  readonly method: string;
  /** The argument, or an AsyncIterable of them. */
  readonly args: unknown;
  /** What travels beside the arguments. */
  readonly metadata: Metadata;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** When the caller stops waiting, on the clock of `performance.now()`; Infinity = never. */
  readonly deadline: number;
  /** Who calls, such as `tcp@127.0.0.1:50312`; on the calling side undefined. */
  readonly peer: string | undefined;
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
  /** The result, or an AsyncIterable of items. */
  readonly value: unknown;
  /**
   * What travels beside the result. Beside a stream it travels with the end: on the calling side this map is empty until
   * whoever iterates has come to the end, or to the error that the stream ended with, and then holds what came with it;
   * on the answering side it holds what the handler has set so far. A copy does not follow: pass the map itself on.
   * What an interceptor of a server returns in its place is sent together with what the handler sets later.
   */
  readonly metadata: Metadata;
}

/** What is behind an interceptor: the next one, or in the end the handler or the wire. Call it once at most. */
export type Next = (call: Call) => Promise<Reply>;

/**
 * Takes part in every call of a server or a client.
 *
 * Throwing an `RpcError` refuses the call, or fails it on its way back. One that returns no reply fails the call: with a
 * `TypeError` at a client, with `internal` and a line in the log at a server.
 *
 * @example An interceptor that says how long calls take
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

/** Puts interceptors in front of `last`, the first outermost. */
export function compose(interceptors: readonly Interceptor[], last: Next): Next {
  return interceptors.reduceRight<Next>(
    (next, interceptor) => async (call) => checked(await interceptor(call, next), interceptor, call),
    last,
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
