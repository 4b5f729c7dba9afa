// Comparing tokens without telling, by the time it takes, how much of a guess was right; and which interceptors send one.

import type { Interceptor } from "./interceptor.ts";

const encoder = new TextEncoder();

/**
 * Makes a check whether a token is one of those given, for `authenticate` and for `requireToken`. What is compared are
 * the SHA-256 digests of both, all bytes of all of them, so how long it takes says nothing about the tokens. They are not
 * kept, only their digests.
 *
 * @example A server with two tokens, so that one can be replaced by the other
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
 * @param tokens At least one, none of them empty. Take long random ones, such as 32 bytes from `crypto.getRandomValues`
 * @returns Resolves to whether a token is one of them
 * @throws {TypeError} If there is none, or one is empty or no text
 */
export function oneOfTokens(tokens: Iterable<string>): (token: string | undefined) => Promise<boolean> {
  // A lone text is iterable too, letter by letter.
  if (typeof tokens === "string") throw new TypeError("Cannot use tokens: put the one into an array");
  const all = [...tokens];
  if (all.length === 0 || !all.every((token) => typeof token === "string" && token !== "")) {
    throw new TypeError("Cannot use tokens: expected one at least, each of them text and not empty");
  }
  const known = Promise.all(all.map(digestOf));
  return async (token) => {
    if (typeof token !== "string") return false;
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
}

/** On an interceptor that sends a token along with calls. */
const SENDS_TOKEN = Symbol("sends a token");

/** Marks an interceptor that sends a token along with calls, so that a client knows of it. */
export function sendingToken(interceptor: Interceptor): Interceptor {
  return Object.assign(interceptor, { [SENDS_TOKEN]: true });
}

/** Whether an interceptor is marked so. */
export function sendsToken(interceptor: Interceptor): boolean {
  return typeof interceptor === "function" && SENDS_TOKEN in interceptor;
}

async function digestOf(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}
