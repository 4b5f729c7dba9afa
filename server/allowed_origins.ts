// Which web pages may open a WebSocket: the option `origins`. HttpRequests asks before it opens one.

import { listed } from "../call/check_options.ts";

/** The origins whose pages may open a WebSocket. */
export class AllowedOrigins {
  /** Undefined = only the server's own. */
  readonly #allowed: ReadonlySet<string> | "*" | undefined;

  /**
   * @param option The option `origins`
   * @throws {TypeError} If it is neither `"*"` nor a list of origins
   */
  constructor(option: Iterable<string> | "*" | undefined) {
    if (option === undefined || option === "*") this.#allowed = option as "*" | undefined;
    else this.#allowed = new Set(listed("origins", option).map(checkOrigin));
  }

  /**
   * Whether a request comes from an allowed page, or not from a page.
   *
   * @param host The server's host and port, if the request has no `Host`
   */
  allows(headers: Headers, host?: string): boolean {
    const origin = headers.get("origin");
    if (origin === null || this.#allowed === "*") return true;
    if (this.#allowed !== undefined) return this.#allowed.has(origin);
    try {
      return new URL(origin).host === (headers.get("host") ?? host);
    } catch {
      return false;
    }
  }
}

function checkOrigin(text: unknown): string {
  if (typeof text === "string" && URL.canParse(text) && new URL(text).origin === text) return text;
  throw new TypeError(
    `Cannot use origins: expected "*", or a list of origins such as "https://app.example.com"`,
  );
}
