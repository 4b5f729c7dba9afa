// Interceptors that most programs want sooner or later. Each is one function that makes one.

import { shownOption } from "./check_options.ts";
import type { Identity } from "./handler.ts";
import { isRpcError, RpcError } from "./error.ts";
import { checkIdentity, shownName } from "./identity.ts";
import type { Interceptor } from "./interceptor.ts";
import type { Log } from "./log.ts";
import { shownMethod } from "./method_name.ts";
import { passOn } from "./reply_end.ts";
import { sendingToken } from "./tokens.ts";

/**
 * Tells a log of every call when it has ended, in one line: method, outcome, ms. Never of arguments. A call that streams
 * has ended with its last item, with its error, or when it was left, which is `canceled`. Where it is known who calls,
 * the line ends with the name.
 *
 * @example
 * ```ts
 * import { logCalls, Server } from "@troodon/rpc";
 *
 * new Server().use(logCalls((line) => console.log(line))); // Arith.sum ok 0.4 ms
 * ```
 *
 * @param log Gets the line, and the error of a call that failed
 * @returns An interceptor for servers or clients
 */
export function logCalls(log: Log): Interceptor {
  return (call, next) => {
    const began = performance.now();
    return passOn(call, next, (error) => {
      const outcome = error === undefined ? "ok" : isRpcError(error) ? error.code : "failed";
      const name = shownName(call.identity);
      const caller = name === undefined ? "" : ` for ${name}`;
      const ms = (performance.now() - began).toFixed(1);
      const line = `${shownMethod(call.method)} ${outcome} ${ms} ms${caller}`;
      if (error === undefined) log(line);
      else log(line, error);
    });
  };
}

/**
 * Sends a token along with every call of a client, as metadata `authorization: Bearer TOKEN` (RFC 6750 section 2.1).
 *
 * @example
 * ```ts
 * import { connect, oneOfTokens, requireToken, sendToken, Server } from "@troodon/rpc";
 *
 * await using server = new Server().use(requireToken(oneOfTokens(["secret"])));
 * server.register("Echo", { echo: (value: unknown) => value });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(address, { interceptors: [sendToken(() => "secret")] });
 * console.log(await client.call("Echo.echo", "hello"));
 * ```
 *
 * A client that is given it treats it as its option `token`: to other machines it calls over TLS alone, unless `secure` is
 * false. Of one inside an interceptor of your own it does not know: set `secure` then.
 *
 * @param token Makes the token, for each call anew: it may have to be refreshed
 * @returns An interceptor for clients
 */
export function sendToken(token: () => string | Promise<string>): Interceptor {
  return sendingToken(async (call, next) => {
    const authorization = `Bearer ${await token()}`;
    return await next({ ...call, metadata: new Map([...call.metadata, ["authorization", authorization]]) });
  });
}

/**
 * Refuses every call of a server that does not bring a token which holds, with `unauthenticated`. Compare with
 * `oneOfTokens`, or with something else that takes as long for any guess.
 *
 * @param holds Whether a token is good for a method, or who calls: an identity, which interceptors behind this one see as
 *   `call.identity` and handlers as `context.peer.identity`
 * @returns An interceptor for servers; see `sendToken` for the other side and an example
 */
export function requireToken(
  holds: (token: string, method: string) => boolean | Identity | Promise<boolean | Identity>,
): Interceptor {
  return async (call, next) => {
    const [, token] = /^Bearer (.+)$/.exec(String(call.metadata.get("authorization"))) ?? [];
    const identity = token !== undefined && checkIdentity(await holds(token, call.method) ?? false);
    if (identity === false) {
      throw new RpcError("unauthenticated", `${shownMethod(call.method)} needs a token that is valid`);
    }
    return await next(identity === true ? call : { ...call, identity });
  };
}

/**
 * Lets at most `most` calls run at once: the call too many is refused with `resource_exhausted`. A call that streams
 * runs until its stream has ended or was left.
 *
 * @param most From 1
 * @returns An interceptor for servers or clients
 * @throws {RangeError} If `most` is not a whole number from 1
 */
export function limitConcurrency(most: number): Interceptor {
  if (!Number.isSafeInteger(most) || most < 1) {
    throw new RangeError(
      `Cannot limit concurrency to ${shownOption(most)}: expected a whole number of at least 1`,
    );
  }
  let running = 0;
  return async (call, next) => {
    if (running >= most) throw new RpcError("resource_exhausted", `More than ${most} calls at once`);
    running++;
    return await passOn(call, next, () => running--);
  };
}
