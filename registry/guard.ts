// Who may do what with a registry: pages of other origins may not change it, and where there is a token, only who
// has it may. Used by registry.ts.

import { HttpRefusal } from "./json_response.ts";

/**
 * A page in a browser on the same machine or network can send requests here, without seeing the answers; what
 * it may not do is change the list. Browsers say where such a request comes from, curl and servers do not. What a proxy
 * has made of the Host does not matter to browsers that compare the origins themselves.
 *
 * @throws {HttpRefusal} If it comes from a page of another origin
 */
export function refuseForeignPage(request: Request, url: URL): void {
  const origin = request.headers.get("origin");
  if (origin === null || URL.parse(origin)?.host === url.host) return;
  if (request.headers.get("sec-fetch-site") === "same-origin") return;
  throw new HttpRefusal(
    403,
    "permission_denied",
    `Cannot change the registry from a page of ${JSON.stringify(origin.slice(0, 64))}`,
  );
}

/** Knows tokens without keeping them. */
export class TokenGuard {
  readonly #digests: Promise<readonly Uint8Array[]>;

  constructor(tokens: readonly string[]) {
    this.#digests = Promise.all(tokens.map(digest));
  }

  /**
   * Compares what a request shows as `Authorization: Bearer TOKEN`, in a time that does not depend on how much of it
   * is right: digests are compared, all of them and always to their ends.
   *
   * @throws {HttpRefusal} If there is none, or another
   */
  async check(request: Request): Promise<void> {
    const shown = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (shown !== undefined) {
      const [digests, actual] = await Promise.all([this.#digests, digest(shown)]);
      let right = false;
      for (const expected of digests) {
        let difference = 0;
        for (let i = 0; i < expected.length; i++) difference |= expected[i]! ^ actual[i]!;
        if (difference === 0) right = true;
      }
      if (right) return;
    }
    const wrong = shown === undefined
      ? "send its token as Authorization: Bearer TOKEN"
      : "the token is wrong";
    throw new HttpRefusal(401, "unauthenticated", `Cannot use the registry: ${wrong}`, {
      "www-authenticate": 'Bearer realm="registry"',
    });
  }
}

/**
 * Checks a token, or several.
 *
 * @throws {TypeError} If a header could not carry one, or there is not one
 */
export function checkTokens(token: string | readonly string[]): readonly string[] {
  const tokens: readonly unknown[] = Array.isArray(token) ? [...token] : [token];
  const valid = tokens.every((token) => typeof token === "string" && /^[\x21-\x7e]+$/.test(token));
  if (valid && tokens.length > 0) return tokens as string[];
  throw new TypeError(
    "Cannot use token: expected a text of visible ASCII characters, or a list of such texts",
  );
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
