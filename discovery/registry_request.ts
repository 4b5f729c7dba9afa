// One HTTP request to a registry, limited in time and size. Used by RegistryDiscovery and by announce().

import { inOwnContext } from "../call/ambient.ts";
import { type Code, RpcError } from "../call/error.ts";
import type { Clock } from "./clock.ts";

const DEFAULT_PATH = "/_rpc_/registry";

/** The part of the global `fetch` that is used here, so that it can be replaced. It must respect the signal. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The global `fetch`, looked up at each call. */
export const globalFetch: Fetch = (url, init) => inOwnContext(() => fetch(url, init));

/** The codes for these statuses of a registry, or of a proxy in front of it. */
export const STATUS_CODES: ReadonlyMap<number, Code> = new Map<number, Code>([
  [401, "unauthenticated"],
  [403, "permission_denied"],
]);

/** The URL of a registry, or the URLs of several processes that serve the same store. */
export type RegistryUrl = string | URL | readonly (string | URL)[];

/**
 * The token that a registry requires: visible ASCII characters, or a function that returns them. The function is called for
 * each request, so that an expiring token can be replaced. If it fails, the request fails with `unauthenticated`.
 */
export type RegistryToken = string | (() => string | Promise<string>);

/** A request and its limits. */
export interface RegistryRequest {
  fetch: Fetch;
  clock: Clock;
  method: "GET" | "POST" | "DELETE";
  url: URL;
  token?: RegistryToken;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  /** Timeout of the whole exchange, in ms. */
  timeout: number;
  /** Maximum length of the answer. */
  maxBytes: number;
  /** Cancels the request. */
  signal?: AbortSignal;
}

/** The answer of a registry. */
export interface RegistryAnswer {
  status: number;
  text: string;
  headers: Headers;
  /** The URL that answered, if the registry's URL redirects. */
  redirectedTo: string | undefined;
}

/**
 * Validates the URL of a registry, or several.
 *
 * @throws {TypeError} If a URL is invalid, or the list is empty
 */
export function toRegistryUrls(urls: RegistryUrl): readonly URL[] {
  const all = typeof urls === "string" || urls instanceof URL ? [urls] : [...urls];
  if (all.length === 0) throw new TypeError("Cannot use an empty list of registry URLs");
  return all.map(toRegistryUrl);
}

/**
 * Validates the option `token`.
 *
 * @throws {TypeError} If it is text that is not valid in a header, or neither text nor a function
 */
export function checkRegistryToken(token: RegistryToken | undefined): RegistryToken | undefined {
  if (typeof token !== "function" && token !== undefined) bearer(token);
  return token;
}

/**
 * The headers with a token, if there is one.
 *
 * @param signal Ends waiting for the function, with its reason
 * @throws {RpcError} `unauthenticated` if the function fails or returns an invalid token
 */
export async function tokenHeaders(
  token: RegistryToken | undefined,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  if (typeof token !== "function") return token === undefined ? {} : bearer(token);
  try {
    return bearer(
      await new Promise<string>((resolve, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason));
        inOwnContext(async () => await token()).then(resolve, reject);
      }),
    );
  } catch (cause) {
    signal.throwIfAborted();
    throw new RpcError("unauthenticated", `Cannot get the registry's token: ${messageOf(cause)}`, { cause });
  }
}

function bearer(token: unknown): Record<string, string> {
  if (typeof token === "string" && /^[\x21-\x7e]+$/.test(token)) return { authorization: `Bearer ${token}` };
  throw new TypeError("Cannot use token: expected text of visible ASCII characters");
}

function toRegistryUrl(text: string | URL): URL {
  const url = URL.parse(String(text));
  if (url === null || url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(
      `Cannot use registry URL ${JSON.stringify(String(text))}: expected a URL such as http://127.0.0.1:9999`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError(`Cannot use registry URL of ${url.host}: expected a URL without user and password`);
  }
  url.hash = "";
  if (url.pathname === "/" && url.search === "") url.pathname = DEFAULT_PATH;
  return url;
}

/**
 * Sends a request to a registry.
 *
 * @returns The answer, with any status
 * @throws {RpcError} `unavailable` if there is no complete answer within the limits, `unauthenticated` if there is no token; the
 *   message names the URL
 */
export async function askRegistry(request: RegistryRequest): Promise<RegistryAnswer> {
  const { clock, signal, url } = request;
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  const cancelTimer = clock.setTimer(
    () => controller.abort(new Error(`no answer within ${request.timeout} ms`)),
    request.timeout,
  );
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  try {
    const token = await tokenHeaders(request.token, controller.signal);
    const response = await request.fetch(url.href, {
      method: request.method,
      headers: { accept: "application/json", ...token, ...request.headers },
      body: request.body === undefined ? undefined : JSON.stringify(request.body),
      signal: controller.signal,
    });
    return {
      status: response.status,
      text: await readText(response, request.maxBytes),
      headers: response.headers,
      redirectedTo: response.redirected ? response.url : undefined,
    };
  } catch (cause) {
    if (cause instanceof RpcError) throw cause;
    throw new RpcError("unavailable", `Cannot reach registry at ${url.href}: ${messageOf(cause)}`, { cause });
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * The revision at which the registry's history began, such as when it was started. A client that knows an older revision knows
 * a list that the registry has lost. `undefined` if the answer has none.
 */
export function firstRevisionOf(headers: Headers): number | undefined {
  const text = headers.get("x-rpc-first-revision") ?? "";
  return /^[0-9]{1,16}$/.test(text) ? Number(text) : undefined;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let bytes = 0;
  let text = "";
  try {
    // With a reader, since not every browser can iterate over a stream.
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > maxBytes) throw new Error(`its answer is longer than ${maxBytes} bytes`);
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    // Releases the connection if the rest is not needed.
    reader.cancel().catch(() => {});
  }
}
