// Access control of the registry: rejects changes from web pages of other origins, and requests without the
// token where one is configured. Used by registry.ts.

import { HttpRefusal } from "./json_response.ts";

/**
 * Rejects changes requested by web pages of other origins (CSRF protection). A page in a browser on the same
 * machine or network can send requests here without seeing the responses, but it must not change the list.
 * Browsers send the origin of the page, curl and servers do not. `Sec-Fetch-Site` keeps same-origin pages
 * working where a proxy has rewritten the Host.
 *
 * @throws {HttpRefusal} If the request was sent by a page of another origin
 */
export function refuseForeignPage(request: Request, url: URL): void {
  const origin = request.headers.get("origin");
  if (origin === null || URL.parse(origin)?.host === url.host) return;
  if (request.headers.get("sec-fetch-site") === "same-origin") return;
  throw new HttpRefusal(
    403,
    "permission_denied",
    `Cannot change the registry from a page of another origin, ${JSON.stringify(origin.slice(0, 64))}`,
  );
}

/** Checks tokens. Stores only their digests. */
export class TokenGuard {
  readonly #digests: Promise<readonly Uint8Array[]>;

  constructor(tokens: readonly string[]) {
    this.#digests = Promise.all(tokens.map(digest));
  }

  /**
   * Checks the token of a request, `Authorization: Bearer TOKEN`. All digests are compared to their full
   * length, so the time does not depend on how much of the token is right.
   *
   * @throws {HttpRefusal} If the token is missing or wrong
   */
  async check(request: Request): Promise<void> {
    const presented = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (presented !== undefined) {
      const [digests, actual] = await Promise.all([this.#digests, digest(presented)]);
      let right = false;
      for (const expected of digests) {
        let difference = 0;
        for (let i = 0; i < expected.length; i++) difference |= expected[i]! ^ actual[i]!;
        if (difference === 0) right = true;
      }
      if (right) return;
    }
    const wrong = presented === undefined
      ? "expected the token in the header Authorization: Bearer TOKEN"
      : "the token is wrong";
    throw new HttpRefusal(401, "unauthenticated", `Cannot use the registry: ${wrong}`, {
      "www-authenticate": 'Bearer realm="registry"',
    });
  }
}

/**
 * Checks one or more configured tokens.
 *
 * @throws {TypeError} If a token cannot be sent in a header, or the list is empty
 */
export function checkTokens(token: string | readonly string[]): readonly string[] {
  const tokens: readonly unknown[] = Array.isArray(token) ? [...token] : [token];
  const valid = tokens.every((token) => typeof token === "string" && /^[\x21-\x7e]+$/.test(token));
  if (valid && tokens.length > 0) return tokens as string[];
  throw new TypeError(
    "Cannot use token: expected a string of visible ASCII characters, or a non-empty list of them",
  );
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
