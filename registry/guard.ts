// Who may do what with a registry: pages of other origins may not change it, and where there is a token, only who
// has it may. Used by registry.ts.

import { Refusal } from "./http.ts";

/**
 * A page in a browser on the same machine or network can send requests here, without seeing the answers; what
 * it may not do is change the list. Browsers say where such a request comes from, curl and servers do not.
 *
 * @throws {Refusal} If it comes from a page of another origin
 */
export function refuseForeignPage(request: Request, url: URL): void {
  const origin = request.headers.get("origin");
  if (origin === null || URL.parse(origin)?.host === url.host) return;
  throw new Refusal(
    403,
    "permission_denied",
    `Cannot change the registry from a page of ${JSON.stringify(origin.slice(0, 64))}`,
  );
}

/** Knows a token without keeping it. */
export class TokenGuard {
  readonly #digest: Promise<Uint8Array>;

  constructor(token: string) {
    this.#digest = digest(token);
  }

  /**
   * Compares what a request shows as `Authorization: Bearer TOKEN`, in a time that does not depend on how much of it
   * is right: digests are compared, and always to their ends.
   *
   * @throws {Refusal} If there is none, or another
   */
  async check(request: Request): Promise<void> {
    const shown = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (shown !== undefined) {
      const [expected, actual] = await Promise.all([this.#digest, digest(shown)]);
      let difference = 0;
      for (let i = 0; i < expected.length; i++) difference |= expected[i]! ^ actual[i]!;
      if (difference === 0) return;
    }
    const wrong = shown === undefined
      ? "send its token as Authorization: Bearer TOKEN"
      : "the token is wrong";
    throw new Refusal(401, "unauthenticated", `Cannot use the registry: ${wrong}`, {
      "www-authenticate": 'Bearer realm="registry"',
    });
  }
}

/**
 * Checks a token.
 *
 * @throws {TypeError} If a header could not carry it
 */
export function checkToken(token: unknown): string {
  if (typeof token === "string" && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new TypeError("Cannot use token: expected a text of visible ASCII characters");
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
