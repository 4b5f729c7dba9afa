// One HTTP exchange with a registry, bounded in time and size. Used by RegistryDiscovery and by announce().

import { inOwnContext } from "../call/ambient.ts";
import { type Code, RpcError } from "../call/error.ts";
import type { Clock } from "./clock.ts";

const DEFAULT_PATH = "/_rpc_/registry";

/**
 * The part of the global `fetch` that is needed here, so that another may take its place. It must heed the signal.
 */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The global one, whichever that is when it is asked. */
export const globalFetch: Fetch = (url, init) => inOwnContext(() => fetch(url, init));

/** What a registry, or a proxy in front of it, means by these statuses. */
export const REFUSALS: ReadonlyMap<number, Code> = new Map<number, Code>([
  [401, "unauthenticated"],
  [403, "permission_denied"],
]);

/** Where a registry is: one URL, or those of several processes that serve the same store. */
export type RegistryUrl = string | URL | readonly (string | URL)[];

/**
 * What a registry asks of those who use it: visible ASCII characters, or a function that returns them. The function is
 * called for each request, so that a token that expires can be replaced. If it fails, so does the request, with
 * `unauthenticated`.
 */
export type RegistryToken = string | (() => string | Promise<string>);

/** What to ask, and within which bounds. */
export interface RegistryRequest {
  fetch: Fetch;
  clock: Clock;
  method: "GET" | "POST" | "DELETE";
  url: URL;
  token?: RegistryToken;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  /** In ms, for all of it. */
  timeout: number;
  /** Of the answer. */
  maxBytes: number;
  /** Gives up before the timeout. */
  signal?: AbortSignal;
}

/** What came back. */
export interface RegistryAnswer {
  status: number;
  text: string;
  headers: Headers;
  /** Where it came from, if the registry's URL redirects. */
  redirectedTo: string | undefined;
}

/**
 * Takes the URL of a registry, or several.
 *
 * @throws {TypeError} If one is none, or there is none
 */
export function toRegistryUrls(urls: RegistryUrl): readonly URL[] {
  const all = typeof urls === "string" || urls instanceof URL ? [urls] : [...urls];
  if (all.length === 0) throw new TypeError("Cannot use no registry URL: expected at least one");
  return all.map(toRegistryUrl);
}

/**
 * Checks an option.
 *
 * @throws {TypeError} If it is a text that no header can carry, or neither a text nor a function
 */
export function checkRegistryToken(token: RegistryToken | undefined): RegistryToken | undefined {
  if (typeof token !== "function" && token !== undefined) bearer(token);
  return token;
}

/**
 * The headers that carry a token, if there is one.
 *
 * @param signal Ends waiting for a function, with its reason
 * @throws {RpcError} `unauthenticated` if the function fails or returns no token
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
  throw new TypeError("Cannot use token: expected a text of visible ASCII characters");
}

function toRegistryUrl(text: string | URL): URL {
  const url = URL.parse(String(text));
  if (url === null || url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(
      `Cannot use registry URL ${JSON.stringify(String(text))}: expected one such as http://127.0.0.1:9999`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError(`Cannot use registry URL of ${url.host}: it must not contain a user or a password`);
  }
  url.hash = "";
  if (url.pathname === "/" && url.search === "") url.pathname = DEFAULT_PATH;
  return url;
}

/**
 * Asks a registry.
 *
 * @returns Its answer, whatever the status
 * @throws {RpcError} `unavailable` if there is no whole answer within the bounds, `unauthenticated` if there is no token;
 * the message names the URL
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
 * The revision that the list of an answer began with, as when the registry was started: who knows an older one knows a
 * list that the registry has lost. `undefined` if it does not say.
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
    // By a reader: not every browser can iterate over a stream.
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > maxBytes) throw new Error(`its answer is longer than ${maxBytes} bytes`);
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    // Frees the connection if the rest is not wanted.
    reader.cancel().catch(() => {});
  }
}
