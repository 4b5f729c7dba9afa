// Token comparison in constant time, so that its duration reveals nothing about a guess; and a mark for interceptors that send a token.

import type { Interceptor } from "./interceptor.ts";

const encoder = new TextEncoder();

/**
 * Creates a check of tokens for `authenticate` and `requireToken`. It compares the SHA-256 digests of the token and of every
 * accepted one in full, so its duration reveals nothing about the tokens. From the first check on, only the digests are kept.
 *
 * @example A server with two tokens, so that one can replace the other
 * ```ts
 * import { connect, oneOfTokens, Server } from "@troodon/rpc";
 *
 * await using server = new Server({ authenticate: oneOfTokens(["today's secret", "tomorrow's secret"]) });
 * server.register("Echo", { echo: (value: unknown) => value });
 * const { address } = await server.listen("tcp@127.0.0.1:0");
 *
 * await using client = await connect(address, { token: "today's secret" });
 * console.log(await client.call("Echo.echo", "hello"));
 * ```
 *
 * @param tokens The accepted tokens: at least one, none empty. Use long random ones, such as 32 bytes from
 *   `crypto.getRandomValues`
 * @returns A function that resolves to whether a token is accepted
 * @throws {TypeError} If the list is empty, or a token is empty or not text
 */
export function oneOfTokens(tokens: Iterable<string>): (token: string | undefined) => Promise<boolean> {
  // A string is iterable too, letter by letter.
  if (typeof tokens === "string") throw new TypeError("Cannot use tokens: expected an array, got one string");
  const all = [...tokens];
  if (all.length === 0 || !all.every((token) => typeof token === "string" && token !== "")) {
    throw new TypeError("Cannot use tokens: expected at least one, each a non-empty string");
  }
  let known: Promise<Uint8Array[]> | undefined;
  const holds = async (token: string | undefined) => {
    if (typeof token !== "string") return false;
    known ??= Promise.all(all.splice(0).map(digestOf));
    const digest = await digestOf(token);
    let found = 0;
    for (const each of await known) {
      let difference = 0;
      for (let i = 0; i < 32; i++) difference |= digest[i]! ^ each[i]!;
      // 1 if there is no difference, without a branch.
      found |= (difference - 1) >>> 31;
    }
    return found === 1;
  };
  return Object.assign(holds, { [NEVER_CHANGES]: true });
}

/** Property of a check whose verdict on a token never changes. */
const NEVER_CHANGES = Symbol("never changes");

/** Whether the check of a token gives the same verdict each time, for any method. */
export function neverChanges(check: unknown): boolean {
  return typeof check === "function" && NEVER_CHANGES in check;
}

/** Property of an interceptor that sends a token with every call. */
const SENDS_TOKEN = Symbol("sends a token");

/** Marks an interceptor that sends a token with every call, so that a client can require TLS. */
export function sendingToken(interceptor: Interceptor): Interceptor {
  return Object.assign(interceptor, { [SENDS_TOKEN]: true });
}

/** Whether an interceptor has that mark. */
export function sendsToken(interceptor: Interceptor): boolean {
  return typeof interceptor === "function" && SENDS_TOKEN in interceptor;
}

async function digestOf(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}
