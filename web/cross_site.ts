// Which pages in browsers may call: those of the server's own origin, and those that the option `cors` names. Decided for
// every request, since browsers send many without asking first.

import type { HeaderList } from "./answer.ts";
import { listed } from "../call/check_options.ts";

/** How long browsers may remember the answer to a preflight, in seconds: Chromium's longest. */
const MAX_AGE = "7200";
const HEADER_NAMES = /^[\w, -]{0,2048}$/;
const NO_HEADERS: HeaderList = [];

/** Decides about requests of pages. */
export class CrossSite {
  /** Undefined = only pages of the server's own origin. */
  readonly #allowed: ReadonlySet<string> | "*" | undefined;

  /**
   * @param option The option `cors`
   * @throws {TypeError} If it is neither `"*"` nor a list of origins
   */
  constructor(option: Iterable<string> | "*" | undefined) {
    if (option === undefined || option === "*") this.#allowed = option as "*" | undefined;
    else this.#allowed = new Set(listed("cors", option).map(checkOrigin));
  }

  /**
   * The headers that let the page which sent a request read its answer.
   *
   * @param authority Host and port that the request is for
   * @returns undefined if the page may not call; no headers for everything that is not a page of another origin
   */
  headersFor(headers: Headers, authority: string): HeaderList | undefined {
    const origin = headers.get("origin");
    const site = headers.get("sec-fetch-site");
    const own = site === null || site === "same-origin" || site === "none";
    const allowed = this.#allowed;
    if (origin === null) {
      // Images, frames and links send no origin.
      if (!own && allowed !== "*") return undefined;
      return allowed === undefined || allowed === "*" ? NO_HEADERS : [["vary", "origin"]];
    }
    if (allowed === "*") return allowing("*");
    if (allowed?.has(origin)) return [...allowing(origin), ["vary", "origin"]];
    // The origin "null" has no authority.
    const [, of] = origin.split("://", 2);
    return own && of === authority ? NO_HEADERS : undefined;
  }

  /** The headers that answer a preflight, in addition to those of {@linkcode headersFor}. */
  preflightHeaders(headers: Headers): HeaderList {
    const wanted = headers.get("access-control-request-headers") ?? "";
    const names = "content-type, connect-protocol-version, connect-timeout-ms";
    return [
      ["access-control-allow-methods", "POST, GET"],
      [
        "access-control-allow-headers",
        wanted !== "" && HEADER_NAMES.test(wanted) ? `${names}, ${wanted}` : names,
      ],
      ["access-control-max-age", MAX_AGE],
    ];
  }
}

function allowing(origin: string): HeaderList {
  // With an asterisk all headers are readable, trailers among them: calls are made without credentials of the browser's.
  return [["access-control-allow-origin", origin], ["access-control-expose-headers", "*"]];
}

function checkOrigin(text: unknown): string {
  if (typeof text === "string" && URL.canParse(text) && new URL(text).origin === text) return text;
  throw new TypeError(
    'Cannot use cors: expected "*", or a list of origins such as "https://app.example.com"',
  );
}
