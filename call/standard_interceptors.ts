// Interceptors for common needs, exported to users: logging, tokens, limits. Each function creates an interceptor.

import { checkOptions, type Names, shownOption } from "./check_options.ts";
import type { Identity } from "./handler.ts";
import { isRpcError, RpcError } from "./error.ts";
import { checkIdentity, shownPeer } from "./identity.ts";
import type { Call, Interceptor, Next } from "./interceptor.ts";
import { type Metadata, shared, sharingOf, toMetadata } from "./metadata.ts";
import { shownMethod } from "./method_name.ts";
import { RememberedTokens } from "./remembered_tokens.ts";
import { oneLine } from "./safe_text.ts";
import { passOn } from "./reply_end.ts";
import { neverChanges, sendingToken } from "./tokens.ts";

/**
 * Creates an interceptor that logs every call in one line when it has ended: method, code, duration in ms, on a server the
 * peer with the name of its identity, and the message of an `RpcError`. Arguments and stacks are never logged. The code is `ok`,
 * that of an `RpcError`, or `failed` for other errors. A stream ends with its last item, with its error, or when the caller
 * stops reading, which is `canceled`.
 *
 * @example
 * ```ts
 * import { logCalls, Server } from "@troodon/rpc";
 *
 * new Server().use(logCalls((line) => console.log(line))); // Arith.sum ok 0.4 ms from tcp@10.0.0.8:40312
 * ```
 *
 * @param log Receives the line
 * @returns An interceptor for servers or clients
 */
export function logCalls(log: (line: string) => void): Interceptor {
  return (call, next) => {
    const startedAt = performance.now();
    return passOn(call, next, (error) => {
      const outcome = error === undefined ? "ok" : isRpcError(error) ? error.code : "failed";
      const caller = call.peer === undefined ? "" : ` from ${shownPeer(call.peer, call.identity)}`;
      const ms = (performance.now() - startedAt).toFixed(1);
      const why = isRpcError(error) ? `: ${error.message}` : "";
      log(oneLine(`${shownMethod(call.method)} ${outcome} ${ms} ms${caller}${why}`));
    });
  };
}

/**
 * Creates an interceptor that sends a token with every call, as metadata `authorization: Bearer TOKEN` (RFC 6750 section 2.1).
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
 * A client with this interceptor behaves as with its option `token`: it calls other machines over TLS only, unless `secure`
 * is false. The client does not detect `sendToken` inside an interceptor of your own: set `secure` in that case.
 *
 * @param token Returns the token. Called for each call, so that it can be refreshed
 * @returns An interceptor for clients
 */
export function sendToken(token: () => string | Promise<string>): Interceptor {
  // Most calls have the same token, and the same other metadata, so that they can share the whole.
  let last: { value: string; own: Metadata; all: Metadata } | undefined;
  const withToken = (value: string, own: Metadata): Metadata => {
    if (last?.value === value && last.own === own) return last.all;
    const all = new Map([...own, ["authorization", `Bearer ${value}`]] as const);
    if (sharingOf(own) === undefined) return all;
    last = { value, own, all: shared(new Map(toMetadata(all))) };
    return last.all;
  };
  const send = (value: string, call: Call, next: Next) =>
    next({ ...call, metadata: withToken(value, call.metadata) });
  return sendingToken((call, next) => {
    const value = token();
    // Waiting for a value that is there already would cost more than the rest.
    return typeof value === "string" ? send(value, call, next) : sendLater(value, call, next);
  });
  async function sendLater(value: Promise<string>, call: Call, next: Next) {
    return await send(await value, call, next);
  }
}

const REQUIRE_TOKEN_OPTIONS: Names<{ remember?: number | false }> = { remember: true };

/**
 * Creates an interceptor that rejects every call without a valid token with `unauthenticated`. Compare tokens with
 * `oneOfTokens`, or with another function whose duration does not depend on the guess.
 *
 * The result of `oneOfTokens` never changes, so an accepted token is not checked again while the connection sends the same
 * metadata with its calls. For other checks, the option `remember` allows that for some time. Metadata that differs in each
 * call, such as a request ID or the `traceparent` of telemetry, has every call checked.
 *
 * @example A check that asks a database, at most every 10 s for each connection and method
 * ```ts
 * import { requireToken, Server } from "@troodon/rpc";
 *
 * const findUser = async (token: string) => await Promise.resolve(token === "s3cret" && { name: "ada" });
 * new Server().use(requireToken(findUser, { remember: 10_000 }));
 * ```
 *
 * @param holds Returns whether a token is valid for a method, or the caller's identity, which later interceptors see as
 *   `call.identity` and handlers as `context.peer.identity`
 * @param options `remember`: how long a token that was accepted for a method is not checked again while the connection sends
 *   the same metadata, in ms from the start of the check; Infinity = as long as the connection, false = never, the default.
 *   A token that is withdrawn stays valid for as long. An identity with the claim `exp` of a JSON Web Token, in seconds since
 *   1970, is not remembered longer than until then. Refusals are not remembered
 * @returns An interceptor for servers; see `sendToken` for the client side and an example
 * @throws {TypeError} If an option is unknown, or `remember` is neither a number nor false
 * @throws {RangeError} If `remember` is not above 0
 */
export function requireToken(
  holds: (token: string, method: string) => boolean | Identity | Promise<boolean | Identity>,
  options: { readonly remember?: number | false } = {},
): Interceptor {
  checkOptions("require token", options, REQUIRE_TOKEN_OPTIONS);
  const time = neverChanges(holds) ? Infinity : checkRemember(options.remember ?? false);
  const remembered = time === false ? undefined : new RememberedTokens(time, !neverChanges(holds));
  return (call, next) => {
    const identity = remembered?.find(call.metadata, call.method);
    return identity === undefined ? check(call, next) : pass(call, next, identity);
  };
  async function check(call: Call, next: Next) {
    const [, token] = /^Bearer (.+)$/.exec(String(call.metadata.get("authorization"))) ?? [];
    const since = Date.now();
    const identity = token !== undefined && checkIdentity(await holds(token, call.method) ?? false);
    if (identity === false) {
      throw new RpcError("unauthenticated", `${shownMethod(call.method)} requires a valid token`);
    }
    remembered?.add(call.metadata, call.method, identity, since);
    return await pass(call, next, identity);
  }
}

const pass = (call: Call, next: Next, identity: true | Identity) =>
  next(identity === true ? call : { ...call, identity });

function checkRemember(time: number | false): number | false {
  if (time === false || typeof time === "number" && time > 0) return time;
  const message = `Cannot remember tokens for ${shownOption(time)}: expected ms above 0, Infinity or false`;
  throw typeof time === "number" ? new RangeError(message) : new TypeError(message);
}

/**
 * Creates an interceptor that rejects calls with `resource_exhausted` while `max` calls are running. A streaming call runs
 * until its stream has ended or the caller stopped reading.
 *
 * @param max Maximum number of concurrent calls, from 1
 * @returns An interceptor for servers or clients
 * @throws {RangeError} If `max` is not an integer from 1
 */
export function limitConcurrency(max: number): Interceptor {
  if (!Number.isSafeInteger(max) || max < 1) {
    throw new RangeError(
      `Cannot limit concurrency to ${shownOption(max)}: expected an integer from 1`,
    );
  }
  let running = 0;
  return async (call, next) => {
    if (running >= max) {
      throw new RpcError(
        "resource_exhausted",
        `${shownMethod(call.method)}: ${max} calls are running (limitConcurrency)`,
      );
    }
    running++;
    return await passOn(call, next, () => running--);
  };
}
